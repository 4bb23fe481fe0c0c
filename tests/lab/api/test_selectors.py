"""Selectors as text and as objects."""

from __future__ import annotations

import pytest

from lab.api.errors import ApiError
from lab.api.selectors import FieldSelector, Selector

WEB = {"app": "web", "tier": "front", "example.com/size": "3"}

MATCHING = [
    "",
    "app",
    "app=web",
    "app==web",
    "app = web , tier=front",
    "app!=db",
    "app in (db, web)",
    "app notin (db)",
    "!missing",
    "missing notin (x)",
    "missing!=x",
    "example.com/size>2",
    "example.com/size<4,app",
]
OTHERS = ["app=db", "missing", "!app", "app in (db,dc)", "app notin (web)", "missing=x", "example.com/size>3", "app>1"]
NONE = ["app=", "app in ()"]
MALFORMED = ["app=web,", "=web", "app in web", "app notin", "a b", "app=we b", "app>x", "app in (we b)", ",app"]


@pytest.mark.parametrize("text", MATCHING)
def test_these_match(text: str) -> None:
    assert Selector.parse(text).matches(WEB)


@pytest.mark.parametrize("text", [*OTHERS, *NONE])
def test_these_do_not_match(text: str) -> None:
    assert not Selector.parse(text).matches(WEB)


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        Selector.parse(text)
    assert refused.value.code == 400


def test_an_object_without_labels_matches_only_what_asks_for_none() -> None:
    assert Selector.parse("!app").matches(None)
    assert not Selector.parse("app").matches(None)


def test_a_label_selector_object_means_the_same_as_its_text() -> None:
    selector = Selector.of_object(
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]}
    )
    assert selector == Selector.parse("app=web,tier in (front)")


def test_fields_are_compared_as_text() -> None:
    node = {"metadata": {"name": "n1"}, "spec": {"unschedulable": True}, "status": {"replicas": 0}}
    assert FieldSelector.parse("spec.unschedulable=true,status.replicas=0").matches_object(node)
    assert FieldSelector.parse("spec.nodeName=").matches_object(node)
    assert not FieldSelector.parse("metadata.name!=n1").matches_object(node)


def test_only_known_fields_may_be_named() -> None:
    allowed = {"metadata.name": "", "spec.unschedulable": "false"}
    assert FieldSelector.parse("spec.unschedulable=false", allowed).matches_object({"spec": {}})
    with pytest.raises(ApiError, match=r"field label not supported: spec\.color"):
        FieldSelector.parse("spec.color=red", allowed)
