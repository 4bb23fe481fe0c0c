"""Kubeconfigs, and a pod's own account: what they mean, and how their mistakes are told."""

from __future__ import annotations

import asyncio
import base64
import json
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from certificates import Authority
from controller.api.access import Access, Ticket
from controller.api.client import Client
from controller.api.connect import connect
from controller.api.errors import CredentialError
from controller.api.kubeconfig import default_files, load
from controller.api.resources import SERVICES
from dataplane.errors import InputError
from scripted_api import ScriptedApi, serving


def config(
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """A kubeconfig with one context, called here."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
    } | top


def written(folder: Path, content: Any, name: str = "config") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def ticket(access: Access) -> Ticket:
    return asyncio.run(access.ticket())


def token(access: Access) -> str:
    return ticket(access).headers.get("Authorization", "").removeprefix("Bearer ")


def base64_of(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


# --- Files -------------------------------------------------------------------------------------------------------


def test_the_current_context_names_the_server_and_the_user(tmp_path: Path) -> None:
    access = load([written(tmp_path, config({"token": "abc"}))])
    assert (access.server, token(access)) == ("https://192.0.2.1:6443", "abc")


def test_a_context_can_be_chosen_by_name(tmp_path: Path) -> None:
    content = config(
        contexts=[
            {"name": "here", "context": {"cluster": "c"}},
            {"name": "there", "context": {"cluster": "d", "user": ""}},
        ],
        clusters=[
            {"name": "c", "cluster": {"server": "https://c"}},
            {"name": "d", "cluster": {"server": "http://d"}},
        ],
    )
    assert load([written(tmp_path, content)], context="there").server == "http://d"


def test_a_master_replaces_the_server_and_keeps_the_user(tmp_path: Path) -> None:
    access = load([written(tmp_path, config({"token": "abc"}))], master="http://127.0.0.1:8001")
    assert (access.server, token(access)) == ("http://127.0.0.1:8001", "abc")


def test_of_several_files_the_first_that_names_something_decides(tmp_path: Path) -> None:
    first = config({"token": "first"}, contexts=None, clusters=None)
    del first["current-context"]
    second = config({"token": "second"}, {"server": "https://second"})
    third = config({"token": "third"}, {"server": "https://third"})
    third["current-context"] = "elsewhere"
    files = [written(tmp_path, content, str(n)) for n, content in enumerate([first, second, third])]
    access = load(files)
    assert (access.server, token(access)) == ("https://second", "first")


def test_the_default_files_are_those_that_kubectl_takes(tmp_path: Path) -> None:
    here, missing = written(tmp_path, "", "a"), tmp_path / "b"
    assert default_files({"KUBECONFIG": f"{missing}:{here}:", "HOME": str(tmp_path)}) == (here,)
    (tmp_path / ".kube").mkdir()
    home = written(tmp_path / ".kube", "")
    assert default_files({"HOME": str(tmp_path)}) == (home,)
    assert default_files({"KUBECONFIG": str(missing), "HOME": str(tmp_path)}) == ()


def test_paths_are_relative_to_the_file_that_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    access = load([written(tmp_path, config({"tokenFile": "token", "token": "an old copy"}))])
    assert token(access) == "abc"


def test_contexts_that_are_not_used_need_not_make_sense(tmp_path: Path) -> None:
    content = config({"token": "abc"})
    content["users"].append({"name": "old", "user": {"auth-provider": {"name": "gcp"}}})
    content["clusters"].append({"name": "odd", "cluster": {"colour": "blue"}})
    assert token(load([written(tmp_path, content)])) == "abc"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "is not YAML"),
        ("- a", "Expected `object`, got `array`"),
        ({"kind": "Pod", "apiVersion": "v1"}, "is v1 Pod .expected v1 Config"),
        ({"curent-context": "x"}, "unknown field `curent-context`"),
        (config(**{"current-context": ""}), r"no current-context is set \(contexts: here\)"),
        (config(**{"current-context": "x"}), r'no context "x" \(known: here\)'),
        (config(clusters=None), r'context "here": there is no cluster "c" \(known: none\)'),
        (config(users=[]), r'there is no user "u"'),
        (config(cluster={"server": ""}), r'cluster "c": server is "" \(expected a URL'),
        (config(cluster={"server": "192.0.2.1:6443"}), "expected a URL"),
        (config(cluster={"server": "https://[::1"}), "expected a URL"),
        (config(cluster={"proxy-url": "socks5://p:1080"}), "proxy-url is"),
        (config(cluster={"colour": "blue"}), r'cluster "c": .* unknown field `colour`'),
        (config(cluster={"certificate-authority-data": "%%%"}), "certificate-authority-data is not base64"),
        (config(cluster={"certificate-authority-data": "aGVsbG8="}), "certificate authority is not usable"),
        (config(cluster={"certificate-authority": "gone.crt"}), "cannot read .*gone.crt: No such file"),
        (
            config(cluster={"certificate-authority": "ca.crt", "insecure-skip-tls-verify": True}),
            "exclude each other",
        ),
        (config({"auth-provider": {"name": "gcp"}}), r'user "u": auth-provider is not supported'),
        (config({"as": "root"}), r'user "u": .* unknown field `as`'),
        (config({"token": 5}), r"Expected `str \| null`, got `int` - at `\$.token`"),
        (config({"token": "a\nb"}), "line breaks"),
        (config({"token": "a", "username": "b"}), "has token and username"),
        (config({"client-certificate-data": "YQ=="}), "has client-certificate but no client-key"),
        (
            config({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}),
            "certificate and key do not work together",
        ),
        (config({"tokenFile": "gone"}), "cannot read .*gone"),
        (config({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}), "v1alpha1"),
        (config({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}}), "interactiveMode"),
        (config({"exec": {"command": "x"}}), r"missing required field `apiVersion` - at `\$.exec`"),
    ],
)
def test_every_mistake_is_one_line_that_names_the_file(tmp_path: Path, content: Any, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=words) as caught:
        load([path])
    assert str(caught.value).startswith(f"kubeconfig {path}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: cannot be read: No such file"):
        connect(str(tmp_path / "gone"))


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [True, False], ids=["data", "files"])
def test_certificates_come_as_data_or_from_files(tmp_path: Path, authority: Authority, inline: bool) -> None:
    client = authority.issue("client")
    if inline:
        cluster = {"certificate-authority-data": base64_of(authority.certificate)}
        user = {
            "client-certificate-data": base64_of(client.certificate),
            "client-key-data": base64_of(client.key),
        }
    else:
        cluster = {"certificate-authority": str(authority.certificate)}
        user = {"client-certificate": str(client.certificate), "client-key": str(client.key)}

    async def story() -> None:
        pair = authority.issue("server", "DNS:kubernetes")
        tls = authority.server_context(pair, clients_prove_themselves=True)
        async with serving(ScriptedApi().handle, tls) as url:
            content = config(user, cluster | {"server": url, "tls-server-name": "kubernetes"})
            async with Client(load([written(tmp_path, content)])) as client:
                assert [page.version async for page in client.list_pages(SERVICES)] == [100]

    asyncio.run(story())


def test_a_certificate_that_was_rotated_is_used_from_then_on(tmp_path: Path, authority: Authority) -> None:
    async def story() -> None:
        old, new = authority.issue("old"), authority.issue("new")
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        for source, name in ((old.certificate, "client.crt"), (old.key, "client.key")):
            (tmp_path / name).write_bytes(source.read_bytes())
        access = load([written(tmp_path, config(user))])
        before = await access.ticket()
        assert not await access.refused(before)
        for source, name in ((new.certificate, "client.crt"), (new.key, "client.key")):
            (tmp_path / name).write_bytes(source.read_bytes())
        assert await access.refused(before)
        assert (await access.ticket()).tls is not before.tls

    asyncio.run(story())


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path, authority: Authority) -> None:
    client = authority.issue("client")
    encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (tmp_path / "key").write_text(encrypted)
    user = {"client-certificate": str(client.certificate), "client-key": "key"}
    with pytest.raises(InputError, match=r'user "u": the client'):
        load([written(tmp_path, config(user))])


# --- Proxies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "environment", "proxy"),
    [
        ({"proxy-url": "http://p:1"}, {"HTTPS_PROXY": "http://q:2"}, "http://p:1"),
        ({}, {"HTTPS_PROXY": "http://q:2"}, "http://q:2"),
        ({}, {"https_proxy": "http://q:2", "NO_PROXY": "example.com,192.0.2.7"}, "http://q:2"),
        ({}, {"HTTPS_PROXY": "http://q:2", "NO_PROXY": "10.0.0.0/8, 192.0.2.0/24"}, None),
        ({}, {"HTTPS_PROXY": "http://q:2", "NO_PROXY": "*"}, None),
        ({}, {"HTTP_PROXY": "http://q:2"}, None),
        ({"server": "https://api.example.com"}, {"HTTPS_PROXY": "http://q:2", "no_proxy": ".example.com"}, None),
        ({"server": "https://127.0.0.1:6443"}, {"HTTPS_PROXY": "http://q:2"}, None),
    ],
)
def test_a_proxy_is_used_when_the_file_or_the_environment_says_so(
    tmp_path: Path, cluster: dict[str, Any], environment: dict[str, str], proxy: str | None
) -> None:
    assert load([written(tmp_path, config(cluster=cluster))], environment=environment).proxy == proxy


# --- Exec plugins ------------------------------------------------------------------------------------------------


def plugin(folder: Path, script: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    """A user that logs in with a shell script."""
    path = folder / "plugin"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)
    stanza = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": "./plugin"}
    return {"exec": stanza | ({"interactiveMode": "Never"} if version == "v1" else {}) | fields}


def credential(version: str = "v1", **answer: str) -> str:
    return json.dumps(
        {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "kind": "ExecCredential",
            "status": answer,
        }
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_prints_the_token(tmp_path: Path, version: str) -> None:
    user = plugin(tmp_path, f"echo '{credential(version, token='abc')}'", version)
    assert token(load([written(tmp_path, config(user))])) == "abc"


def test_a_plugin_gets_its_arguments_its_environment_and_what_there_is_to_know(tmp_path: Path) -> None:
    script = f"""
        echo "$1 $2 $GREETING" > {tmp_path}/seen
        echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info
        echo '{credential(token="abc")}'
        """
    user = plugin(
        tmp_path, script, args=["a", "b c"], env=[{"name": "GREETING", "value": "hello"}], provideClusterInfo=True
    )
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    content = config(user, {"tls-server-name": "k", "extensions": [extension]})
    token(load([written(tmp_path, content)]))
    assert (tmp_path / "seen").read_text() == "a b c hello\n"
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {"server": "https://192.0.2.1:6443", "tls-server-name": "k", "config": {"audience": "x"}},
        },
    }


def test_a_plugin_may_print_a_client_certificate(tmp_path: Path, authority: Authority) -> None:
    client = authority.issue("client")
    answer = credential(clientCertificateData=client.certificate.read_text(), clientKeyData=client.key.read_text())
    written(tmp_path, answer, "answer")
    access = load([written(tmp_path, config(plugin(tmp_path, f"cat {tmp_path}/answer")))])
    assert ticket(access).credential.certificate == client.certificate.read_bytes()


@pytest.mark.parametrize(("hours", "runs"), [(1, 1), (-1, 3), (None, 1)])
def test_a_plugin_is_run_again_when_what_it_gave_has_run_out(tmp_path: Path, hours: int | None, runs: int) -> None:
    async def story() -> None:
        expiry = {}
        if hours is not None:
            expiry = {"expirationTimestamp": (datetime.now(UTC) + timedelta(hours=hours)).isoformat()}
        script = f"""
            echo run >> {tmp_path}/runs
            echo '{credential(token="abc", **expiry)}'
            """
        access = load([written(tmp_path, config(plugin(tmp_path, script)))])
        for _ in range(3):
            await access.ticket()
        assert (tmp_path / "runs").read_text().count("run") == runs

    asyncio.run(story())


def test_a_plugin_is_run_again_after_a_401_and_once_for_all_who_were_refused(tmp_path: Path) -> None:
    async def story() -> None:
        script = f"""
            echo run >> {tmp_path}/runs
            echo '{credential(token="NUMBER")}' | sed s/NUMBER/$(wc -l < {tmp_path}/runs)/
            """
        access = load([written(tmp_path, config(plugin(tmp_path, script)))])
        tickets = [await access.ticket() for _ in range(4)]
        assert await asyncio.gather(*(access.refused(ticket) for ticket in tickets)) == [True] * 4
        assert (await access.ticket()).credential.token == "2"
        assert (tmp_path / "runs").read_text().count("run") == 2

    asyncio.run(story())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo not logged in >&2; exit 3", "failed with exit code 3: not logged in"),
        ("echo hello", "printed no usable ExecCredential"),
        (f"echo '{credential()}'", "neither a token nor a client certificate"),
        (f"echo '{credential(clientKeyData='k')}'", "only one of"),
        (f"echo '{credential('v1beta1', token='t')}'", "v1beta1 ExecCredential .expected .*/v1 "),
    ],
)
def test_a_plugin_that_fails_is_told_in_one_line(tmp_path: Path, script: str, words: str) -> None:
    access = load([written(tmp_path, config(plugin(tmp_path, script)))])
    with pytest.raises(CredentialError, match=words) as caught:
        ticket(access)
    assert "\n" not in str(caught.value)


def test_a_plugin_that_is_not_installed_is_told_with_how_to_install_it(tmp_path: Path) -> None:
    user = plugin(tmp_path, "", command="no-such-plugin", installHint="Get it\nfrom the shop.")
    access = load([written(tmp_path, config(user))])
    with pytest.raises(CredentialError, match=r"no-such-plugin cannot be run: .*\(Get it from the shop\.\)"):
        ticket(access)


# --- In a pod ----------------------------------------------------------------------------------------------------

POD = {"KUBERNETES_SERVICE_HOST": "fd00:10:96::1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def service_account(tmp_path: Path, authority: Authority) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first")
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    return folder


def test_in_a_pod_its_own_account_is_used(service_account: Path) -> None:
    access = connect(environment=POD, service_account=service_account)
    assert (access.server, token(access)) == ("https://[fd00:10:96::1]:443", "first")


def test_in_a_pod_a_master_replaces_the_service_address(service_account: Path) -> None:
    access = connect(master="https://192.0.2.9:6443", environment=POD, service_account=service_account)
    assert (access.server, token(access)) == ("https://192.0.2.9:6443", "first")


def test_a_token_that_was_rotated_is_used_within_a_minute(
    service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        access = connect(environment=POD, service_account=service_account)
        now = [1000.0]
        monkeypatch.setattr("controller.api.access.time", SimpleNamespace(monotonic=lambda: now[0]))
        assert (await access.ticket()).credential.token == "first"
        (service_account / "token").write_text("second")
        now[0] += 59
        assert (await access.ticket()).credential.token == "first"
        now[0] += 2
        assert (await access.ticket()).credential.token == "second"
        # Gone for a moment, while it is being rotated: the one that we have goes on.
        (service_account / "token").unlink()
        now[0] += 61
        assert (await access.ticket()).credential.token == "second"

    asyncio.run(story())


def test_an_account_without_its_authority_is_a_mistake(service_account: Path) -> None:
    (service_account / "ca.crt").unlink()
    with pytest.raises(InputError, match=r"ServiceAccount is not usable: cannot read .*ca\.crt"):
        connect(environment=POD, service_account=service_account)


def test_a_kubeconfig_that_is_given_comes_before_the_account(service_account: Path, tmp_path: Path) -> None:
    path = written(tmp_path, config({"token": "abc"}))
    assert token(connect(str(path), environment=POD, service_account=service_account)) == "abc"


def test_a_master_alone_is_talked_to_without_credentials(tmp_path: Path) -> None:
    access = connect(master="http://127.0.0.1:8001", environment={"HOME": str(tmp_path)})
    assert (access.server, ticket(access).headers) == ("http://127.0.0.1:8001", {})


def test_nowhere_to_connect_to_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cluster to talk to"):
        connect(environment={"HOME": str(tmp_path)})
    with pytest.raises(InputError, match="--master is"):
        connect(master="192.0.2.1", environment={"HOME": str(tmp_path)})
