from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cable import Cable, plugged_in


@pytest.fixture
def cable() -> Iterator[Cable]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces of its own")
    with plugged_in() as both:
        yield both
