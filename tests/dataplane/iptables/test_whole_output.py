"""The whole text for a cluster with one Service of each kind, to be read, and to show what a change of ours changes.

`mixed-cluster.txt` is made by running this file: ``python tests/dataplane/iptables/test_whole_output.py``. Read the
difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dataplane.iptables.chain import Options
from dataplane.table import Family
from mixed_cluster import mixed_cluster

EXPECTED = Path(__file__).with_name("mixed-cluster.txt")

OPTIONS = Options(localhost_node_ports=True)


def test_the_whole_output_is_as_expected(written: Callable[..., str]) -> None:
    assert written(mixed_cluster(), Family.IPV4, OPTIONS) == EXPECTED.read_text()


if __name__ == "__main__":
    from dataplane.iptables.restore import Restore
    from dataplane.iptables.ruleset import Ruleset
    from dataplane.iptables.skeleton import guests

    ruleset = Ruleset.of(mixed_cluster(), Family.IPV4, OPTIONS)
    EXPECTED.write_text(Restore(ruleset.chains, guests=guests(ruleset.setting)).text())
