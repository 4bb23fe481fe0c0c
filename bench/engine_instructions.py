"""Instructions that the engine executes for a packet: the same on every run, however busy the machine is.

`count` starts this file again under valgrind's callgrind, which counts inside `engine_run` only. Before each batch that
counts it begins at zero, and after it writes a file (`engine_instructions.c`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cffi import FFI

from bench.engine_batches import BATCH, Run
from bench.engine_scenarios import SCENARIOS, Scenario, table
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from native.build_ffi import COMPILER_FLAGS, FOLDER
from native.library import ffi, lib

COUNTED = 2  #: batches
FLOWS = 1024  #: at the most: more would be the same instructions, and only more waiting for memory
SERVICES = 10  #: likewise


def counted_scenarios() -> tuple[Scenario, ...]:
    """Those that differ in what is executed."""
    known: dict[tuple[str, int], Scenario] = {}
    for scenario in SCENARIOS:
        smaller = replace(
            scenario,
            flows=min(scenario.flows, FLOWS),
            services=min(scenario.services, SERVICES),
            name=scenario.name.partition(",")[0],
        )
        known.setdefault((smaller.name, smaller.services), smaller)
    return tuple(known.values())


def why_not() -> str:
    """Why nothing can be counted here, in words; "" if it can."""
    if shutil.which("valgrind") is None:
        return "needs valgrind"
    if not Path("/usr/include/valgrind/callgrind.h").exists():
        return "needs valgrind/callgrind.h"
    return ""


def count(folder: Path) -> dict[Scenario, float]:
    """Instructions for each packet, by scenario. `folder` is for files that are of no use afterwards."""
    library = folder / "instructions.so"
    flags = [flag for flag in COMPILER_FLAGS if "visibility" not in flag]
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", *flags, "-shared", "-fPIC", f"-I{FOLDER}", source, "-o", library], check=True)
    program = ["valgrind", "--tool=callgrind", "--toggle-collect=engine_run", f"--callgrind-out-file={folder}/counted"]
    done = subprocess.run(
        [*program, sys.executable, "-m", "bench.engine_instructions", library],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"valgrind has failed ({done.returncode}): {done.stderr[-2000:]}")
    return read(folder, counted_scenarios())


def read(folder: Path, scenarios: Sequence[Scenario]) -> dict[Scenario, float]:
    """What callgrind wrote: a file for each batch, whose first lines say of which scenario, and how much in all."""
    instructions = dict.fromkeys(scenarios, 0.0)
    for file in folder.glob("counted.*"):
        text = file.read_text()
        number = re.search(r"^desc: Trigger: Client Request: scenario (\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if number and total:
            instructions[scenarios[int(number[1])]] += int(total[1]) / (COUNTED * BATCH)
    return instructions


def run(library: Path) -> None:
    """What happens under valgrind."""
    counting = FFI()
    counting.cdef(
        "int instructions_are_counted(void);"
        "void instructions_of_run(void *run, void *engine, void *memory, size_t size, void *packets, size_t count,"
        "                         uint32_t link, uint64_t now, const char *name);"
    )
    functions: Any = counting.dlopen(str(library))
    if not functions.instructions_are_counted():
        raise SystemExit("bench.engine_instructions: expected to be run by valgrind --tool=callgrind")
    address = int(ffi.cast("uintptr_t", ffi.addressof(lib, "engine_run")))

    def there(pointer: Any) -> Any:
        return counting.cast("void *", int(ffi.cast("uintptr_t", pointer)))

    for number, scenario in enumerate(counted_scenarios()):
        with Engine(Host(), limits=Limits(flows=2 * FLOWS), seed=1) as engine:
            engine.apply(table(scenario.services, (scenario.family,)))
            packets = Run(engine, scenario)
            packets.open()
            for batch in islice(packets.loaded(packets.signals), COUNTED):
                functions.instructions_of_run(
                    counting.cast("void *", address),
                    there(engine._engine),
                    there(batch.memory),
                    len(batch.memory),
                    there(batch.packets),
                    batch.count,
                    batch.link,
                    1000,
                    b"scenario %d" % number,
                )
                packets.check()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
