"""Fixtures for the tests of the controller."""

from __future__ import annotations

import shutil

import pytest

from certificates import Authority, new_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    return new_authority(tmp_path_factory.mktemp("certificates") / "authority")
