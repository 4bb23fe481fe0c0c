"""The load generators, compiled when they are asked for: one program per .c file, with what they share in each.

They are linked statically, so that one can be copied to another machine and run there.
"""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
BUILT = FOLDER / "built"
SHARED = ("load.c", "histogram.c", "frame.c")
FLAGS = ("-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-static")


def program(name: str) -> Path:
    """Where the program of this name is, newer than all that it is made from.

    CalledProcessError if it does not compile.
    """
    target = BUILT / name
    sources = [FOLDER / f"{name}.c", *(FOLDER / shared for shared in SHARED)]
    newest = max(file.stat().st_mtime for file in (*sources, *FOLDER.glob("*.h")))
    BUILT.mkdir(exist_ok=True)
    with (BUILT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists() or target.stat().st_mtime < newest:
            subprocess.run(["gcc", *FLAGS, *sources, "-o", target], check=True)
    return target
