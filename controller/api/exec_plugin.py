"""Credentials from a program: the ``exec`` stanza of a kubeconfig (client.authentication.k8s.io, v1 and v1beta1).

The program is told about the cluster in the environment variable KUBERNETES_EXEC_INFO and prints an ExecCredential.
How clouds log people and nodes in.
"""

from __future__ import annotations

import asyncio
import datetime
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from controller.api.credential import Credential
from controller.api.errors import CredentialError

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

#: A plugin that has said nothing for so long is not going to; people may need a while to log in.
_SECONDS_ALONE, _SECONDS_WITH_A_PERSON = 60.0, 600.0

#: A credential is not used in its last seconds: the request has yet to arrive, and clocks differ.
_LEEWAY_SECONDS = 10.0


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime.datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: _Status | None = None


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A credential source that runs a program. `cluster` is what the program is told of the cluster, if it asked."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_version: str = API_VERSIONS[0]
    interactive_mode: str = "IfAvailable"
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None
    directory: Path = Path()  #: where a relative path in `command` starts: the kubeconfig's folder

    async def fetch(self) -> tuple[Credential, float]:
        return self._decode(await self._run())

    @property
    def _program(self) -> str:
        return str(self.directory / self.command) if os.sep in self.command else self.command

    async def _run(self) -> bytes:
        interactive = self.interactive_mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if self.interactive_mode == "Always" and not interactive:
            raise CredentialError(f"exec plugin {self.command} wants to ask a person, and there is no terminal")
        info = {
            "apiVersion": self.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": interactive} | ({"cluster": dict(self.cluster)} if self.cluster else {}),
        }
        told = {"KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *self.arguments,
                env=os.environ | dict(self.environment) | told,
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                # A person has to see what the plugin asks; otherwise what it says belongs into our error.
                stderr=None if interactive else asyncio.subprocess.PIPE,
            )
        except (OSError, ValueError) as error:
            hint = f" ({' '.join(self.install_hint.split())})" if self.install_hint else ""
            raise CredentialError(f"exec plugin {self.command} cannot be run: {error}{hint}") from error
        seconds = _SECONDS_WITH_A_PERSON if interactive else _SECONDS_ALONE
        try:
            async with asyncio.timeout(seconds):
                output, complaint = await process.communicate()
        except TimeoutError as error:
            raise CredentialError(f"exec plugin {self.command} gave no answer in {seconds:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = " ".join((complaint or b"").decode(errors="replace").split())[-300:]
            raise CredentialError(
                f"exec plugin {self.command} failed with exit code {process.returncode}"
                + (f": {words}" if words else "")
            )
        return output

    def _decode(self, output: bytes) -> tuple[Credential, float]:
        def wrong(what: str) -> CredentialError:
            return CredentialError(f"exec plugin {self.command} printed no usable ExecCredential: {what}")

        try:
            answer = msgspec.json.decode(output, type=_ExecCredential)
        except msgspec.DecodeError as error:
            raise wrong(str(error)) from error
        if answer.kind != "ExecCredential" or answer.api_version != self.api_version:
            raise wrong(f"it is {answer.api_version} {answer.kind} (expected {self.api_version} ExecCredential)")
        status = answer.status or _Status()
        certificate, key = status.client_certificate_data or "", status.client_key_data or ""
        if bool(certificate) != bool(key):
            raise wrong("it has only one of clientCertificateData and clientKeyData")
        if not status.token and not certificate:
            raise wrong("it has neither a token nor a client certificate")
        seconds = math.inf
        if status.expiration_timestamp is not None:
            seconds = status.expiration_timestamp.timestamp() - time.time() - _LEEWAY_SECONDS
        credential = Credential(token=(status.token or "").strip(), certificate=certificate.encode(), key=key.encode())
        return credential, seconds
