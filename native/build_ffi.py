"""How the C code becomes the extension module `native._native`.

cffi in API mode: the compiler checks every declaration in a .cdef file against the header, and one build serves
all supported Python versions (the stable ABI). `setup.py` points here; nothing else does.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

FOLDER = Path(__file__).parent

# Each name stands for NAME.c and NAME.h. In this order, no unit needs one that comes after it.
UNITS = (
    "checksum",
    "crc32c",
    "arena",
    "hash",
    "index",
    "runs",
    "packet",
    "offload",
    "tracking",
    "maglev",
    "service",
    "columns",
    "flow",
    "names",
    "image",
    "pool",
    "update",
    "affinity",
    "pick",
    "nat",
    "icmp",
    "limit",
    "fragment",
    "held",
    "decision",
    "engine",
    "batch",
    "restore",
    "durable",
    "access",
    "conntrack",
    "meter",
    "worker",
    "descriptor",
    "forwarding",
    "moderation",
    "xsk",
    "af_xdp",
    "nfqueue",
)

# What Python may call and read, unit by unit: NAME.cdef, after those that it needs.
DECLARED = (
    "checksum",
    "crc32c",
    "hash",
    "tuple",
    "packet",
    "offload",
    "tracking",
    "maglev",
    "service",
    "columns",
    "flow",
    "image",
    "names",
    "pool",
    "affinity",
    "limit",
    "decision",
    "held",
    "engine",
    "restore",
    "durable",
    "access",
    "meter",
    "port",
    "worker",
    "descriptor",
    "forwarding",
    "moderation",
    "af_xdp",
    "nfqueue",
)

# Compiler warnings are errors in `make lint`, not here: a compiler that is newer than this file, and warns of
# more, must not stop anybody from installing.
COMPILER_FLAGS = ("-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra")


def make_builder() -> FFI:
    builder = FFI()
    for unit in DECLARED:
        builder.cdef((FOLDER / f"{unit}.cdef").read_text())
    builder.set_source(
        "native._native",
        "\n".join(f'#include "{unit}.h"' for unit in DECLARED),
        # setuptools wants paths from the folder of setup.py
        sources=[f"{FOLDER.name}/{unit}.c" for unit in UNITS],
        depends=[f"{FOLDER.name}/{header.name}" for header in sorted(FOLDER.glob("*.h"))],
        include_dirs=[FOLDER.name],
        extra_compile_args=list(COMPILER_FLAGS),
        extra_link_args=["-pthread"],
    )
    return builder


ffibuilder = make_builder()
