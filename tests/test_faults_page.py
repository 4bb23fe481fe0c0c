"""docs/faults.md claims nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_fault_is_held_by_the_test_it_names() -> None:
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if re.match(r"\| (?!What)\w", line)]
    named = [row.rsplit("| `", 1)[1].removesuffix("` |") for row in rows]
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) >= 20
    assert [name for name in named if name not in written] == []
