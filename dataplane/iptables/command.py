"""Running iptables: the only place where programs are started."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from dataplane.interface import DataplaneError
from dataplane.iptables.saved import Saved
from dataplane.table import Family

_LOCK_SECONDS = 5  # how long to wait for the lock that all iptables programs share
_PATIENCE = 300  # seconds; a kernel that takes longer is taken for stuck

#: In one transaction of iptables-nft.
MOST_CHAINS = 500


@dataclass(frozen=True, slots=True)
class Iptables:
    """iptables of one variant (``legacy`` or ``nft``) and one family, in the calling thread's namespace."""

    variant: str
    family: Family

    @property
    def name(self) -> str:
        return f"{'iptables' if self.family is Family.IPV4 else 'ip6tables'}-{self.variant}"

    @property
    def most_chains(self) -> int | None:
        """How many chains one transaction should have at most.

        iptables-nft (1.8.9) keeps a sorted list of the names in a transaction and looks each one up from its
        beginning, so that 100,000 at once take it more than five minutes. iptables-legacy reads and writes the whole
        table in each, so that one is best.
        """
        return MOST_CHAINS if self.variant == "nft" else None

    def save(self) -> Saved:
        """All rules of all tables. Tables that do not exist are not made by asking."""
        return Saved.parse(self._run([f"{self.name}-save"]))

    def restore(self, text: str) -> None:
        """Write. Each transaction is carried out whole or not at all; none is after one that was refused."""
        if text:
            self._run([f"{self.name}-restore", "--noflush", "--counters", "-w", str(_LOCK_SECONDS)], text)

    def _run(self, command: list[str], given: str = "") -> str:
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_PATIENCE)
        except OSError as error:
            raise DataplaneError(f"iptables: cannot run {command[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise DataplaneError(f"iptables: {command[0]} did not end within {_PATIENCE} s") from error
        if done.returncode != 0:
            raise DataplaneError(f"iptables: {command[0]} failed: {_complaint(done.stderr, given)}")
        return done.stdout


def _complaint(errors: str, given: str) -> str:
    """What the program says in one line, with the line of input that it speaks of."""
    said = " ".join(line for line in errors.split("\n") if line and not line.startswith("#"))
    number = re.search(r"line:? (\d+)", said)
    lines = given.split("\n")
    if number and 0 < int(number[1]) <= len(lines):
        return f"{said} ({lines[int(number[1]) - 1]!r})"
    return said or "it does not say why"
