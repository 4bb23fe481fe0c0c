"""Does an agent hold out: changes all the time, an API server that comes and goes, kills, and traffic throughout?

This one fails where something was wrong. What happens, and what counts as wrong, says `bench/soak/__main__.py`.
"""

from __future__ import annotations

import pytest

from bench.namespace import measure


@pytest.mark.timeout(0)
def test_an_agent_holds_out(request: pytest.FixtureRequest) -> None:
    minutes: float = request.config.getoption("--soak-minutes")
    seed: int = request.config.getoption("--soak-seed")
    happened = measure("bench.soak", minutes, seed, told=True)
    print("\n" + "\n".join(f"{name}: {value}" for name, value in happened.items()))
    assert happened["wrong"] == []
