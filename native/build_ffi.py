"""How the C code becomes the extension module `native._native`.

cffi in API mode: the compiler checks every declaration in a .cdef file against the header, and one build serves
all supported Python versions (the stable ABI). `setup.py` points here; nothing else does.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

# Each name stands for three files in this folder: NAME.c, NAME.h, and NAME.cdef with what Python may call.
UNITS = ("checksum",)

# Compiler warnings are errors in `make lint`, not here: a compiler that is newer than this file, and warns of
# more, must not stop anybody from installing.
COMPILER_FLAGS = ("-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra")

FOLDER = Path(__file__).parent


def make_builder() -> FFI:
    builder = FFI()
    for unit in UNITS:
        builder.cdef((FOLDER / f"{unit}.cdef").read_text())
    builder.set_source(
        "native._native",
        "\n".join(f'#include "{unit}.h"' for unit in UNITS),
        # setuptools wants paths from the folder of setup.py
        sources=[f"{FOLDER.name}/{unit}.c" for unit in UNITS],
        depends=[f"{FOLDER.name}/{unit}.h" for unit in UNITS],
        include_dirs=[FOLDER.name],
        extra_compile_args=list(COMPILER_FLAGS),
    )
    return builder


ffibuilder = make_builder()
