"""The OpenAPI documents: version 2 in one piece (JSON or protobuf), version 3 one per group and version.

They hold what clients look for and no more: the schemas, and for every kind that it can be patched with ``dryRun`` and
``fieldValidation``. Made once, when first asked for.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import msgspec

from lab.api.errors import Object, path_not_found
from lab.api.http.answers import JSON, Answer
from lab.api.openapi.protobuf import document as as_protobuf
from lab.api.openapi.schemas import definitions, kind_of
from lab.api.registry import RESOURCES, Resource

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PROTOBUF_ASKED = (PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")  # "@" is not for answers
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
_INFO = {"title": "Kubernetes", "version": "v1.36.2"}


class OpenApi:
    """Answers everything under ``/openapi``."""

    def answer(self, path: str, accept: str) -> Answer:
        """The document at this path. ApiError 404 if there is none."""
        if path == "/openapi/v2":
            if any(media_type in accept for media_type in _PROTOBUF_ASKED):
                return Answer(self._v2_protobuf, media_type=PROTOBUF)
            return Answer(msgspec.json.encode(self._v2))
        if path == "/openapi/v3":
            return Answer(msgspec.json.encode(self._v3_index))
        document = self._v3.get(path.removeprefix("/openapi/v3/"))
        if document is None:
            raise path_not_found()
        return Answer(document, media_type=JSON)

    @cached_property
    def _v2(self) -> Object:
        return {
            "swagger": "2.0",
            "info": _INFO,
            "paths": {_path(resource): _path_v2(resource) for resource in RESOURCES},
            "definitions": definitions(RESOURCES, "#/definitions/"),
        }

    @cached_property
    def _v2_protobuf(self) -> bytes:
        return as_protobuf(self._v2)

    @cached_property
    def _v3(self) -> dict[str, bytes]:
        """The documents by what follows ``/openapi/v3/``."""
        prefixes = dict.fromkeys(_prefix(resource) for resource in RESOURCES)
        return {prefix: msgspec.json.encode(_v3_document(prefix)) for prefix in prefixes}

    @property
    def _v3_index(self) -> Object:
        paths = {}
        for prefix, document in self._v3.items():
            digest = hashlib.sha256(document).hexdigest().upper()
            paths[prefix] = {"serverRelativeURL": f"/openapi/v3/{prefix}?hash={digest}"}
        return {"paths": paths}


def _prefix(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _path(resource: Resource) -> str:
    namespace = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"/{_prefix(resource)}{namespace}/{resource.plural}/{{name}}"


def _path_v2(resource: Resource) -> Object:
    parameters = [{"name": name, "in": "query", "type": "string", "uniqueItems": True} for name in _PARAMETERS]
    return {"patch": _operation(resource, parameters)}


def _path_v3(resource: Resource) -> Object:
    schema = {"type": "string", "uniqueItems": True}
    parameters = [{"name": name, "in": "query", "schema": schema} for name in _PARAMETERS]
    return {"patch": _operation(resource, parameters)}


def _operation(resource: Resource, parameters: list[Object]) -> Object:
    scope = "Namespaced" if resource.namespaced else ""
    group = resource.group.partition(".")[0] or "core"
    return {
        "operationId": f"patch{group.capitalize()}{resource.version.upper()}{scope}{resource.kind}",
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": kind_of(resource),
    }


def _v3_document(prefix: str) -> Object:
    resources = tuple(resource for resource in RESOURCES if _prefix(resource) == prefix)
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {_path(resource): _path_v3(resource) for resource in resources},
        "components": {"schemas": definitions(resources, "#/components/schemas/")},
    }
