"""Legacy or nft: which iptables is this node's?

Two programs have one name: iptables-legacy speaks to the old kernel interface, iptables-nft to nf_tables. Rules of one
are not seen by the other, but packets meet both, so a node must stay with one. Kubelet's canary tells which, or the
rules of a proxy that ran here before; else the one that plain ``iptables`` is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

from dataplane.errors import InputError
from dataplane.iptables.command import Iptables
from dataplane.iptables.saved import Saved, is_ours
from dataplane.table import Family

VARIANTS = ("nft", "legacy")
AUTO = "auto"

#: Chains that kubelet makes to say which variant it uses.
_KUBELET = ("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY")


def installed_variants() -> tuple[str, ...]:
    return tuple(v for v in VARIANTS if all(shutil.which(f"iptables-{v}-{what}") for what in ("save", "restore")))


def check_variant(wanted: str) -> None:
    """InputError if there is none of this name."""
    if wanted not in (AUTO, *VARIANTS):
        raise InputError(f"--iptables-variant: {wanted!r} is none of {', '.join((AUTO, *VARIANTS))}")


def choose_variant(wanted: str = AUTO) -> str:
    """``legacy`` or ``nft``, for the calling thread's namespace.

    InputError if it is not installed, or if the other one holds a proxy's rules: they would go on translating packets.
    """
    check_variant(wanted)
    installed = installed_variants()
    if not installed or wanted not in (AUTO, *installed):
        name = "iptables" if wanted == AUTO else f"iptables-{wanted}"
        raise InputError(f"--iptables-variant: {name}-save and {name}-restore are not installed")
    held = {variant: _held(variant) for variant in installed}
    chosen = wanted if wanted != AUTO else _best(installed, held)
    for other in installed:
        proxy = [chain for saved in held[other] for chain in saved.ours()]
        if other != chosen and proxy:
            raise InputError(
                f"--iptables-variant: {chosen} was chosen, but {len(proxy)} chains of a Service proxy are in "
                f"iptables-{other} ({proxy[0]}): choose {other}, or clean up first with --cleanup --proxy-mode=iptables"
            )
    return chosen


def _held(variant: str) -> list[Saved]:
    return [Iptables(variant, family).save() for family in families(variant)]


def families(variant: str) -> tuple[Family, ...]:
    """The families that this host has, and that the variant's programs are installed for."""
    found = [Family.IPV4]
    if _has_ipv6() and shutil.which(f"ip6tables-{variant}-restore"):
        found.append(Family.IPV6)
    return tuple(found)


def _has_ipv6() -> bool:
    try:
        with open("/proc/thread-self/net/if_inet6"):
            return True
    except OSError:
        return False


def _best(installed: Iterable[str], held: dict[str, list[Saved]]) -> str:
    variants = list(installed)
    for variant in variants:
        if any(chain.name in _KUBELET for saved in held[variant] for chain in saved.chains):
            return variant
    for variant in variants:
        if any(is_ours(chain) for saved in held[variant] for chain in saved.chains):
            return variant
    usual = _usual()
    return usual if usual in variants else variants[0]


def _usual() -> str:
    """The variant that plain ``iptables`` is."""
    try:
        version = subprocess.run(["iptables", "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "nft" if "nf_tables" in version else "legacy"
