"""How talking to the API server can fail. Every message is one clear line: what was asked, of whom, what came back."""

from __future__ import annotations


class ApiServerError(Exception):
    """The API server could not be used. Commands print the message; the reflector waits and tries again."""


class UnreachableError(ApiServerError):
    """No connection, one that broke, or one on which nothing came for too long."""


class UntrustedError(ApiServerError):
    """TLS failed: either side does not accept the other's certificate, or one of them does not speak TLS."""


class CredentialError(ApiServerError):
    """What should prove who we are, or whom we trust, cannot be had: a file, a certificate, an exec plugin."""


class GarbageError(ApiServerError):
    """An answer that is not what the API promises."""


class RefusedError(ApiServerError):
    """The API server answered, and the answer is no.

    `status` is the HTTP status, `reason` the machine-readable ``Status.reason`` ("" if there was none),
    `retry_after` the seconds that the server asks to be left alone (0: it did not ask).
    """

    def __init__(self, message: str, status: int, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFoundError(RefusedError):
    """404: no such object, or the server does not have this kind at all."""


class ExpiredError(RefusedError):
    """410: the version asked for is out of the server's history. Only a new list helps."""


def refused(message: str, status: int, reason: str = "", retry_after: float = 0.0) -> RefusedError:
    """The error for an HTTP status, or for the Status object of a watch's ERROR event.

    "Too large resource version" comes with 504, but means what 410 does: the server's history is not the one
    that our version is from (it was restored from a backup, or is another server).
    """
    if status == 410 or "too large resource version" in message.lower():
        return ExpiredError(message, status, reason, retry_after)
    kind = NotFoundError if status == 404 else RefusedError
    return kind(message, status, reason, retry_after)
