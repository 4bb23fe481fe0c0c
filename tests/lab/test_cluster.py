"""What a lab decides without a kernel: its options, its folder, what a manifest means, what a patch removes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import InputError
from lab.api.patches.merge import merge_patch
from lab.cluster.apply import LAST_APPLIED, three_way_patch, with_last_applied
from lab.cluster.down import down
from lab.cluster.kinds import resource_of, resources_named
from lab.cluster.kubeconfig import kubeconfig
from lab.cluster.nodes import node_object
from lab.cluster.options import LabOptions, lab_options
from lab.cluster.state import LabState, StateDirectory, all_labs
from svcplane.main import main

json_values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


_NOBODY = 65534


def options(**given: Any) -> LabOptions:
    defaults: dict[str, Any] = {"name": "lab", "nodes": 2, "family": "dual", "proxy_mode": "nftables", "agent": ()}
    return lab_options(**(defaults | given))


def test_a_family_decides_which_default_cidrs_a_lab_has() -> None:
    assert options(family="ipv4").service_cidrs == ("10.96.0.0/12",)
    assert options(family="ipv6").cluster_cidrs == ("fd00:244::/32",)
    assert len(options(family="dual").cluster_cidrs) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nodes": 0}, "nodes 0: expected 1 to 9"),
        ({"nodes": 10}, "nodes 10"),
        ({"name": "My Lab"}, "lab name 'My Lab'"),
        ({"family": "ipv5"}, "--ip-family 'ipv5': expected ipv4, ipv6, dual"),
        ({"cluster_cidrs": ["10.0.0.0/16"]}, "no IPv6 network in it"),
        ({"family": "ipv4", "cluster_cidrs": ["10.0.0.0/16", "fd00:1::/32"]}, "fd00:1::/32: not of --ip-family ipv4"),
        ({"family": "ipv4", "cluster_cidrs": ["10.0.0.0/16", "10.1.0.0/16"]}, "two networks of IPv4"),
        ({"family": "ipv4", "cluster_cidrs": ["10.0.0.1/16"]}, "host bits set"),
        ({"family": "ipv4", "service_cidrs": ["10.244.0.0/20"]}, "overlaps 10.244.0.0/16"),
        ({"family": "ipv4", "service_cidrs": ["192.0.0.0/16"]}, "overlaps 192.0.2.0/24"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        options(**given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nodes_are_in_zones_by_turns() -> None:
    hosts = [host for host in options(nodes=3).topology().hosts if host.forwards]
    zones = [
        node_object(host, number)["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for number, host in enumerate(hosts, 1)
    ]
    assert zones == ["za", "zb", "za"]


def test_the_lock_tells_a_running_lab_from_a_crashed_one(tmp_path: Path) -> None:
    state = StateDirectory("one", tmp_path)
    assert not state.exists
    lock = state.create()
    assert lock is not None
    assert state.is_alive
    assert state.create() is None
    os.close(lock)  # as the kernel does when the process ends
    assert not state.is_alive
    assert state.exists


def test_who_is_not_root_may_ask_whether_a_lab_runs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        state = StateDirectory("one", Path(folder))
        lock = state.create()
        (state.path / "lock").chmod(0o444)  # what 0644 is to anybody but its owner
        owner = os.geteuid()
        try:
            if owner == 0:
                os.seteuid(_NOBODY)
            assert state.is_alive
        finally:
            os.seteuid(owner)
            os.close(lock or 0)


def test_a_supervisor_that_ends_before_it_is_told_to_is_down_all_the_same(tmp_path: Path) -> None:
    state = StateDirectory("one", tmp_path)
    lock = state.create()
    gone = subprocess.Popen(["true"])
    gone.wait()
    state.write(LabState(gone.pid, options(name="one")))
    threading.Timer(0.2, os.close, (lock,)).start()  # the lock goes a little after the process
    assert down("one", root=tmp_path)
    assert not state.exists


def test_labs_of_different_names_do_not_see_each_other(tmp_path: Path) -> None:
    one, two = StateDirectory("one", tmp_path), StateDirectory("two", tmp_path)
    locks = [one.create(), two.create()]
    assert all(lock is not None for lock in locks)
    one.write(LabState(1, options(name="one"), api="http://one"))
    assert two.read() is None
    assert [state.lab for state in all_labs(tmp_path)] == ["one", "two"]
    one.delete()
    assert two.is_alive
    for lock in locks:
        os.close(lock or 0)


def test_a_lab_that_is_not_up_is_an_input_error_that_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lab called 'two' is up: start one with 'svcplane lab up --name two'"):
        StateDirectory("two", tmp_path).running()


@pytest.mark.parametrize("words", [["up"], ["down"], ["down", "--all"], ["exec", "node/n1", "--", "true"]])
def test_without_root_there_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["lab", *words]) == 2
    said = capsys.readouterr()
    assert said.err == "svcplane lab: the lab needs root, to make network namespaces: try 'sudo svcplane lab ...'\n"
    assert said.out == ""


def test_what_was_written_about_a_lab_can_be_read_again(tmp_path: Path) -> None:
    state = StateDirectory("one", tmp_path)
    lock = state.create()
    written = LabState(7, options(name="one", agent=("agent", "--flag")), api="http://x", ready=True)
    state.write(written)
    assert state.read() == state.running() == written
    os.close(lock or 0)


def test_a_kubeconfig_leads_to_the_server() -> None:
    config = yaml.safe_load(kubeconfig("one", "http://127.0.0.1:1"))
    assert config["clusters"][0]["cluster"]["server"] == "http://127.0.0.1:1"
    assert config["current-context"] == config["contexts"][0]["name"]


@pytest.mark.parametrize("word", ["svc", "service", "Services", "services"])
def test_a_kind_has_several_names(word: str) -> None:
    assert [r.kind for r in resources_named(word)] == ["Service"]


def test_kinds_may_be_asked_for_together() -> None:
    assert [r.kind for r in resources_named("po,deploy")] == ["Pod", "Deployment"]
    assert {"Pod", "Service", "Deployment", "ReplicaSet"} <= {r.kind for r in resources_named("all")}


@pytest.mark.parametrize("words", ["ingress", "pods,", ""])
def test_an_unknown_kind_is_refused_with_those_there_are(words: str) -> None:
    with pytest.raises(InputError, match=r"expected one of configmaps, .*services"):
        resources_named(words)


def test_a_manifest_of_a_wrong_version_says_which_one_is_right() -> None:
    with pytest.raises(InputError, match=r"web.yaml: apiVersion 'extensions/v1beta1': expected apps/v1 for Deployment"):
        resource_of({"apiVersion": "extensions/v1beta1", "kind": "Deployment"}, "web.yaml")
    with pytest.raises(InputError, match="kind 'Ingress': the lab does not know it"):
        resource_of({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}, "web.yaml")


def test_a_field_that_left_the_manifest_is_removed_and_what_others_wrote_stays() -> None:
    last = {"spec": {"a": 1, "b": 2}, "list": [1]}
    current = {"spec": {"a": 1, "b": 2, "theirs": 3}, "list": [1], "status": "ok"}
    wanted = {"spec": {"a": 5}, "list": [2]}
    patched = merge_patch(current, three_way_patch(last, current, wanted))
    assert patched == {"spec": {"a": 5, "theirs": 3}, "list": [2], "status": "ok"}


@given(last=objects, wanted=objects, current=objects)
def test_after_a_patch_all_that_is_wanted_is_there(last: Any, wanted: Any, current: Any) -> None:
    def holds(value: Any, part: Any) -> bool:
        if isinstance(part, dict):
            return isinstance(value, dict) and all(key in value and holds(value[key], part[key]) for key in part)
        return bool(value == part)

    patched = merge_patch(current, three_way_patch(last, current, wanted))
    assert holds(patched, wanted)
    assert all(key in wanted or key not in last for key in patched)


@given(manifest=objects)
def test_applying_the_same_again_changes_nothing(manifest: Any) -> None:
    patch = three_way_patch(manifest, manifest, manifest)
    assert merge_patch(manifest, patch) == manifest


def test_the_last_applied_manifest_does_not_contain_itself() -> None:
    once = with_last_applied({"kind": "Service", "metadata": {"name": "web"}})
    twice = with_last_applied(once)
    assert twice == once
    assert LAST_APPLIED not in once["metadata"]["annotations"][LAST_APPLIED]
