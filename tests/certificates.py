"""Certificates for tests of TLS, made by the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder of its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def issue(self, name: str, *subject_names: str) -> Pair:
        """A certificate for `name`, valid for the subject names given, like ``IP:127.0.0.1`` or ``DNS:example``."""
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        signing = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial"]
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(subject_names)}\n" if subject_names else "")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", str(pair.key), "-subj", f"/CN={name}", "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-days", "2", *signing, "-extfile", str(extensions),
                 "-out", str(pair.certificate))  # fmt: skip
        return pair

    def server_context(self, pair: Pair, *, clients_prove_themselves: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients_prove_themselves:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate)
        return context


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def new_authority(folder: Path) -> Authority:
    folder.mkdir(parents=True)
    files = ("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"))
    _openssl("req", "-x509", *_NEW_KEY, *files, "-subj", "/CN=test authority", "-days", "2")
    return Authority(folder)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
