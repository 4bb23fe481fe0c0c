"""The table of requirements in docs/nat-requirements.md says what the tests show."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = Path(__file__).parents[3] / "docs" / "nat-requirements.md"


def test_every_test_of_a_requirement_is_in_the_table_and_every_name_in_the_table_is_one() -> None:
    defined = set(re.findall(r"^def (test_rfc\w+)", (HERE / "test_rfc.py").read_text(), re.MULTILINE))
    named = re.findall(r"`(test_rfc\w+)`", TABLE.read_text())
    assert sorted(named) == sorted(defined)


def test_a_test_stands_in_the_row_of_its_requirement() -> None:
    for row in TABLE.read_text().splitlines():
        for number, requirement in re.findall(r"`test_rfc(\d+)_(req\d+|\d+_\d+)_", row):
            title = row.split("|")[1].strip()
            assert title == f"RFC {number} {requirement.replace('req', 'REQ-').replace('_', '.')}"


def test_files_that_the_table_names_exist() -> None:
    for name in re.findall(r"`(test_\w+\.py)`", TABLE.read_text()):
        assert (HERE / name).exists()
