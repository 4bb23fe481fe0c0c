"""An assembler for BPF (RFC 9669), as far as the one program here needs it.

Instructions are functions that are called like in C: ``load(R1, SIZE_16, R6, 12)`` reads ``r1 = *(u16 *)(r6 + 12)``.
Jumps go to labels, and only forward: so a program ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME = range(11)
"""Registers. R0 is what a function returns, R1 to R5 are its arguments and lost by calling it, R6 to R9 are kept.
FRAME points to the end of 512 bytes of stack."""

SIZE_32, SIZE_16, SIZE_8, SIZE_64 = 0x00, 0x08, 0x10, 0x18

# RFC 9669, section 3: classes, and what is added to them.
_LD, _LDX, _ST, _STX, _JMP, _JMP32, _ALU64 = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07
_MEM, _REGISTER = 0x60, 0x08
_PSEUDO_MAP_FD = 1

_MOVE, _ADD, _AND, _SHIFT_LEFT = 0xB0, 0x00, 0x50, 0x60
_JUMP, _EQUAL, _NOT_EQUAL, _GREATER, _LESS, _CALL, _EXIT = 0x00, 0x10, 0x50, 0x20, 0xA0, 0x80, 0x90


@dataclass(frozen=True, slots=True)
class Label:
    """A place in a program, for jumps. Takes no room."""

    name: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of 64 bits. `target` is the label that a jump goes to. A map's number makes it two (`load_map`)."""

    opcode: int
    destination: int = 0
    source: int = 0
    offset: int = 0
    immediate: int = 0
    target: str | None = None
    wide: bool = False

    @property
    def slots(self) -> int:
        return 2 if self.wide else 1

    def encoded(self, offset: int) -> bytes:
        first = struct.pack("=BBhi", self.opcode, self.source << 4 | self.destination, offset, self.immediate)
        return first + bytes(8) if self.wide else first


def load(register: int, size: int, base: int, offset: int) -> Instruction:
    """``register = *(size *)(base + offset)``"""
    return Instruction(_LDX | _MEM | size, register, base, offset)


def store(size: int, base: int, offset: int, register: int) -> Instruction:
    """``*(size *)(base + offset) = register``"""
    return Instruction(_STX | _MEM | size, base, register, offset)


def store_number(size: int, base: int, offset: int, number: int) -> Instruction:
    """``*(size *)(base + offset) = number``"""
    return Instruction(_ST | _MEM | size, base, 0, offset, number)


def move(register: int, source: int) -> Instruction:
    return Instruction(_ALU64 | _MOVE | _REGISTER, register, source)


def set_number(register: int, number: int) -> Instruction:
    return Instruction(_ALU64 | _MOVE, register, immediate=number)


def add(register: int, source: int) -> Instruction:
    return Instruction(_ALU64 | _ADD | _REGISTER, register, source)


def add_number(register: int, number: int) -> Instruction:
    return Instruction(_ALU64 | _ADD, register, immediate=number)


def and_number(register: int, number: int) -> Instruction:
    return Instruction(_ALU64 | _AND, register, immediate=number)


def shift_left(register: int, bits: int) -> Instruction:
    return Instruction(_ALU64 | _SHIFT_LEFT, register, immediate=bits)


def load_map(register: int, descriptor: int) -> Instruction:
    """``register = the map``: the kernel puts its address there."""
    return Instruction(_LD | SIZE_64, register, _PSEUDO_MAP_FD, immediate=descriptor, wide=True)


def jump(target: str) -> Instruction:
    return Instruction(_JMP | _JUMP, target=target)


def jump_equal(register: int, number: int, target: str) -> Instruction:
    return Instruction(_JMP | _EQUAL, register, immediate=number, target=target)


def jump_not_equal(register: int, number: int, target: str) -> Instruction:
    return Instruction(_JMP | _NOT_EQUAL, register, immediate=number, target=target)


def jump_not_equal_32(register: int, number: int, target: str) -> Instruction:
    """The same for the lower half of the register."""
    return Instruction(_JMP32 | _NOT_EQUAL, register, immediate=number, target=target)


def jump_less_number(register: int, number: int, target: str) -> Instruction:
    return Instruction(_JMP | _LESS, register, immediate=number, target=target)


def jump_less(register: int, other: int, target: str) -> Instruction:
    """If ``register < other``, both registers."""
    return Instruction(_JMP | _LESS | _REGISTER, register, other, target=target)


def jump_greater(register: int, other: int, target: str) -> Instruction:
    """If ``register > other``, both registers."""
    return Instruction(_JMP | _GREATER | _REGISTER, register, other, target=target)


def call(function: int) -> Instruction:
    """Call one of the kernel's helper functions."""
    return Instruction(_JMP | _CALL, immediate=function)


def leave() -> Instruction:
    """End the program; R0 is its answer."""
    return Instruction(_JMP | _EXIT)


def assemble(source: Iterable[Instruction | Label]) -> bytes:
    """The program as the kernel takes it. ValueError for a jump to a label that is not further on."""
    places: dict[str, int] = {}
    placed: list[tuple[int, Instruction]] = []
    position = 0
    for item in source:
        if isinstance(item, Label):
            places[item.name] = position
        else:
            placed.append((position, item))
            position += item.slots
    return b"".join(item.encoded(_offset(at, item, places)) for at, item in placed)


def _offset(position: int, instruction: Instruction, places: dict[str, int]) -> int:
    if instruction.target is None:
        return instruction.offset
    place = places.get(instruction.target, -1)
    if place <= position:
        raise ValueError(f"instruction {position} jumps to {instruction.target!r}, which is not further on")
    return place - position - 1
