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
from pathlib import Path
from typing import Any

from cffi import FFI

from bench.engine_batches import BATCH, Driver, Run, compiled
from bench.engine_scenarios import SCENARIOS, Scenario, table
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from native.build_ffi import FOLDER

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
    library = compiled(Path(__file__).with_suffix(".c"), folder)
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
        "void instructions_begin(void *engine_run, const char *name);"
        "void instructions_run(void);"
    )
    functions: Any = counting.dlopen(str(library))
    if not functions.instructions_are_counted():
        raise SystemExit("bench.engine_instructions: expected to be run by valgrind --tool=callgrind")
    driver = Driver(library.parent)
    counted = int(counting.cast("uintptr_t", functions.instructions_run))
    for number, scenario in enumerate(counted_scenarios()):
        with Engine(Host(), limits=Limits(flows=2 * FLOWS), seed=1) as engine:
            engine.apply(table(scenario.services, (scenario.family,)))
            packets = Run(driver, engine, scenario)
            packets.open()
            name = counting.new("char[]", b"scenario %d" % number)
            functions.instructions_begin(counting.cast("void *", driver.engine_run), name)
            packets.through(counted)
            next(packets.timed(COUNTED, turn=COUNTED))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
