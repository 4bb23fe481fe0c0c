"""Maps, programs and links of the kernel's BPF, by bpf(2), and nothing else of it.

Every object lives as long as its descriptor: when this process ends, however it ends, interfaces have no program any
more and the kernel does with packets what it did before.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from dataplane.interface import DataplaneError

HASH, LPM_TRIE, XSKMAP = 1, 11, 17
"""Types of maps (linux/bpf.h)."""

XDP_PASS, XDP_REDIRECT = 2, 4
"""What a program may answer."""

NATIVE, GENERIC = 1 << 2, 1 << 1
"""Where a program runs (linux/if_link.h): in the driver, or after it for drivers that have no such place."""

_SYSTEM_CALLS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _PROG_RUN, _MAP_UPDATE_BATCH, _LINK_CREATE = 0, 2, 3, 5, 10, 26, 28
_NO_PREALLOC = 1
_PROGRAM_TYPE_XDP, _ATTACH_XDP = 6, 37
_LOG = 1 << 16
_ENOTSUPP = 524  # not for user space, and yet it comes

_libc = ctypes.CDLL(None, use_errno=True)


class Handle:
    """A descriptor of the kernel's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Map(Handle):
    """A table that programs look things up in. Keys and values are bytes of fixed sizes."""

    def __init__(self, kind: int, key_size: int, value_size: int, entries: int) -> None:
        """DataplaneError if the kernel does not make it."""
        flags = _NO_PREALLOC if kind in (HASH, LPM_TRIE) else 0
        attributes = struct.pack("=IIIII", kind, key_size, value_size, entries, flags)
        super().__init__(_checked(_MAP_CREATE, attributes, f"make a BPF map of {entries} entries"))
        self._key_size, self._value_size, self._entries = key_size, value_size, entries

    def set(self, key: bytes, value: bytes) -> None:
        self._change(_MAP_UPDATE, key, value, f"write an entry of a BPF map of {self._entries}")

    def delete(self, key: bytes) -> None:
        """Nothing there is fine."""
        try:
            self._change(_MAP_DELETE, key, b"", "remove an entry of a BPF map")
        except DataplaneError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

    def set_all(self, entries: Mapping[bytes, bytes]) -> None:
        """Write many. Maps that can not take them at once take them one by one."""
        if not entries:
            return
        keys = ctypes.create_string_buffer(b"".join(entries), self._key_size * len(entries))
        values = ctypes.create_string_buffer(b"".join(entries.values()), self._value_size * len(entries))
        attributes = struct.pack(
            "=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(values), len(entries), self.fileno(), 0, 0
        )
        try:
            _checked(_MAP_UPDATE_BATCH, attributes, f"write {len(entries)} entries of a BPF map of {self._entries}")
        except DataplaneError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (errno.EINVAL, _ENOTSUPP):
                raise
            for key, value in entries.items():
                self.set(key, value)

    def delete_all(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.delete(key)

    def _change(self, command: int, key: bytes, value: bytes, what: str) -> None:
        if len(key) != self._key_size:
            raise ValueError(f"a key of {len(key)} bytes, expected {self._key_size}")
        at_key, at_value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
        attributes = struct.pack(
            "=IxxxxQQQ", self.fileno(), ctypes.addressof(at_key), ctypes.addressof(at_value) if value else 0, 0
        )
        _checked(command, attributes, what)


class Program(Handle):
    """An XDP program that the kernel has verified."""

    def __init__(self, name: str, code: bytes) -> None:
        """DataplaneError if the kernel refuses it; the last line of its reasons is in the message."""
        instructions = ctypes.create_string_buffer(code, len(code))
        licence = ctypes.create_string_buffer(b"Apache-2.0")
        log = ctypes.create_string_buffer(_LOG)

        def attributes(level: int) -> bytes:
            return struct.pack(
                "=IIQQIIQII16sII",
                _PROGRAM_TYPE_XDP,
                len(code) // 8,
                ctypes.addressof(instructions),
                ctypes.addressof(licence),
                level,
                _LOG if level else 0,
                ctypes.addressof(log) if level else 0,
                0,
                0,
                name.encode()[:15],
                0,
                _ATTACH_XDP,
            )

        try:
            descriptor = _checked(_PROG_LOAD, attributes(0), f"load the XDP program {name}")
        except DataplaneError:
            # A second time, to be told why. Asking for reasons at once would cost more than the program.
            try:
                descriptor = _checked(_PROG_LOAD, attributes(1), f"load the XDP program {name}")
            except DataplaneError as error:
                reasons = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
                if not reasons:
                    raise
                refused = "; ".join(reasons[-3:-1] if reasons[-1].startswith("processed") else reasons[-2:])
                raise DataplaneError(f"{error}: {refused}") from error.__cause__
        super().__init__(descriptor)

    def run(self, packet: bytes) -> int:
        """What it answers to one packet, without any interface (BPF_PROG_TEST_RUN)."""
        data = ctypes.create_string_buffer(packet, len(packet))
        attributes = bytearray(
            struct.pack("=IIIIQQIIIIQQ", self.fileno(), 0, len(packet), 0, ctypes.addressof(data), 0, 1, 0, 0, 0, 0, 0)
        )
        _checked(_PROG_RUN, attributes, "try the XDP program")
        return int(struct.unpack_from("=I", attributes, 4)[0])


class Link(Handle):
    """A program attached to an interface, until this is closed."""

    def __init__(self, program: Program, interface: int, where: int) -> None:
        """DataplaneError if the interface can not have it there, or has another already."""
        attributes = struct.pack("=IIII", program.fileno(), interface, _ATTACH_XDP, where)
        what = f"attach an XDP program to interface {interface}, {'native' if where == NATIVE else 'generic'} mode"
        super().__init__(_checked(_LINK_CREATE, attributes, what))


def _checked(command: int, attributes: bytes | bytearray, what: str) -> int:
    """bpf(2). What the kernel writes into the attributes is there afterwards if they are a bytearray."""
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is None:
        raise DataplaneError(f"cannot {what}: bpf(2) on {platform.machine()} is not known to svcplane")
    buffer = ctypes.create_string_buffer(bytes(attributes), len(attributes))
    result = int(_libc.syscall(number, command, ctypes.byref(buffer), len(attributes)))
    if result < 0:
        code = ctypes.get_errno()
        raise DataplaneError(f"cannot {what}: {os.strerror(code)} ({errno.errorcode.get(code, code)})") from OSError(
            code, os.strerror(code)
        )
    if isinstance(attributes, bytearray):
        attributes[:] = buffer.raw
    return result
