"""A world on three machines that SSH reaches: here each is a network namespace with a real sshd, which ssh starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.harness import cluster
from bench.harness.arena import Plan, Sample, arena
from bench.harness.contenders import CEILING, Contender, everybody
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, ask, send_packets
from bench.harness.machines import VXLAN_MTU, End, Machines, Place, cable, of_vagrant
from bench.harness.results import Metric
from dataplane.errors import InputError
from lab.network.namespace import Namespace

RATE = Metric("How fast?", "rate", "a second", more_is_better=True)
A, B = Place("a", "192.0.2.1"), Place("b", "192.0.2.2")


def test_a_place_is_a_name_and_an_address() -> None:
    assert Place.parse("worker1/192.168.56.11") == Place("worker1", "192.168.56.11")


@pytest.mark.parametrize("text", ["worker1", "worker1/", "worker1/nowhere", ""])
def test_a_place_without_an_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected NAME/ADDRESS"):
        Place.parse(text)


def test_two_machines_are_not_enough() -> None:
    with pytest.raises(InputError, match="expected three, for client, node and backends, got 2"):
        Machines([A, B])


def test_a_cable_in_one_machine_is_a_virtual_one() -> None:
    commands = cable(End(A, "x", "eth0"), End(A, "y", "pod-c1"), 7)
    assert list(commands) == [A]
    assert commands[A][0] == "ip link add eth0 netns x type veth peer name pod-c1 netns y"


def test_a_cable_between_machines_is_a_tunnel_with_the_same_identifier_at_both_ends() -> None:
    commands = cable(End(A, "x", "eth0"), End(B, "y", "pod-c1"), 7)
    tunnel = f"ip link add vx7 mtu {VXLAN_MTU} type vxlan id 7 "
    assert commands[A][0] == tunnel + "local 192.0.2.1 remote 192.0.2.2 dstport 4790"
    assert commands[B][0] == tunnel + "local 192.0.2.2 remote 192.0.2.1 dstport 4790"
    assert commands[A][1] == "ip link set vx7 netns x name eth0"


def test_without_vagrant_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="--vagrant: no vagrant here"):
        of_vagrant(tmp_path)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Machines]:
    """Three namespaces on one segment; ssh starts an sshd in them for each connection, so nothing listens."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    if server is None:
        pytest.skip("needs sshd (openssh-server)")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    _write_keys(tmp_path)
    lab, places, options = f"ssh-{os.getpid()}", [], ""
    with ExitStack() as stack:
        switch = Namespace(lab, "switch").create()
        stack.callback(switch.delete)
        _ip(switch, "link add br0 type bridge", "link set br0 up")
        for number, name in enumerate(("client", "node", "backends"), 1):
            machine = Namespace(lab, name).create()
            stack.callback(machine.delete)
            _ip(
                switch,
                f"link add {name} master br0 up type veth peer name eth1 netns {machine.name}",
            )
            _ip(machine, f"addr add 192.0.2.{number}/24 dev eth1", "link set eth1 up")
            places.append(Place(f"{lab}-{name}", f"192.0.2.{number}"))
            options += (
                f"Host {lab}-{name}\n"
                f"  ProxyCommand nsenter --net=/run/netns/{machine.name} {server} -i -f {tmp_path}/sshd_config\n"
            )
        config = tmp_path / "ssh_config"
        config.write_text(
            f"{options}Host *\n  IdentityFile {tmp_path}/key\n  IdentitiesOnly yes\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
        )
        machines = Machines(places, ["-F", str(config)])
        stack.callback(machines.close)
        yield machines


def _write_keys(folder: Path) -> None:
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\nMaxSessions 100\n"
        f"SetEnv HOME={folder}\n"  # shells read nobody's start-up files
    )


def _ip(namespace: Namespace, *commands: str) -> None:
    for command in commands:
        namespace.run(["ip", *command.split()])


@pytest.mark.kernel
@pytest.mark.timeout(600)
def test_contenders_are_measured_in_turns_across_machines_and_nothing_stays(three: Machines) -> None:
    nftables = next(each for each in everybody(None) if each.name == "svcplane nftables")
    contenders = [Contender(CEILING), nftables, replace(nftables, name="ends", command=["false"])]

    def connections(entrant: Entrant, seconds: float) -> Sample:
        asked = ask(entrant.world, entrant.target(), seconds, concurrency=8)
        return {RATE: asked["finished"] / asked["seconds"]}

    assert three.described["machine of the node"].startswith(three.node.name)
    before = set(os.listdir("/run/netns"))
    plan = Plan(rounds=2, seconds=1.0, warm_up=0, start_limit=120)
    with arena(10, contenders, plan, three) as everyone:
        figures = {each.contender: each for each in everyone.measure([RATE], connections)}
        entrant = everyone.entrants[1]
        assert "svcplane" in entrant.world.node.run(["nft", "list", "tables"])
        assert cluster.CLIENT in entrant.world.client.run(["ip", "address", "show", "dev", "eth0"])
        with entrant.turn():
            counted = sum(entrant.sinks.delivered())
            sent = send_packets(entrant.world, entrant.target(), Packets(rate=1000), 0.2)
            everyone.api.set_addresses("canary", cluster.BACKENDS[1:2])
        assert sum(entrant.sinks.delivered()) - counted == sent["taken"]
    assert figures[CEILING].value
    assert figures["svcplane nftables"].value, figures["svcplane nftables"].trouble
    assert figures["ends"].trouble.startswith("BROKEN: it ended")
    mine = f"bench-{os.getpid()}-"
    assert not {name for name in set(os.listdir("/run/netns")) - before if name.startswith(mine)}
