"""Says of a test which fault it is about; docs/faults.md is made of what is said.

    @fault("the API server is away", seen="Services as they were", well="the next try", kube_proxy="the same")
    def test_...

`seen`: what users and operators see. `well`: how long until all is well again, from the end of the fault. `kube_proxy`:
what it does then. `place`: where in the table. All is read from the source, so nothing need run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

_T = TypeVar("_T", bound=Callable[..., object])

TESTS = Path(__file__).parent


class Fault(NamedTuple):
    place: int
    what: str
    seen: str
    well: str
    kube_proxy: str
    test: str

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.seen} | {self.well} | {self.kube_proxy} | `{self.test}` |"


def fault(what: str, *, place: int, seen: str, well: str, kube_proxy: str) -> Callable[[_T], _T]:
    """Nothing but words for people, and for `faults`."""
    return lambda test: test


@cache
def faults() -> list[Fault]:
    """All that tests are about, in the order of the table."""
    return sorted(found for path in TESTS.rglob("test_*.py") for found in _of(ast.parse(path.read_text())))


def _of(module: ast.Module) -> Iterator[Fault]:
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "fault":
                said = {word.arg: ast.literal_eval(word.value) for word in decorator.keywords if word.arg}
                yield Fault(what=ast.literal_eval(decorator.args[0]), test=node.name, **said)


def page() -> str:
    return _HEAD + "".join(f"{found.row}\n" for found in faults())


PAGE = TESTS.parent / "docs" / "faults.md"

_HEAD = """\
# What happens when something goes wrong

The agent's rule for all of them: the last good rules stay in force, health and metrics say what is wrong, and it gets
well by itself. "Until" is from the end of the fault. Each row is written at the test that holds it, and put in here by
`python tests/fault.py`. kube-proxy's column is v1.36 in nftables mode, by its source.

| What goes wrong | What users and operators see | Until it is well again | kube-proxy | Test |
|---|---|---|---|---|
"""

if __name__ == "__main__":
    PAGE.write_text(page())
