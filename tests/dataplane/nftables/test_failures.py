"""A transaction that the kernel refuses changes nothing, says what was refused, and is made good by the next apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplane.interface import DataplaneError
from dataplane.netlink.channel import Channel
from dataplane.nft.layer3 import IPV4
from dataplane.nft.objects import Chain
from dataplane.nft.statements import goto, rule
from dataplane.nft.transaction import Transaction
from dataplane.nftables import NftablesDataplane
from dataplane.table import Forward
from fault import fault

pytestmark = pytest.mark.kernel


def test_a_failed_apply_leaves_the_old_rules_names_the_operation_and_is_repaired_by_the_next(
    tables: Any, word: str, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    before = tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 2), False)))
    after = tables.table(
        tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 3), False)),
        tables.frontend(tables.vip(2), 80, Forward(tables.pool(1, 2, 3), False)),
    )

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(before)
        # Somebody takes an element away, so that deleting it must fail.
        nft("delete", "element", word, "svcplane", "backends", f"{{ {tables.vip(1)} . tcp . 80 . 1 }}")
        old = nft("list", "ruleset")
        with pytest.raises(DataplaneError, match=f"cannot delete 1 element in {word} svcplane backends: No such file"):
            dataplane.apply(after)
        assert nft("list", "ruleset") == old
        applied = dataplane.apply(after)
        assert applied.full
        assert not dataplane.audit()

    in_new_namespace(work)


def test_the_error_names_the_rule_and_keeps_the_kernels_words(in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        transaction = Transaction()
        transaction.add_table(IPV4)
        transaction.add_chain(IPV4, Chain("one", ()))
        transaction.add_rules(IPV4, Chain("one", (rule(goto("nowhere")),)))
        transaction.add_chain(IPV4, Chain("two", ()))
        with Channel() as channel, pytest.raises(DataplaneError) as refused:
            transaction.commit(channel)
        assert "cannot add rule ip svcplane one goto nowhere: No such file or directory (ENOENT)" in str(refused.value)
        assert "\n" not in str(refused.value)

    in_new_namespace(work)


def test_rules_are_whole_at_every_moment_of_a_restart(
    tables: Any, word: str, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    """A second agent's first apply is one transaction: the kernel's generation moves by one."""
    from dataplane.nft import dump

    table = tables.everything()

    def work() -> None:
        NftablesDataplane().apply(table)
        old = nft("list", "ruleset")
        with Channel() as channel:
            generation = dump.generation(channel)
            second = NftablesDataplane()
            assert second.apply(table).full
            assert dump.generation(channel) == generation + 1
        assert sorted(nft("list", "ruleset").splitlines()) == sorted(old.splitlines())
        assert not second.audit()

    in_new_namespace(work)


def test_what_an_older_version_left_in_the_table_is_replaced(
    tables: Any, word: str, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    left = f"""
        table {word} svcplane {{
            set services {{ type inet_service; elements = {{ 80 }} }}
            map gone {{ type inet_service : verdict; elements = {{ 80 : goto old }} }}
            chain old {{ drop; }}
            chain nat-output {{ type nat hook output priority -90; tcp dport vmap @gone; }}
            chain translate {{ type filter hook input priority 7; tcp dport @services drop; }}
        }}
    """

    def work() -> None:
        nft("-f", "-", script=left)
        dataplane = NftablesDataplane()
        dataplane.apply(tables.everything())
        assert not dataplane.audit()

    in_new_namespace(work)


@fault(
    "a chain that nobody needs any more stays busy",
    place=85,
    seen="nothing: the new rules are in force; a line of the log; "
    "`kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total`",
    well="tries after 0.5 s, 1 s, ... 30 s, of that alone",
    kube_proxy="at the next sync",
)
def test_a_chain_that_cannot_be_deleted_yet_is_said_and_tried_again_alone(
    ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    three = ipv4.table(ipv4.frontend(ipv4.vip(1), 80, Forward(ipv4.pool(1, 2, 3), False)))
    two = ipv4.table(ipv4.frontend(ipv4.vip(1), 80, Forward(ipv4.pool(1, 2), False)))

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(three)
        nft("-f", "-", script="table ip svcplane { chain stranger { jump pick-3; }; }")
        applied = dataplane.apply(two)
        assert "cannot delete chain ip svcplane pick-3: Device or resource busy" in applied.unfinished
        nft("delete", "chain", "ip", "svcplane", "stranger")
        applied = dataplane.apply(two)
        assert (applied.full, applied.operations, applied.unfinished) == (False, 0, "")
        assert not dataplane.audit()

    in_new_namespace(work)


def test_a_map_that_is_outgrown_is_made_larger(tables: Any, programmed: Callable[..., Any]) -> None:
    def many(count: int) -> Any:
        pool = tables.pool(1, 2, 3, 4)
        return tables.table(*(tables.frontend(tables.vip(1), port, Forward(pool, False)) for port in range(1, count)))

    drift, applied = programmed(lambda d: (d.audit(), d.apply(many(3000))), many(10), many(2000))
    assert not drift
    assert not applied.full
