"""The C tests, run under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from native.build_ffi import FOLDER, UNITS

HERE = Path(__file__).parent


@pytest.mark.parametrize("unit", UNITS)
def test_the_sanitizers_find_nothing(unit: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs the program gcc")
    program = tmp_path / unit
    flags = ("-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{FOLDER}")
    sources = (HERE / f"{unit}_test.c", *(FOLDER / f"{name}.c" for name in UNITS))
    built = subprocess.run(["gcc", *flags, *sources, "-o", program], capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("needs gcc's sanitizer libraries")
    assert built.returncode == 0, built.stderr
    run = subprocess.run([program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
