"""What a mode asks of a host is asked before anything is changed, and what is missing is one line."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from controller.configuration.schema import KubeProxyConfiguration
from dataplane.errors import InputError
from dataplane.interface import DataplaneError
from dataplane.nft.transaction import RefusedError, Transaction
from kernel_features import lacks_ipvs
from lab.network.namespace import Namespace
from svcplane import modes
from svcplane.main import main
from svcplane.modes import ModeFlags, check_here, mode_names, try_out

LACKS = "this kernel has no IPVS (the module ip_vs)"


@pytest.fixture
def kernel_without_ipvs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise DataplaneError(f"ipvs: {LACKS}")

    monkeypatch.setattr(modes, "IpvsDataplane", refuse)


@pytest.fixture
def kernel_without_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RefusedError("what a kernel says", errno.ENOENT)

    monkeypatch.setattr(Transaction, "commit", refuse)


@pytest.mark.kernel
@pytest.mark.parametrize("mode", mode_names())
def test_a_mode_that_is_tried_out_leaves_nothing(mode: str, in_new_namespace: Callable[..., Any]) -> None:
    if mode == "ipvs" and (reason := lacks_ipvs()):
        pytest.skip(reason)

    def work() -> str:
        try_out(KubeProxyConfiguration(mode=mode), ModeFlags())
        left = [["nft", "list", "ruleset"], ["iptables-legacy-save", "-t", "nat"], ["ip", "rule"]]
        return "".join(subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in left)

    assert "svcplane" not in in_new_namespace(work)
    assert "KUBE" not in in_new_namespace(work)


@pytest.mark.parametrize("asked", [check_here, try_out])
@pytest.mark.usefixtures("kernel_without_ipvs")
def test_what_the_kernel_lacks_is_wrong_input_that_names_the_mode(asked: Callable[..., None]) -> None:
    with pytest.raises(InputError) as told:
        asked(KubeProxyConfiguration(mode="ipvs"), ModeFlags())
    assert str(told.value) == f"mode ipvs: {LACKS}"


@pytest.mark.kernel
@pytest.mark.usefixtures("kernel_without_ipvs")
def test_no_lab_is_begun_where_its_agents_could_not_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "up", "--name", "never", "--proxy-mode=ipvs"]) == 2
    assert capsys.readouterr().err == f"svcplane lab: mode ipvs: {LACKS}\n"
    assert Namespace.of_lab("never") == []


@pytest.mark.kernel
@pytest.mark.parametrize("port", ["nfqueue", "af_xdp"])
@pytest.mark.usefixtures("kernel_without_queues")
def test_an_agent_says_that_there_are_no_packet_queues_before_it_touches_the_host(
    port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svcplane.agent._set_up_host", lambda *_: pytest.fail("the host is being changed"))
    words = ["agent", "--master=http://127.0.0.1:1", "--proxy-mode=userspace", f"--userspace-port={port}"]
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert "mode userspace: this kernel sends no packets to queues" in said[-1]


@pytest.mark.kernel
@pytest.mark.usefixtures("kernel_without_ipvs")
def test_an_agent_says_it_before_it_touches_the_host(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svcplane.agent._set_up_host", lambda *_: pytest.fail("the host is being changed"))
    assert main(["agent", "--master=http://127.0.0.1:1", "--proxy-mode=ipvs"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"mode ipvs: {LACKS}")
