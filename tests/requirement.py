"""Says of a test which requirement it holds; docs/nat-requirements.md is made of what is said.

    @requirement("RFC 5382 REQ-5")
    @requirement("RFC 4787 REQ-14", kept="in order, always")
    def test_...

`kept`: what is kept, where the test's name doesn't say it. All is read from the source, so nothing need run. What is
asked for, in what order, and why something is not kept is below: a requirement has tests or a reason, never both.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

_T = TypeVar("_T", bound=Callable[..., object])

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "nat-requirements.md"


class Requirement(NamedTuple):
    name: str
    asks: str
    reason: str = ""
    """Why no test holds it: it isn't kept, or doesn't apply."""


class Held(NamedTuple):
    name: str
    test: str
    kept: str

    @property
    def words(self) -> str:
        return f"{self.kept}: `{self.test}`" if self.kept else f"`{self.test}`"


REQUIREMENTS = (
    Requirement(
        "RFC 4787 REQ-1",
        "UDP: endpoint-independent mapping",
        "not kept: each flow is mapped for itself, as Linux does for kube-proxy",
    ),
    Requirement("RFC 4787 REQ-2", "one external address for one internal"),
    Requirement("RFC 4787 REQ-3", "no two flows share a port"),
    Requirement("RFC 4787 REQ-4", "ports keep their parity", "not kept: a port that is replaced is replaced by any"),
    Requirement("RFC 4787 REQ-5", "UDP is remembered for two minutes at least, better five"),
    Requirement("RFC 4787 REQ-6", "what the client sends keeps the mapping"),
    Requirement(
        "RFC 4787 REQ-7",
        "overlapping internal and external addresses",
        "not applicable: pods and nodes have addresses of their own",
    ),
    Requirement("RFC 4787 REQ-8", "filtering"),
    Requirement("RFC 4787 REQ-9", "hairpinning"),
    Requirement("RFC 4787 REQ-10", "application gateways are off"),
    Requirement("RFC 4787 REQ-11", "deterministic behaviour"),
    Requirement("RFC 4787 REQ-12", "ICMP ends no mapping"),
    Requirement("RFC 4787 REQ-13", '"fragmentation needed" gets through'),
    Requirement("RFC 4787 REQ-14", "fragments in order, and if possible out of order"),
    Requirement("RFC 5382 REQ-1", "TCP: endpoint-independent mapping", "not kept, as for UDP"),
    Requirement("RFC 5382 REQ-2", "every valid opening, simultaneous ones too"),
    Requirement("RFC 5382 REQ-3", "filtering"),
    Requirement(
        "RFC 5382 REQ-4",
        "no answer to an unsolicited SYN for six seconds",
        "not applicable: such a SYN is passed on to the host, which may be who it is for",
    ),
    Requirement("RFC 5382 REQ-5", "2 h 4 min when established, else 4 min"),
    Requirement("RFC 5382 REQ-6", "application gateways are off"),
    Requirement("RFC 5382 REQ-7", "no two connections share a port"),
    Requirement("RFC 5382 REQ-8", "hairpinning"),
    Requirement("RFC 5382 REQ-9", 'ICMP "unreachable" is translated'),
    Requirement("RFC 5382 REQ-10", "ICMP ends no connection"),
    Requirement(
        "RFC 5508 REQ-1, 2",
        "ICMP queries are mapped, for 60 s",
        "not applicable: a Service has no ICMP, and queries to others are not translated",
    ),
    Requirement("RFC 5508 REQ-3", "errors with a wrong checksum are dropped"),
    Requirement("RFC 5508 REQ-4", "errors from outside are translated"),
    Requirement("RFC 5508 REQ-5", "errors from inside are translated"),
    Requirement("RFC 5508 REQ-6", "errors neither refresh nor end a mapping"),
    Requirement("RFC 5508 REQ-7", "errors about hairpin connections"),
    Requirement(
        "RFC 5508 REQ-8",
        "out of room: an ICMP error, type 3 code 13",
        "not kept: the packet is dropped and counted, as Linux does",
    ),
    Requirement("RFC 7857 2.2", "four minutes more after a reset"),
    Requirement("RFC 4884", "extensions of an ICMP error stay where its length field says"),
    Requirement("RFC 1812 4.3.2.3, RFC 4443 2.4 c", "errors of our own quote as much as fits"),
    Requirement("RFC 1812 4.3.2.7, RFC 4443 2.4 e", "no error about an error, nor to who is nobody"),
    Requirement("RFC 1812 4.3.2.8, RFC 4443 2.4 f", "errors of our own are limited in number"),
)

INVARIANTS = (
    Requirement("invariant 1", "a packet translated there and back is the same bytes"),
    Requirement("invariant 2", "a checksum that follows the changes is the one computed anew"),
    Requirement("invariant 3", "the backend of a flow never changes while the flow lives"),
    Requirement("invariant 4", "nothing goes to an endpoint that is neither ready nor serving while it terminates"),
    Requirement("invariant 5", "once the last endpoint of a UDP Service is gone, no flow points to it"),
    Requirement("invariant 6", "never more flows than fit; who has to go is as stated; in is out and what was dropped"),
    Requirement("invariant 7", "nothing but addresses, ports and checksums is written"),
    Requirement("invariant 8", "the same seed and packets give the same"),
    Requirement("invariant 9", "after a restart with what was saved, all is decided as before"),
    Requirement("invariant 10", "two engines with one key pick the same backend by Maglev"),
)
"""True of any history, whoever asks."""

EVERYTHING = REQUIREMENTS + INVARIANTS


def requirement(name: str, *, kept: str = "") -> Callable[[_T], _T]:
    """Nothing but words for people, and for `held`."""
    return lambda test: test


@cache
def held() -> list[Held]:
    """What tests say that they hold, in the order of files and lines."""
    return [found for path in sorted(TESTS.rglob("test_*.py")) for found in _of(ast.parse(path.read_text()))]


def _of(module: ast.Module) -> Iterator[Held]:
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "requirement":
                said = {word.arg: ast.literal_eval(word.value) for word in decorator.keywords if word.arg}
                yield Held(ast.literal_eval(decorator.args[0]), node.name, said.get("kept", ""))


def page() -> str:
    found = held()
    return _HEAD + _rows(REQUIREMENTS, found) + _MIDDLE + _rows(INVARIANTS, found) + _FOOT


def _rows(of: tuple[Requirement, ...], found: list[Held]) -> str:
    return "".join(
        f"| {one.name} | {one.asks} | {one.reason or ', '.join(h.words for h in found if h.name == one.name)} |\n"
        for one in of
    )


_HEAD = """\
# What the RFCs ask of a NAT, and what the C engine does
A Service translates destinations, and sources only where it masquerades. So the requirements on how ports are mapped
(endpoint-independent mapping, parity, pools) concern masquerading alone; those on timers, ICMP, fragments and hairpins
concern everything. Each test, in `tests/dataplane/userspace`, says which requirement it holds; `python
tests/requirement.py` puts it in here. What no test holds has its reason.

| requirement | asks for | here |
|---|---|---|
"""

_MIDDLE = """
## Invariants
What no RFC says, and must be true of any history of connections, answers, changes and time. Each is one property in
`tests/dataplane/userspace/test_invariants.py`, tried on histories drawn by chance.

| invariant | says | here |
|---|---|---|
"""

_FOOT = """
Linux's own timeouts, which are shorter for UDP and longer for TCP, are `LINUX_TIMEOUTS` in
`dataplane/userspace/limits.py`.
"""

if __name__ == "__main__":
    PAGE.write_text(page())
