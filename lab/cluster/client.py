"""Requests to a lab's API server, for commands: one at a time, each to its end."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from dataplane.errors import InputError
from lab.api.registry import Resource

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

_TIMEOUT = 30.0


class RefusedError(Exception):
    """The API server refused. The message is its own."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason  #: metav1.StatusReason

    @property
    def is_not_found(self) -> bool:
        return self.code == 404


class ApiClient:
    """Talks to the API server at a URL."""

    def __init__(self, server: str) -> None:
        self._server = server
        # The environment's proxies are for the world outside; this is a socket on this very host.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Any:
        """The answer, decoded. Raises RefusedError, or InputError if nobody answers."""
        url = self._server + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={"Accept": accept})
        if data is not None:
            request.add_header("Content-Type", content_type)
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"the API server at {self._server} does not answer: {error}") from None

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """One object. RefusedError with code 404 if there is none."""
        found: dict[str, Any] = self.request("GET", path_of(resource, namespace, name))
        return found


def path_of(resource: Resource, namespace: str = "", name: str = "") -> str:
    """Where a collection (all namespaces without `namespace`) or an object is."""
    parts = ["/apis", resource.group, resource.version] if resource.group else ["/api", resource.version]
    if resource.namespaced and namespace:
        parts += ["namespaces", namespace]
    return "/".join([*parts, resource.plural, *([name] if name else [])])


def _refusal(error: urllib.error.HTTPError) -> RefusedError:
    body = error.read()
    try:
        status = json.loads(body)
        return RefusedError(error.code, status.get("reason", ""), " ".join(status["message"].split()))
    except (ValueError, KeyError):
        return RefusedError(error.code, "", f"HTTP {error.code}: {body[:200].decode(errors='replace')}")
