"""Run one measurement in processes and a network namespace of its own.

Everything ends with it: no rule, interface or process outlives its measurement, and the memory measured is that of
nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent


class MeasurementFailedError(Exception):
    """The measuring process did not come to an end; the message is the end of what it said."""


def measure(module: str, *arguments: object, told: bool = False) -> dict[str, Any]:
    """Run ``python -m MODULE ARGUMENTS`` and return the JSON object that it prints last.

    `told`: what it says on its standard error is not kept, but goes where ours goes.
    """
    isolated = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*isolated, sys.executable, "-m", module, *map(str, arguments)]
    run = subprocess.run(
        command,
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=None if told else subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if run.returncode != 0:
        raise MeasurementFailedError(f"{' '.join(command)}: {(run.stderr or 'see above')[-4000:]}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures
