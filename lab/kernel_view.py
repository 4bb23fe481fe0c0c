"""What a machine's kernel says about Services, in its own words: rules, map elements, tracked connections.

For people to read, so the programs that people use are asked: `nft` and `conntrack`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from dataplane.errors import InputError
from lab.network.namespace import Namespace


def tracked_connections(machine: Namespace, source: str, source_port: int) -> list[str]:
    """The kernel's entries for one client socket: both directions on one line, as `conntrack -L` prints them."""
    family = "ipv6" if ":" in source else "ipv4"
    found = _ask(machine, ["conntrack", "-L", "-f", family, "-s", source, "-p", "tcp", "--sport", str(source_port)])
    return [" ".join(line.split()) for line in found.splitlines()]


def map_elements(machine: Namespace, address: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """(map, element) for every element of these maps of our table that begins with this address."""
    family = "ip6" if ":" in address else "ip"
    found: list[tuple[str, str]] = []
    for name in names:
        text = _ask(machine, ["nft", "list", "map", family, "svcplane", name])
        _, _, elements = text.partition("elements = {")
        for element in elements.partition("}")[0].split(","):
            if element.strip().startswith(f"{address} "):
                found.append((name, " ".join(element.split())))
    return sorted(found)


def chain_rules(machine: Namespace, chain: str, family: str = "ip") -> list[str]:
    """The rules of one chain of our table, in order."""
    text = _ask(machine, ["nft", "list", "chain", family, "svcplane", chain])
    inside = text.partition(f"chain {chain} {{")[2].rpartition("}")[0].rpartition("}")[0]
    return [line.strip() for line in inside.splitlines() if line.strip()]


def _ask(machine: Namespace, argv: Sequence[str]) -> str:
    if shutil.which(argv[0]) is None:
        raise InputError(f"the program {argv[0]} is missing (Debian and Ubuntu: apt install {_PACKAGES[argv[0]]})")
    try:
        return machine.run(argv).stdout
    except subprocess.CalledProcessError as error:
        raise InputError(f"{' '.join(argv)}: {error.stderr.strip()}") from error


_PACKAGES = {"nft": "nftables", "conntrack": "conntrack"}
