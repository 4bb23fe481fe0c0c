"""What rules in the text form of ``iptables-save`` do with a packet, without a kernel and without root.

It reads the text on its own, with nothing of the code under test, and knows the few matches and targets that a Service
proxy uses; anything else is an error. Chance is not drawn: all that it could do is followed, each with its probability.

    tracer = Tracer(text, host_addresses)
    for way in tracer.ways(packet): way.outcome, way.destination, way.masqueraded, way.probability
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint


@dataclass(frozen=True)
class Way:
    """One thing that can happen to a packet. `trace` holds the rules that it met and that matched."""

    outcome: Outcome
    destination: Endpoint
    masqueraded: bool
    probability: float
    trace: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """The options of one rule in order: name, values, and whether a ``!`` stood before."""

    text: str
    options: tuple[tuple[str, tuple[str, ...], bool], ...]

    @staticmethod
    def parse(text: str) -> Rule:
        options: list[tuple[str, tuple[str, ...], bool]] = []
        inverted = False
        for word in shlex.split(text):
            if word == "!":
                inverted = True
            elif word.startswith("-") and len(word) > 1 and not word[1].isdigit():
                options.append((word, (), inverted))
                inverted = False
            else:
                name, values, no = options[-1]
                options[-1] = (name, (*values, word), no)
        return Rule(text, tuple(options))


@dataclass
class _Passing:
    """A packet on its way: what it looks like by now."""

    packet: Packet
    translated: bool = False
    mark: int = 0
    masqueraded: bool = False
    probability: float = 1.0
    trace: list[str] = field(default_factory=list)


class _Chance:
    """Answers for rules that leave it to chance: first as it is told, then yes."""

    def __init__(self, told: Iterable[bool]) -> None:
        self.told = list(told)
        self.answers: list[bool] = []

    def happens(self) -> bool:
        number = len(self.answers)
        self.answers.append(self.told[number] if number < len(self.told) else True)
        return self.answers[-1]


class Tracer:
    """One family's rules. `memory` is what xt_recent knows: list, source → when. `now` is in seconds."""

    def __init__(self, text: str, host_addresses: Iterable[str]) -> None:
        self.chains = _chains(text)
        self.host_addresses = frozenset(host_addresses)
        self.memory: dict[str, dict[str, float]] = {}
        self.now = 0.0

    def ways(self, packet: Packet) -> Iterator[Way]:
        """Everything that can happen to the first packet of a connection. Nobody is remembered."""
        told: list[bool] = []
        while True:
            kept = {name: dict(entries) for name, entries in self.memory.items()}
            chance = _Chance(told)
            yield self._way(packet, chance)
            self.memory = kept
            answers = chance.answers
            while answers and not answers[-1]:
                answers.pop()
            if not answers:
                return
            told = [*answers[:-1], False]

    def send(self, packet: Packet, chance: Iterable[bool] = ()) -> Way:
        """The first packet of one connection; it is remembered."""
        return self._way(packet, _Chance(chance))

    def _way(self, packet: Packet, chance: _Chance) -> Way:
        passing = _Passing(packet)
        outcome = self._route(passing, chance)
        return Way(outcome, passing.packet.destination, passing.masqueraded, passing.probability, tuple(passing.trace))

    def _route(self, passing: _Passing, chance: _Chance) -> Outcome:
        """The hooks in the order in which the kernel calls them."""
        own = passing.packet.interface is None
        self._call("nat", "OUTPUT" if own else "PREROUTING", passing, chance)
        for_host = passing.packet.destination.address in self.host_addresses
        filters = ["OUTPUT"] if own else []
        if for_host:
            filters.append("INPUT")
        elif not own:
            filters.append("FORWARD")
        for hook in filters:
            verdict = self._call("filter", hook, passing, chance)
            if verdict in ("DROP", "REJECT"):
                return Outcome.DROP if verdict == "DROP" else Outcome.REJECT
        if own or not for_host:
            self._call("nat", "POSTROUTING", passing, chance)
        return Outcome.FORWARD if passing.translated else Outcome.PASS

    def _call(self, table: str, chain: str, passing: _Passing, chance: _Chance) -> str:
        """The verdict of a chain: ACCEPT, DROP, REJECT, or RETURN at its end."""
        for rule in self.chains[table][chain]:
            if not self._matches(rule, passing, chance):
                continue
            passing.trace.append(f"{table} {chain}: {rule.text}")
            target = next((values[0] for name, values, _ in rule.options if name == "-j"), None)
            if target is None:
                continue
            verdict = self._target(table, target, rule, passing, chance)
            if verdict == "RETURN" and target == "RETURN":
                return "RETURN"
            if verdict not in ("RETURN", "CONTINUE"):
                return verdict
        return "RETURN"

    def _target(self, table: str, target: str, rule: Rule, passing: _Passing, chance: _Chance) -> str:
        values = {name: given for name, given, _ in rule.options}
        if target in ("ACCEPT", "DROP", "REJECT", "RETURN"):
            return target
        if target == "MARK":
            value, mask = (int(number, 16) for number in values["--set-xmark"][0].split("/"))
            passing.mark = (passing.mark & ~mask) ^ value
            return "CONTINUE"
        if target == "MASQUERADE":
            passing.masqueraded = True
            return "ACCEPT"
        if target == "DNAT":
            address, _, port = values["--to-destination"][0].rpartition(":")
            passing.packet = replace(passing.packet, destination=Endpoint(address.strip("[]"), int(port)))
            passing.translated = True
            return "ACCEPT"
        return self._call(table, target, passing, chance)

    def _matches(self, rule: Rule, passing: _Passing, chance: _Chance) -> bool:
        recent = {name: values for name, values, _ in rule.options}
        for name, values, inverted in rule.options:
            if name in _ARGUMENTS:
                continue
            if name == "-j":
                break
            if name == "--probability":
                # Written with ten decimals: as it is rounded there, no more and no less.
                probability, happens = float(values[0]), chance.happens()
                passing.probability *= probability if happens else 1 - probability
                matched = happens
            elif name in ("--rcheck", "--set"):
                matched = self._recent(name, recent, passing.packet.source.address)
            else:
                matched = self._looks_like(name, values[0], passing)
            if matched == inverted:
                return False
        return True

    def _recent(self, name: str, options: dict[str, tuple[str, ...]], source: str) -> bool:
        entries = self.memory.setdefault(options["--name"][0], {})
        if name == "--set":
            entries[source] = self.now
            return True
        since = self.now - int(options["--seconds"][0])
        for known in [known for known, when in entries.items() if when < since]:
            del entries[known]  # --reap
        return source in entries

    def _looks_like(self, name: str, value: str, passing: _Passing) -> bool:
        packet = passing.packet
        if name == "-s":
            return _is_in(packet.source.address, value)
        if name == "-d":
            return _is_in(packet.destination.address, value)
        if name == "-i":
            interface = packet.interface or ""
            return interface.startswith(value[:-1]) if value.endswith("+") else interface == value
        if name == "-p":
            return packet.protocol.lower() == value
        if name == "--dport":
            first, _, last = value.partition(":")
            return int(first) <= packet.destination.port <= int(last or first)
        if name == "--src-type":
            assert value == "LOCAL"
            return packet.source.address in self.host_addresses
        if name == "--dst-type":
            assert value == "LOCAL"
            return packet.destination.address in self.host_addresses
        if name == "--ctstate":
            return bool({"NEW", *(["DNAT"] if passing.translated else [])} & set(value.split(",")))
        if name == "--mark":
            wanted, mask = (int(number, 16) for number in value.split("/"))
            return passing.mark & mask == wanted
        raise AssertionError(f"the tracer does not know {name}")


#: Options that say nothing on their own.
_ARGUMENTS = ("-m", "--comment", "--mode", "--name", "--seconds", "--reap", "--mask", "--rsource")


def _is_in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def _chains(text: str) -> dict[str, dict[str, list[Rule]]]:
    """From the output of ``iptables-save``, or the input of ``iptables-restore``."""
    tables: dict[str, dict[str, list[Rule]]] = {}
    chains: dict[str, list[Rule]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:], {hook: [] for hook in _HOOKS})
        elif line.startswith(":"):
            chains.setdefault(line[1:].split()[0], [])
        elif line.startswith(("-A ", "-I ")):
            command, chain, rule = line.split(" ", 2)
            where = len(chains[chain]) if command == "-A" else 0
            chains[chain].insert(where, Rule.parse(rule))
    return tables


_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
