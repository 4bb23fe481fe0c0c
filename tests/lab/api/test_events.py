"""Events are one set of objects under two APIs."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from lab.api.registry import CORE_EVENTS
from lab.api.store import Store
from patience import PATIENCE
from served_store import Served

CORE = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
EVENT = {
    "metadata": {"name": "p.1"},
    "eventTime": "2030-01-01T00:00:00.000001Z",
    "reportingController": "svcplane",
    "reportingInstance": "n1",
    "action": "StartKubeProxy",
    "reason": "Starting",
    "regarding": {"kind": "Node", "name": "n1"},
    "note": "it starts",
    "type": "Normal",
}


def send(served: Served, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.readline() if "watch" in path else answer.read())


@pytest.fixture
def event(served: Served) -> Any:
    return send(served, "POST", NEW, EVENT)


def test_an_event_of_the_new_api_is_stored_as_one_of_the_old(served: Served, event: Any) -> None:
    assert {k: event[k] for k in EVENT if k != "metadata"} == {k: v for k, v in EVENT.items() if k != "metadata"}
    stored = served.call(lambda: served.store.get(CORE_EVENTS, "default", "p.1"))
    assert stored["involvedObject"] == EVENT["regarding"]
    assert (stored["message"], stored["reportingComponent"]) == ("it starts", "svcplane")


def test_both_apis_list_and_watch_it(served: Served, event: Any) -> None:
    assert send(served, "GET", CORE)["items"][0]["kind"] == "Event"
    (shown,) = send(served, "GET", NEW)["items"]
    assert shown == event
    assert send(served, "GET", f"{NEW}?watch=true")["object"] == event


def test_it_can_be_found_by_what_it_is_about(served: Served, event: Any) -> None:
    for path, field in ((CORE, "involvedObject"), (NEW, "regarding")):
        assert len(send(served, "GET", f"{path}?fieldSelector={field}.name%3Dn1")["items"]) == 1
        assert send(served, "GET", f"{path}?fieldSelector={field}.name%3Dn2")["items"] == []


def test_a_series_is_counted_by_a_patch(served: Served, event: Any) -> None:
    series = {"series": {"count": 2, "lastObservedTime": "2030-01-01T00:01:00Z"}}
    patched = send(served, "PATCH", f"{NEW}/p.1", series, kind="application/strategic-merge-patch+json")
    assert patched["series"] == series["series"]
    assert send(served, "GET", f"{CORE}/p.1")["series"] == series["series"]


def test_the_oldest_events_make_room_for_new_ones() -> None:
    store = Store()
    for i in range(5002):
        store.create(CORE_EVENTS, {"metadata": {"name": f"e{i}"}, "involvedObject": {}})
    names = [event["metadata"]["name"] for event in store.list(CORE_EVENTS)[0]]
    assert len(names) == 5000
    assert not {"e0", "e1"} & set(names)


def test_it_is_deleted_under_both_names(served: Served, event: Any) -> None:
    send(served, "DELETE", f"{NEW}/p.1")
    assert send(served, "GET", CORE)["items"] == []
