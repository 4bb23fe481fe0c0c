"""The TLS side of a connection to the API server: whom we trust, and the certificate that says who we are."""

from __future__ import annotations

import os
import ssl

from controller.api.errors import CredentialError


def client_context(
    authority: bytes | None = None, *, insecure: bool = False, certificate: bytes = b"", key: bytes = b""
) -> ssl.SSLContext:
    """A context for connections to the API server.

    `authority` holds the certificates to trust, in PEM (None: those that the system trusts); with `insecure` the
    server's certificate is not looked at. `certificate` and `key`, in PEM, are the client's own.
    Raises CredentialError.
    """
    if authority is not None and not authority.strip():
        raise CredentialError("the certificate authority is empty (expected certificates in PEM)")
    try:
        # The text around the certificates may be in any language, but the ssl module takes only ASCII.
        pem = None if authority is None else authority.decode("ascii", "ignore")
        context = ssl.create_default_context(cadata=pem)
    except ssl.SSLError as error:
        reason = _reason(error)
        raise CredentialError(f"the certificate authority is not usable ({reason}); expected PEM") from error
    # Python 3.13 began to ask for extensions that the authorities of many clusters lack, k3s among them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """The ssl module reads certificates only from files: give it one in memory, so that no key touches a disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except ssl.SSLError as error:
        reason = _reason(error)
        raise CredentialError(f"the client certificate and key do not work together ({reason})") from error
    finally:
        os.close(descriptor)


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal and block.
    raise CredentialError("the client key is encrypted (expected one without a password)")


def _reason(error: ssl.SSLError) -> str:
    return error.reason or str(error)
