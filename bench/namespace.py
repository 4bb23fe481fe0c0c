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


class TooSlowError(MeasurementFailedError):
    """It was not done when its time was over."""


def measure(module: str, *arguments: object, limit: float | None = None, told: bool = False) -> dict[str, Any]:
    """Run ``python -m MODULE ARGUMENTS`` and return the JSON object that it prints last.

    After `limit` seconds it is ended: TooSlowError. `told`: what it says on its standard error is not kept, but goes
    where ours goes.
    """
    isolated = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*isolated, sys.executable, "-m", module, *map(str, arguments)]
    try:
        run = subprocess.run(
            command,
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=None if told else subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        raise TooSlowError(f"not done after {limit:.0f} s") from None
    if run.returncode != 0:
        raise MeasurementFailedError(f"{' '.join(command)}: {(run.stderr or 'see above')[-4000:]}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures
