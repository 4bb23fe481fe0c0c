"""Objects of the right shape but with any values: stored or refused, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.api.errors import ApiError
from lab.api.patches import Kind
from lab.api.registry import RESOURCES, Resource
from lab.api.schema import (
    BOOLEAN,
    INT32,
    INT64,
    INT_OR_STRING,
    QUANTITY,
    TIME,
    Anything,
    Array,
    Map,
    Record,
    Type,
    copied,
)
from lab.api.store import Store
from lab.api.tables.table import table

WORDS = (
    " a web UPPER 10.96.0.7 ::1 10.0.0.0/8 None IPv4 IPv6 TCP UDP ClusterIP NodePort LoadBalancer ExternalName Local"
    " PreferDualStack In Always Recreate 50% "
)
TEXTS = st.sampled_from([*WORDS.split(" "), "\u00e9" * 70])
NUMBERS = st.sampled_from([-1, 0, 1, 53, 80, 30000, 65535, 65536, 2**31 - 1])
OTHER = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=1)


def values(shape: Type, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of this shape; deep down, where it would grow without end, only empty ones."""
    if isinstance(shape, Record):
        fields = {name: values(part, depth + 1) for name, part in shape.fields.items()} if depth < 8 else {}
        return st.fixed_dictionaries({}, optional=fields)
    if isinstance(shape, Array):
        return st.lists(values(shape.items, depth + 1), max_size=2)
    if isinstance(shape, Map):
        return st.dictionaries(TEXTS, values(shape.values, depth + 1), max_size=2)
    if isinstance(shape, Anything):
        return st.dictionaries(TEXTS, st.integers(), max_size=1)
    if shape is BOOLEAN:
        return st.booleans()
    if shape in (INT32, INT64):
        return NUMBERS
    if shape is INT_OR_STRING:
        return NUMBERS | TEXTS
    if shape is TIME:
        return st.just("2030-01-01T00:00:00Z")
    return st.sampled_from(["100m", "1Gi"]) if shape is QUANTITY else TEXTS


def objects(resource: Resource) -> st.SearchStrategy[Any]:
    """Objects of a kind, most of them with a name and namespace that will do."""
    metadata = st.fixed_dictionaries({"name": st.just("a")}, optional={"labels": values(Map(INT_OR_STRING))})
    fields = {name: values(part) for name, part in resource.shape.fields.items() if name not in ("apiVersion", "kind")}
    return st.fixed_dictionaries(
        {"metadata": st.one_of(metadata, metadata, fields["metadata"])},
        optional={name: part for name, part in fields.items() if name != "metadata"},
    )


def attempt(request: Callable[[], Any]) -> Any:
    """What a request answers; None if it is refused, which must be in one printable line."""
    try:
        return request()
    except ApiError as why:
        refusal = why
    assert 400 <= refusal.code < 500
    assert refusal.message.isprintable()
    return None


KINDS = [resource for resource in RESOURCES if resource.view_of is None]


@pytest.mark.parametrize("resource", KINDS, ids=lambda resource: resource.plural)
@settings(max_examples=40)
@given(data=st.data())
def test_it_is_stored_or_refused(resource: Resource, data: st.DataObject) -> None:
    store = Store()
    first, second = data.draw(objects(resource)), data.draw(objects(resource))
    version, before = store.version, copied(first)
    made = attempt(lambda: store.create(resource, first))
    assert first == before
    if made is None:
        assert store.version == version
        return
    name, namespace = made["metadata"]["name"], made["metadata"].get("namespace", "")
    if store.find(resource, f"{namespace}/{name}" if namespace else name) is None:
        return  # it named owners that do not exist
    assert table(resource, [made], datetime.now(UTC), metadata={})["rows"]
    for kind in (Kind.MERGE, Kind.STRATEGIC):
        attempt(partial(store.patch, resource, namespace, name, second, kind))
    store.delete(resource, namespace, name, grace_seconds=0)


@given(st.sampled_from(KINDS), st.recursive(OTHER, lambda inner: st.dictionaries(TEXTS, inner, max_size=3)))
def test_anything_at_all_is_refused(resource: Resource, anything: Any) -> None:
    with pytest.raises(ApiError) as refused:
        Store().create(resource, anything)
    assert refused.value.code in (400, 422)
