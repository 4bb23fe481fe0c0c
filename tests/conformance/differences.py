"""Cases that come out differently in a mode, and why: the only ones. All others pass in every mode.

`test_packets.py` expects these to fail, and complains when one passes. So docs/what-passes-where.md, which is made from
them, is what tests have seen:

    PYTHONPATH=.:tests .venv/bin/python -m conformance.differences >docs/what-passes-where.md
"""

from __future__ import annotations

from collections.abc import Mapping

from conformance.cases import Case, recorded_cases
from conformance.more_cases import more_cases
from conformance.packet_run import MODES, Mode

_LINGERS = "IPVS counts a client's time from the end of its last connection, and remembers an ended one for two minutes"
_ONE_FLOW = (
    "conntrack tells the two flows apart by their source ports, but IPVS sees answers after that is undone: both "
    "come from the newer one's address"
)

#: Mode → case → why.
DIFFERENCES: Mapping[str, Mapping[str, str]] = {
    "ipvs": {
        "affinity-timeout-expires": _LINGERS,
        "affinity-timeout-shortened": _LINGERS,
        "affinity-is-shared-by-all-addresses-of-a-port": "each address remembers for itself, and a NodePort hashes",
        "udp-one-client-port-at-two-services-of-one-endpoint": _ONE_FLOW,
    }
}

ALL: tuple[Case, ...] = (*recorded_cases(), *more_cases())


def why(mode: Mode, case: Case) -> str | None:
    """Why the case comes out differently in this mode; None if it does not."""
    return DIFFERENCES.get(mode.name, {}).get(case.name)


def page() -> str:
    """docs/what-passes-where.md."""
    lines = [
        "# What passes where",
        f"{len(ALL)} conformance cases ([tests/conformance](../tests/conformance/README.md)) run with real packets in",
        "every mode: those recorded from kube-proxy v1.36.2, and more of the same form. This page is made from what",
        "the tests expect, and they complain when a case passes that should not (`tests/conformance/differences.py`).",
        "",
        "| mode | pass | come out differently |",
        "|---|---|---|",
    ]
    for mode in MODES:
        differing = len(DIFFERENCES.get(mode.name, {}))
        lines.append(f"| {mode.name} | {len(ALL) - differing} | {differing} |")
    lines += [
        "",
        "Where the kernel at hand has no IPVS, that mode is tried in a VM ([tests/vm](../tests/vm/README.md)).",
        "",
        "Every mode is also held against the reference in random clusters, with packets (`test_random_clusters.py`),",
        "the iptables modes with what kube-proxy's layout does otherwise (`tests/kube_proxy_layout.py`); and",
        "`test_mode_change.py` changes from every mode to every other.",
        "",
        "| mode | case | why |",
        "|---|---|---|",
    ]
    lines += [
        f"| {mode} | {case} | {reason} |" for mode, cases in DIFFERENCES.items() for case, reason in cases.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
