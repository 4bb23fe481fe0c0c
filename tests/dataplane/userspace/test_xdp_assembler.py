"""The assembler writes what RFC 9669 says, and jumps to where the label is."""

from __future__ import annotations

import pytest

from dataplane.userspace.xdp.instructions import (
    R0,
    R1,
    R6,
    SIZE_16,
    Label,
    assemble,
    jump,
    leave,
    load,
    load_map,
    set_number,
)


def test_an_instruction_is_opcode_registers_offset_and_number() -> None:
    assert assemble([load(R1, SIZE_16, R6, 12), set_number(R0, -1)]).hex(" ", 8) == "69610c0000000000 b7000000ffffffff"


def test_a_jump_counts_instructions_and_a_map_counts_as_two() -> None:
    code = assemble([jump("end"), load_map(R1, 7), Label("end"), leave()])
    assert code[2:4] == b"\x02\0"
    assert len(code) == 4 * 8


def test_a_jump_back_is_refused() -> None:
    with pytest.raises(ValueError, match="instruction 1 jumps to 'top', which is not further on"):
        assemble([Label("top"), set_number(R0, 0), jump("top")])
