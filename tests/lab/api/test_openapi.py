"""The OpenAPI documents: complete, and the same in JSON and in protobuf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.api.openapi.documents import OpenApi
from lab.api.registry import RESOURCES

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: number and content."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        length, at = varint(at)
        if key & 7 == 0:
            yield key >> 3, length
        else:
            assert key & 7 == 2
            yield key >> 3, message[at : at + length]
            at += length


def parts(message: bytes, number: int) -> list[bytes]:
    return [content for n, content in fields(message) if n == number and isinstance(content, bytes)]


def text(message: bytes, number: int) -> str:
    return parts(message, number)[0].decode()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@pytest.fixture(scope="module")
def documents() -> OpenApi:
    return OpenApi()


@pytest.fixture(scope="module")
def v2(documents: OpenApi) -> Any:
    return json.loads(documents.answer("/openapi/v2", "application/json").body)


def test_every_kind_is_described(v2: Any) -> None:
    kinds = [k for d in v2["definitions"].values() for k in d.get("x-kubernetes-group-version-kind", ())]
    assert {(k["group"], k["version"], k["kind"]) for k in kinds} == {(r.group, r.version, r.kind) for r in RESOURCES}


def test_every_reference_leads_somewhere(v2: Any, documents: OpenApi) -> None:
    assert set(references(v2)) <= set(v2["definitions"])
    index = json.loads(documents.answer("/openapi/v3", "").body)["paths"]
    for entry in index.values():
        document = json.loads(documents.answer(entry["serverRelativeURL"].partition("?")[0], "").body)
        assert set(references(document)) <= set(document["components"]["schemas"])


def test_merge_keys_are_told(v2: Any) -> None:
    ports = v2["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
    assert (ports["x-kubernetes-patch-merge-key"], ports["x-kubernetes-patch-strategy"]) == ("port", "merge")
    assert ports["x-kubernetes-list-map-keys"] == ["port", "protocol"]


def test_protobuf_says_the_same_as_json(v2: Any, documents: OpenApi) -> None:
    document = documents.answer("/openapi/v2", PROTOBUF).body
    assert text(document, 1) == "2.0"
    definitions = {text(named, 1): parts(named, 2)[0] for named in parts(parts(document, 9)[0], 1)}
    assert definitions.keys() == v2["definitions"].keys()
    for name, schema in definitions.items():
        expected = v2["definitions"][name]
        properties = {text(named, 1): parts(named, 2)[0] for named in parts(parts(schema, 25)[0], 1)}
        assert properties.keys() == expected["properties"].keys()
        for field, encoded in properties.items():
            assert [p.decode() for p in parts(encoded, 1)] == [
                expected["properties"][field][key] for key in ("$ref",) if key in expected["properties"][field]
            ]
        extensions = {text(named, 1): json.loads(text(parts(named, 2)[0], 2)) for named in parts(schema, 31)}
        assert extensions == {k: v for k, v in expected.items() if k.startswith("x-")}


def test_it_tells_that_dry_run_and_field_validation_are_known(documents: OpenApi) -> None:
    document = json.loads(documents.answer("/openapi/v3/api/v1", "").body)
    patch = document["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} < {parameter["name"] for parameter in patch["parameters"]}
