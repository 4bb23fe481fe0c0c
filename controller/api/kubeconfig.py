"""From a kubeconfig to an `Access`: the server, whom to trust there, and who we are."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.api.access import Access
from controller.api.credential import CredentialSource, FixedSource, Source, read
from controller.api.exec_plugin import API_VERSIONS, ExecPlugin
from controller.api.kubeconfig_file import Chosen, Cluster, Exec, Merged, Place
from controller.api.tls import client_context
from dataplane.errors import InputError

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")


def default_files(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where kubectl looks: the files listed in $KUBECONFIG, or else ~/.kube/config. Only those that exist."""
    listed = [Path(name) for name in environment.get("KUBECONFIG", "").split(os.pathsep) if name]
    candidates = listed or [Path(environment.get("HOME", "/")) / ".kube" / "config"]
    return tuple(path for path in candidates if path.exists())


def load(
    files: Iterable[Path],
    *,
    context: str = "",
    master: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Access:
    """The access that these files (at least one) describe, merged as kubectl merges them.

    `context` is the one to use (else ``current-context``), `master` a URL that replaces the cluster's server,
    `environment` is asked for HTTP proxies. Everything but an exec plugin is tried here and now: what is wrong
    with it raises InputError.
    """
    chosen = Merged(tuple(files)).choose(context)
    cluster, place = chosen.cluster, chosen.cluster_place
    server = master or cluster.server or ""
    if master:
        check_url("--master", master)
    else:
        check_url("server", server, place.wrong)
    if cluster.proxy_url:
        check_url("proxy-url", cluster.proxy_url, place.wrong)
    authority = place.source("certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority)
    if authority is not None:
        if cluster.insecure_skip_tls_verify:
            raise place.wrong("certificate-authority and insecure-skip-tls-verify exclude each other")
        with place.blamed():
            client_context(read(authority))
    return Access(
        server,
        _credential_source(chosen, authority, server),
        authority=authority,
        insecure=bool(cluster.insecure_skip_tls_verify),
        server_name=cluster.tls_server_name or None,
        proxy=cluster.proxy_url or _environment_proxy(server, environment),
        headers={"Accept-Encoding": "identity"} if cluster.disable_compression else {},
    )


def check_url(name: str, url: str, wrong: Callable[[str], InputError] = InputError) -> None:
    """Raises InputError unless this is an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise wrong(f'{name} is "{url}" (expected a URL like https://203.0.113.7:6443)')


def _credential_source(chosen: Chosen, authority: Source | None, server: str) -> CredentialSource:
    user, place = chosen.user, chosen.user_place
    ways = {"token": user.token or user.token_file, "username": user.username, "exec": user.exec}
    used = [name for name, value in ways.items() if value]
    if len(used) > 1:
        raise place.wrong(f"has {' and '.join(used)} (expected one way to log in)")
    certificate = place.source("client-certificate", user.client_certificate_data, user.client_certificate)
    key = place.source("client-key", user.client_key_data, user.client_key)
    if (certificate is None) != (key is None):
        given, lacks = ("client-key", "client-certificate") if key else ("client-certificate", "client-key")
        raise place.wrong(f"has {given} but no {lacks}")
    if user.exec is not None:
        if certificate is not None:
            raise place.wrong("has client-certificate and exec (expected one way to log in)")
        return _exec_plugin(user.exec, place, chosen.cluster, authority, server)
    # As everywhere in Kubernetes, the file wins over a token beside it, which may be an old copy.
    token: Source = place.file.parent / user.token_file if user.token_file else (user.token or "").encode()
    source = FixedSource(token, user.username or "", user.password or "", certificate or b"", key or b"")
    with place.blamed():
        credential = source.read()
        client_context(certificate=credential.certificate, key=credential.key)
    return source


def _exec_plugin(plugin: Exec, place: Place, cluster: Cluster, authority: Source | None, server: str) -> ExecPlugin:
    if plugin.api_version not in API_VERSIONS:
        raise place.wrong(f"exec.apiVersion is {plugin.api_version} (expected {' or '.join(API_VERSIONS)})")
    # v1 has no default for this field, v1beta1 has.
    mode = plugin.interactive_mode or ("IfAvailable" if plugin.api_version != API_VERSIONS[0] else "missing")
    if mode not in _INTERACTIVE_MODES:
        raise place.wrong(f"exec.interactiveMode is {mode} (expected {', '.join(_INTERACTIVE_MODES)})")
    return ExecPlugin(
        command=plugin.command,
        arguments=plugin.args or (),
        environment={variable.name: variable.value for variable in plugin.env or ()},
        api_version=plugin.api_version,
        interactive_mode=mode,
        install_hint=plugin.install_hint or "",
        cluster=_cluster_info(cluster, authority, server) if plugin.provide_cluster_info else None,
        directory=place.file.parent.absolute(),
    )


def _cluster_info(cluster: Cluster, authority: Source | None, server: str) -> dict[str, Any]:
    """``spec.cluster`` of the ExecCredential that a plugin is given, without what is not set."""
    extensions = cluster.extensions or ()
    info = {
        "server": server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(read(authority)).decode() if authority else None,
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((e.get("extension") for e in extensions if e.get("name") == _EXEC_EXTENSION), None),
    }
    return {name: value for name, value in info.items() if value}


def _environment_proxy(server: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that HTTPS_PROXY (or HTTP_PROXY) names for this server, unless NO_PROXY spares it."""

    def value(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name) or ""

    parts = urlsplit(server)
    name = f"{parts.scheme.upper()}_PROXY"
    proxy = value(name)
    if not proxy or _is_spared(parts.hostname or "", value("NO_PROXY")):
        return None
    check_url(name, proxy)
    return proxy


def _is_spared(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY, a list of names, addresses and networks, covers this host. This machine never needs a proxy."""
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    if host == "localhost" or "*" in entries:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        names = [entry.lstrip(".") for entry in entries if entry]
        return any(host == name or host.endswith(f".{name}") for name in names)
    if address.is_loopback:
        return True
    for entry in entries:
        # What is a name and no network can't mean an address.
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(entry, strict=False):
                return True
    return False
