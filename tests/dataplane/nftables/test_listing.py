"""What we write over netlink is what nft itself would write for the same text, and nft can list and reload it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplane.changes import Changes
from dataplane.netlink.channel import Channel
from dataplane.nft import dump, texts
from dataplane.nft.layer3 import IPV4, IPV6
from dataplane.nft.plan import Plan
from dataplane.nftables.ruleset import Ruleset
from dataplane.table import DetectLocal, ForwardingTable

pytestmark = pytest.mark.kernel


@pytest.fixture
def plans(both_families: ForwardingTable) -> dict[Any, Plan]:
    changes = Changes.between(ForwardingTable(), both_families)
    return {
        layer: Ruleset(layer, both_families.detect_local, 1 << 14).update(changes, both_families)
        for layer in (IPV4, IPV6)
    }


def script(plans: dict[Any, Plan]) -> str:
    """The same rulesets in nft's language."""
    lines = []
    for layer, plan in plans.items():
        lines.append(f"table {layer} svcplane {{")
        lines += [spec.text(layer) for spec in plan.new_sets.values()]
        lines += [chain.text for chain in plan.new_chains.values()]
        lines.append("}")
        for name, members in plan.added.items():
            spec = plan.new_sets[name]
            listed = ", ".join(texts.element(spec, key, tail) for key, tail in members)
            lines.append(f"add element {layer} svcplane {name} {{ {listed} }}")
    return "\n".join(lines)


def rules_and_elements() -> object:
    with Channel() as channel:
        return {
            layer: (
                dump.chains(channel, layer),
                dump.rules(channel, layer),
                {
                    name: {(e.key, e.tail) for e in dump.set_elements(channel, layer, name)}
                    for name in dump.sets(channel, layer)
                },
            )
            for layer in (IPV4, IPV6)
        }


def test_every_rule_and_element_is_to_the_byte_what_nft_makes_of_its_text(
    plans: dict[Any, Plan],
    both_families: ForwardingTable,
    programmed: Callable[..., Any],
    in_new_namespace: Callable[..., Any],
    nft: Callable[..., str],
) -> None:
    def by_nft() -> object:
        nft("-f", "-", script=script(plans))
        return rules_and_elements()

    theirs = in_new_namespace(by_nft)
    ours = programmed(lambda _: rules_and_elements(), both_families)
    for layer in (IPV4, IPV6):
        for part, other in zip(ours[layer], theirs[layer], strict=True):
            assert part.keys() == other.keys()
            different = {name for name in part if part[name] != other[name]}
            # For a range with a protocol in its key, nft 1.0.6 swaps the bytes of a number that has only one.
            assert different <= {"check-sources"}


def test_nft_lists_and_reloads_everything(
    both_families: ForwardingTable,
    programmed: Callable[..., Any],
    in_new_namespace: Callable[..., Any],
    nft: Callable[..., str],
) -> None:
    listed = programmed(lambda _: nft("list", "ruleset"), both_families)

    def reload() -> str:
        nft("-f", "-", script=listed)
        return nft("list", "ruleset")

    assert in_new_namespace(reload) == listed


@pytest.mark.parametrize(
    "detect",
    [
        DetectLocal(),
        DetectLocal(interface="cni0"),
        DetectLocal(interface="veth", prefix=True),
        DetectLocal(("0.0.0.0/0",)),
    ],
    ids=["nobody", "interface", "prefix", "everybody"],
)
def test_every_way_to_tell_pods_can_be_listed_and_reloaded(
    detect: DetectLocal,
    both_families: ForwardingTable,
    programmed: Callable[..., Any],
    in_new_namespace: Callable[..., Any],
    nft: Callable[..., str],
) -> None:
    table = ForwardingTable(both_families.frontends, detect_local=detect)
    listed = programmed(lambda _: nft("list", "ruleset"), table)

    def reload() -> str:
        nft("-f", "-", script=listed)
        return nft("list", "ruleset")

    assert in_new_namespace(reload) == listed


def test_maps_show_backends_as_people_know_them(
    both_families: ForwardingTable, programmed: Callable[..., Any], nft: Callable[..., str]
) -> None:
    listed = programmed(lambda _: nft("list", "map", "ip", "svcplane", "backends"), both_families)
    assert "10.96.0.1 . tcp . 80 . 2 : 10.244.1.3 . 8080" in listed
