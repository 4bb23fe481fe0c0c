"""Whoever changes our tables is noticed at once, and the next apply puts everything back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.interface import DataplaneError
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.transaction import Transaction
from dataplane.nft.watch import QUIET_CALLS
from dataplane.nftables import NftablesDataplane

pytestmark = pytest.mark.kernel

TAMPERING = {
    "deletes the table": "delete table ip svcplane",
    "flushes the ruleset": "flush ruleset",
    "deletes an element": "delete element ip svcplane services {{ {vip} . tcp . 81 }}",
    "empties a map": "flush map ip svcplane backends",
    "adds an element": "add element ip svcplane cluster-ips {{ 10.96.0.77 }}",
    "adds a chain": "add chain ip svcplane mine",
    "adds a rule": "add rule ip svcplane nat-output accept",
    "empties a chain": "flush chain ip svcplane translate",
    "adds a set": "add set ip svcplane mine {{ type ipv4_addr; }}",
    "puts the table to sleep": "add table ip svcplane {{ flags dormant; }}",
    "doubles a rule": "add rule ip svcplane nat-output jump translate",
}


@pytest.mark.parametrize("command", TAMPERING.values(), ids=TAMPERING)
def test_somebody_who(command: str, ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]) -> None:
    table = ipv4.everything()

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(table)
        assert not dataplane.tampered()
        before = nft("list", "table", "ip", "svcplane")
        nft(command.format(vip=ipv4.vip(1)))
        assert dataplane.tampered()
        assert dataplane.audit()
        assert dataplane.apply(table).full
        assert not dataplane.audit()
        assert not dataplane.tampered()
        assert sorted(nft("list", "table", "ip", "svcplane").split()) == sorted(before.split())

    in_new_namespace(work)


def test_whose_tables_a_stranger_changes_is_told_after_one_audit(
    ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        nft("add table ip other")
        assert dataplane.tampered()  # somebody wrote, and nobody was listening
        assert not dataplane.audit()
        nft("add chain ip other c; add table inet svcplane; delete table inet svcplane")
        assert not dataplane.tampered()
        dataplane.apply(ipv4.table())
        assert not dataplane.tampered()
        nft("add chain ip svcplane c")
        assert dataplane.tampered()

    in_new_namespace(work)


def listeners() -> int:
    """Sockets of this namespace that want to hear of nftables changes."""
    lines = Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]
    return sum(int(groups, 16) >> 6 & 1 for _, protocol, _, groups, *_ in map(str.split, lines) if protocol == "12")


def test_nobody_listens_where_nobody_else_writes_and_not_for_ever(
    ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        assert not dataplane.tampered()
        assert listeners() == 0
        nft("add table ip other")
        assert dataplane.tampered()
        assert listeners() == 1
        assert not dataplane.audit()
        for _ in range(QUIET_CALLS + 1):
            assert not dataplane.tampered()
        assert listeners() == 0
        nft("flush ruleset")
        assert dataplane.tampered()

    in_new_namespace(work)


@pytest.mark.parametrize("known", [False, True], ids=["a new stranger", "a known stranger"])
def test_what_a_stranger_does_while_we_write_is_noticed(
    known: bool,
    ipv4: Any,
    in_new_namespace: Callable[..., Any],
    nft: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = Transaction.commit

    def commit_and_be_disturbed(transaction: Transaction, channel: Channel) -> None:
        commit(transaction, channel)
        nft("flush chain ip svcplane translate")

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        if known:
            nft("add table ip other")
            assert dataplane.tampered()
            assert not dataplane.audit()
        with monkeypatch.context() as disturbed:
            disturbed.setattr(Transaction, "commit", commit_and_be_disturbed)
            dataplane.apply(ipv4.table())
        assert dataplane.tampered()
        assert dataplane.audit()

    in_new_namespace(work)


def test_what_an_audit_could_not_look_at_is_still_to_be_looked_at(
    ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the list kept changing")

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        nft("delete", "table", "ip", "svcplane")
        assert dataplane.tampered()
        with monkeypatch.context() as broken:
            broken.setattr("dataplane.nft.dump.table_flags", refuse)
            with pytest.raises(DataplaneError):
                dataplane.audit()
        assert dataplane.tampered()
        assert dataplane.audit()

    in_new_namespace(work)


@pytest.mark.parametrize("failing", ["asking", "listening"])
def test_what_is_committed_is_in_force_even_if_nobody_can_tell_who_else_wrote(
    failing: str,
    ipv4: Any,
    in_new_namespace: Callable[..., Any],
    nft: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit, generation, join = Transaction.commit, dump.generation, Channel.join
    committed: list[int] = []
    asked: list[int] = []

    def commit_and_note(transaction: Transaction, channel: Channel) -> None:
        commit(transaction, channel)
        committed.append(1)

    def refuse_once(channel: Channel) -> int:
        if committed and not asked and failing == "asking":
            asked.append(1)
            raise OSError("no buffer space available")
        return generation(channel)

    def refuse_to_join(channel: Channel, group: int) -> None:
        if committed and failing == "listening":
            raise OSError("no buffer space available")
        join(channel, group)

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        nft("add table ip other")
        assert dataplane.tampered()
        assert not dataplane.audit()
        with monkeypatch.context() as broken:
            broken.setattr(Transaction, "commit", commit_and_note)
            broken.setattr(dump, "generation", refuse_once)
            broken.setattr(Channel, "join", refuse_to_join)
            applied = dataplane.apply(ipv4.table())
        assert committed
        assert (applied.full, applied.unfinished) == (False, "")
        assert dataplane.tampered()  # somebody may have written
        assert not dataplane.audit()
        assert not dataplane.tampered()
        nft("flush chain ip svcplane translate")
        assert dataplane.tampered()

    in_new_namespace(work)


def test_two_agents_in_one_node_notice_each_other(ipv4: Any, in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        one, other = NftablesDataplane(), NftablesDataplane()
        one.apply(ipv4.everything())
        assert other.audit().foreign == ("table ip svcplane", "table ip6 svcplane")
        other.apply(ipv4.table())
        assert one.tampered()
        assert one.audit()

    in_new_namespace(work)


def test_an_audit_says_in_words_what_is_missing_and_what_is_foreign(
    ipv4: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(ipv4.everything())
        nft("delete element ip svcplane services { 10.96.0.1 . tcp . 81 }; add rule ip svcplane translate drop")
        drift = dataplane.audit()
        assert drift.missing == ("ip svcplane: element in map services: 10.96.0.1 . tcp . 81 : goto masquerade-pick-3",)
        assert drift.foreign == ("ip svcplane: 1 rule in chain translate",)

    in_new_namespace(work)


def test_cleanup_removes_both_tables_and_nothing_else(
    both_families: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    def work() -> None:
        nft("add table ip other")
        NftablesDataplane().apply(both_families)
        stranger = NftablesDataplane()
        stranger.cleanup()
        assert nft("list", "ruleset").split() == ["table", "ip", "other", "{", "}"]
        stranger.cleanup()
        assert not stranger.audit()

    in_new_namespace(work)
