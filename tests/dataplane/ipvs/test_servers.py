"""Which virtual servers there are, and who gets to which."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dataplane.changes import Changes
from dataplane.ipvs import marks
from dataplane.ipvs.kernel import PERSISTENT, ServerKey
from dataplane.ipvs.servers import Server, Servers
from dataplane.table import (
    Affinity,
    Backend,
    Drop,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)
from strategies import tables

VIP = FrontendKey("10.96.0.10", Protocol.TCP, 80)
EXTERNAL = FrontendKey("198.51.100.7", Protocol.TCP, 80)
NODE_PORT = FrontendKey("0.0.0.0", Protocol.TCP, 30080)
HERE, THERE = Backend("10.244.1.21", 8080, True), Backend("10.244.2.23", 8080, False)
BOTH, LOCAL = Pool((HERE, THERE)), Pool((HERE,))
STICKY = Affinity("default/web", 60)


def everyone(key: FrontendKey, pool: Pool) -> Frontend:
    return Frontend(key, "default/web", Forward(pool, False), Forward(pool, True), Forward(pool, True))


def table(*frontends: Frontend) -> ForwardingTable:
    return ForwardingTable({f.key: f for f in frontends})


def made(*frontends: Frontend, scheduler: str = "rr") -> Servers:
    servers = Servers(scheduler)
    servers.update(Changes.between(ForwardingTable(), table(*frontends)).frontends)
    return servers


def by_pool(servers: Servers) -> dict[frozenset[str], ServerKey]:
    return {frozenset(e.address for e in server.weights): key for key, server in servers.all}


class TestWithoutAffinity:
    def test_all_addresses_of_a_service_port_share_one_virtual_server(self) -> None:
        servers = made(everyone(VIP, BOTH), everyone(EXTERNAL, BOTH), everyone(NODE_PORT, BOTH))
        ((key, server),) = servers.all
        assert marks.is_ours(key.mark)
        assert server.weights == {HERE.endpoint: 1, THERE.endpoint: 1}

    def test_each_kind_of_client_has_the_mark_of_its_own_pool(self) -> None:
        frontend = Frontend(EXTERNAL, "default/web", Forward(BOTH, True), Forward(BOTH, True), Forward(LOCAL, False))
        servers = made(frontend)
        known = by_pool(servers)
        both, local = known[frozenset({HERE.address, THERE.address})], known[frozenset({HERE.address})]
        masqueraded = both.mark | marks.MASQUERADE
        assert servers.client_marks(frontend) == (masqueraded, masqueraded, local.mark)

    def test_refusals_are_marks_that_no_virtual_server_has(self) -> None:
        frontend = Frontend(EXTERNAL, "default/web", Forward(BOTH, True), Reject(), Drop())
        _, node, outside = made(frontend).client_marks(frontend)
        assert (node, outside) == (marks.REJECT, marks.DROP)
        assert not marks.is_ours(node)
        assert not marks.is_ours(outside)

    def test_two_service_ports_with_equal_pools_have_a_virtual_server_each(self) -> None:
        other = replace(everyone(EXTERNAL, BOTH), service="default/other")
        assert len(dict(made(everyone(VIP, BOTH), other).all)) == 2

    def test_a_restart_finds_the_same_marks(self) -> None:
        frontends = (everyone(VIP, BOTH), everyone(NODE_PORT, LOCAL))
        assert dict(made(*frontends).all) == dict(made(*reversed(frontends)).all)

    def test_a_pool_that_grows_keeps_its_mark(self) -> None:
        servers = made(everyone(VIP, LOCAL))
        ((before, _),) = servers.all
        update = servers.update(Changes.between(table(everyone(VIP, LOCAL)), table(everyone(VIP, BOTH))).frontends)
        assert list(update.servers) == [before]


class TestFlowsThatDoNotEndByThemselves:
    """What IPVS remembers of them goes only with a real server, so frontends must not share one."""

    CLUSTER_IP = FrontendKey("10.96.0.10", Protocol.UDP, 53)
    NODE_PORT = FrontendKey("0.0.0.0", Protocol.UDP, 30053)

    def dns(self, key: FrontendKey, pool: Pool) -> Frontend:
        return replace(everyone(key, pool), serving=frozenset(backend.endpoint for backend in pool.backends))

    def test_each_frontend_has_a_virtual_server_of_its_own(self) -> None:
        assert len(dict(made(self.dns(self.CLUSTER_IP, BOTH), self.dns(self.NODE_PORT, BOTH)).all)) == 2

    def test_with_a_frontend_its_virtual_server_goes(self) -> None:
        before = table(self.dns(self.CLUSTER_IP, BOTH), self.dns(self.NODE_PORT, BOTH))
        after = table(self.dns(self.CLUSTER_IP, BOTH))
        servers = made(*before.frontends.values())
        (gone,) = servers.keys(before.frontends[self.NODE_PORT])
        assert servers.update(Changes.between(before, after).frontends).servers == {gone: None}

    def test_who_still_serves_one_frontend_does_not_keep_flows_of_another(self) -> None:
        servers = made(self.dns(self.CLUSTER_IP, BOTH), self.dns(self.NODE_PORT, LOCAL))
        assert {server.serving for _, server in servers.all} == {
            frozenset((HERE.endpoint, THERE.endpoint)),
            frozenset((HERE.endpoint,)),
        }


class TestAffinity:
    POOL = Pool(BOTH.backends, STICKY)

    def test_clients_are_remembered_at_an_address_of_its_own(self) -> None:
        servers = made(everyone(VIP, self.POOL))
        ((key, server),) = servers.all
        assert key == ServerKey(Family.IPV4, frontend=VIP)
        assert server.service.flags & PERSISTENT
        assert server.service.seconds == 60
        assert servers.client_marks(everyone(VIP, self.POOL)).pod == marks.DELIVER

    def test_a_node_port_hashes_instead(self) -> None:
        ((key, server),) = made(everyone(NODE_PORT, self.POOL)).all
        assert marks.is_ours(key.mark)
        assert (server.service.scheduler, server.service.flags & PERSISTENT) == ("mh", 0)

    def test_clients_with_pools_of_their_own_hash_too(self) -> None:
        local = Pool(LOCAL.backends, STICKY)
        frontend = Frontend(
            EXTERNAL, "default/web", Forward(self.POOL, True), Forward(self.POOL, True), Forward(local, False)
        )
        assert {server.service.scheduler for _, server in made(frontend).all} == {"mh"}

    def test_where_somebody_else_has_a_virtual_server_hashing_does_too(self) -> None:
        servers = Servers("rr", taken=frozenset((VIP,)))
        frontends = table(everyone(VIP, self.POOL), everyone(EXTERNAL, self.POOL))
        servers.update(Changes.between(ForwardingTable(), frontends).frontends)
        by_key = dict(servers.all)
        (hashing,) = servers.keys(frontends.frontends[VIP])
        assert marks.is_ours(hashing.mark)
        assert by_key[hashing].service.scheduler == "mh"
        (remembering,) = servers.keys(frontends.frontends[EXTERNAL])
        assert by_key[remembering].service.flags & PERSISTENT


@given(st.lists(tables(), min_size=1, max_size=4))
def test_after_any_changes_the_virtual_servers_are_those_of_the_last_table(given_tables: list[ForwardingTable]) -> None:
    servers, before = Servers("rr"), ForwardingTable()
    known: dict[ServerKey, Server] = {}
    told: dict[FrontendKey, object] = {}
    for after in given_tables:
        update = servers.update(Changes.between(before, after).frontends)
        for key, server in update.servers.items():
            if server is None:
                del known[key]
            else:
                known[key] = server
        for frontend_key, frontend in update.frontends.items():
            told[frontend_key] = frontend and servers.client_marks(frontend)
        before = after
    assert known == dict(servers.all)
    wanted = {key: servers.client_marks(frontend) for key, frontend in before.frontends.items()}
    assert {key: found for key, found in told.items() if found} == wanted
    for frontend in before.frontends.values():
        assert set(servers.keys(frontend)) <= known.keys()


@given(tables())
def test_no_two_pools_of_a_family_have_one_mark_and_none_is_left_when_all_is_gone(one: ForwardingTable) -> None:
    servers = Servers("wlc")
    servers.update(Changes.between(ForwardingTable(), one).frontends)
    by_mark = [key for key, _ in servers.all if key.frontend is None]
    assert all(marks.is_ours(key.mark) for key in by_mark)
    gone = servers.update(Changes.between(one, ForwardingTable()).frontends)
    assert all(server is None for server in gone.servers.values())
    assert not dict(servers.all)
