"""The C tests, run under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from native.build_ffi import FOLDER, UNITS

HERE = Path(__file__).parent
FLAGS = ("-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{FOLDER}")


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All C code, compiled once."""
    if shutil.which("gcc") is None:
        pytest.skip("needs the program gcc")
    folder = tmp_path_factory.mktemp("units")
    sources = [FOLDER / f"{unit}.c" for unit in UNITS]
    subprocess.run(["gcc", *FLAGS, "-c", *sources], cwd=folder, check=True)
    return sorted(folder.glob("*.o"))


@pytest.mark.parametrize("test", sorted(HERE.glob("*_test.c")), ids=lambda path: path.stem)
def test_the_sanitizers_find_nothing(test: Path, units: list[Path], tmp_path: Path) -> None:
    program = tmp_path / test.stem
    built = subprocess.run(["gcc", *FLAGS, test, *units, "-o", program], capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("needs gcc's sanitizer libraries")
    assert built.returncode == 0, built.stderr
    run = subprocess.run([program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
