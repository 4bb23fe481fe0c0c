"""Which API server to talk to, and as whom: the one place that decides between a kubeconfig and a pod's own account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from controller.api.access import Access
from controller.api.credential import FixedSource, read
from controller.api.errors import CredentialError
from controller.api.kubeconfig import check_url, default_files, load
from controller.api.tls import client_context
from dataplane.errors import InputError

#: Where every pod finds its ServiceAccount.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def connect(
    kubeconfig: str = "",
    *,
    context: str = "",
    master: str = "",
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """The first of: the kubeconfig given, the pod's own account, kubectl's files, `master` without credentials.

    In a pod, the account comes before kubectl's files: they are there by accident. A `context` is only in files.
    `master` replaces the server of each: in a pod it should be given, because the server's Service address, which
    a pod would use otherwise, works only once somebody (us) has programmed it. Raises InputError.
    """
    if kubeconfig:
        return load([Path(kubeconfig)], context=context, master=master, environment=environment)
    if not context and environment.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return in_cluster(master=master, environment=environment, service_account=service_account)
    if files := default_files(environment):
        return load(files, context=context, master=master, environment=environment)
    if master and not context:
        check_url("--master", master)
        return Access(master)
    raise InputError("no cluster to talk to: no --kubeconfig, no $KUBECONFIG, no ~/.kube/config, and not in a pod")


def in_cluster(
    *, master: str = "", environment: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> Access:
    """Access as this pod's ServiceAccount. Its token is rotated and so read again. Raises InputError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    server = master or f"https://{address}:{port}"
    check_url("--master" if master else "the server in KUBERNETES_SERVICE_HOST and _PORT", server)
    source, authority = FixedSource(service_account / "token"), service_account / "ca.crt"
    try:
        source.read()
        client_context(read(authority))
    except CredentialError as error:
        raise InputError(f"the pod's ServiceAccount is not usable: {error}") from error
    return Access(server, source, authority=authority)
