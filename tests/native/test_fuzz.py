"""Every fuzzer, for a second: `make fuzz DURATION=3600` does it thoroughly."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem for path in FOLDER.glob("*.c"))


def _has_clang() -> bool:
    return any(shutil.which(f"clang{version}") for version in ("", *(f"-{n}" for n in range(11, 30))))


def test_every_fuzzer_has_something_to_begin_with() -> None:
    assert all(list((FOLDER / "corpus" / target).iterdir()) for target in TARGETS)


@pytest.mark.long
@pytest.mark.timeout(600)  # compiling takes long on a busy machine
@pytest.mark.skipif(not _has_clang(), reason="needs clang, for libFuzzer")
def test_no_fuzzer_finds_anything() -> None:
    run = subprocess.run([FOLDER / "run", "1"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    tried = re.findall(r"number_of_executed_units: (\d+)", run.stdout)
    assert len(tried) == len(TARGETS)
    assert all(int(count) > 100 for count in tried)
