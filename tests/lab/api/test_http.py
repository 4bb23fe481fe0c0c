"""The server as a client without any library sees it."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from lab.api.registry import CONFIG_MAPS, NAMESPACES, PODS
from patience import PATIENCE
from served_store import Served

CONFIG_MAPS_PATH = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Client:
    def __init__(self, served: Served) -> None:
        self._served = served

    def send(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", accept: str = ""
    ) -> tuple[int, Any, list[str]]:
        """The code, the decoded body, and the warnings of an answer."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} | ({"Accept": accept} if accept else {})
        request = urllib.request.Request(self._served.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                raw, code, got = answer.read(), answer.status, answer.headers
        except urllib.error.HTTPError as refused:
            raw, code, got = refused.read(), refused.code, refused.headers
        text = raw.decode()
        is_json = got["Content-Type"].startswith("application/json")
        return code, json.loads(text) if is_json else text, got.get_all("Warning") or []

    def get(self, path: str, accept: str = "") -> Any:
        code, body, _ = self.send("GET", path, accept=accept)
        assert code == 200, body
        return body

    def watch(self, path: str, lines: int) -> list[Any]:
        """The first events of a watch."""
        with urllib.request.urlopen(self._served.url + path, timeout=PATIENCE) as answer:
            return [json.loads(answer.readline()) for _ in range(lines)]


@pytest.fixture
def client(served: Served) -> Client:
    return Client(served)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether this comes to hold, within patience."""
    end = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


class TestVerbs:
    def test_an_object_from_birth_to_death(self, client: Client) -> None:
        code, made, _ = client.send("POST", CONFIG_MAPS_PATH, config_map("a", key="1"))
        assert (code, made["metadata"]["namespace"]) == (201, "default")
        assert client.get(f"{CONFIG_MAPS_PATH}/a") == made
        code, changed, _ = client.send("PUT", f"{CONFIG_MAPS_PATH}/a", made | {"data": {"key": "2"}})
        assert (code, changed["data"]) == (200, {"key": "2"})
        merge = "application/merge-patch+json"
        code, changed, _ = client.send("PATCH", f"{CONFIG_MAPS_PATH}/a", {"data": {"more": "3"}}, kind=merge)
        assert (code, changed["data"]) == (200, {"key": "2", "more": "3"})
        code, status, _ = client.send("DELETE", f"{CONFIG_MAPS_PATH}/a")
        assert (code, status["status"], status["details"]["name"]) == (200, "Success", "a")
        code, status, _ = client.send("GET", f"{CONFIG_MAPS_PATH}/a")
        assert (code, status["reason"], status["message"]) == (404, "NotFound", 'configmaps "a" not found')
        assert status["details"] == {"name": "a", "kind": "configmaps"}

    def test_yaml_is_as_good_as_json(self, client: Client) -> None:
        body = b"metadata: {name: a}\ndata: {day: '2020-01-01'}"
        code, made, _ = client.send("POST", CONFIG_MAPS_PATH, body, kind="application/yaml")
        assert (code, made["data"]) == (201, {"day": "2020-01-01"})

    @pytest.mark.parametrize("kind", ["application/json", "application/yaml"])
    def test_half_a_character_does_not_spoil_the_lists_it_is_in(self, client: Client, kind: str) -> None:
        body = b'{"metadata": {"name": "a"}, "data": {"half": "\\ud83d!", "two": "\\ud83d\\ude00"}}'
        assert client.send("POST", CONFIG_MAPS_PATH, body, kind=kind)[0] == 201
        (item,) = client.get(CONFIG_MAPS_PATH)["items"]
        assert item["data"] == {"half": "\ufffd!", "two": "\U0001f600"}

    def test_server_side_apply_makes_or_merges(self, client: Client) -> None:
        path, kind = f"{CONFIG_MAPS_PATH}/a?fieldManager=m", "application/apply-patch+yaml"
        assert client.send("PATCH", path, config_map("a", x="1", y="1"), kind=kind)[0] == 201
        code, changed, _ = client.send("PATCH", path, config_map("a", x="2"), kind=kind)
        assert (code, changed["data"]) == (200, {"x": "2"})

    def test_an_applied_entry_without_the_key_of_its_list_is_refused(self, client: Client) -> None:
        path, kind = "/api/v1/namespaces/default/services/web?fieldManager=m", "application/apply-patch+yaml"
        assert client.send("PATCH", path, {"spec": {"ports": [{"port": 80}]}}, kind=kind)[0] == 201
        code, status, _ = client.send("PATCH", path, {"spec": {"ports": [{"name": "http"}]}}, kind=kind)
        assert (code, status["message"].endswith("does not contain declared merge key: port")) == (422, True)

    def test_all_of_a_kind_go_at_once(self, client: Client) -> None:
        for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
            client.send("POST", CONFIG_MAPS_PATH, {"metadata": {"name": name, "labels": {"color": color}}})
        client.send("DELETE", f"{CONFIG_MAPS_PATH}?labelSelector=color%3Dred")
        assert [item["metadata"]["name"] for item in client.get(CONFIG_MAPS_PATH)["items"]] == ["c"]

    def test_deletion_options_may_come_in_the_body(self, client: Client) -> None:
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        code, status, _ = client.send("DELETE", f"{CONFIG_MAPS_PATH}/a", {"preconditions": {"uid": "other"}})
        assert (code, status["reason"]) == (409, "Conflict")

    def test_the_scale_of_a_deployment_can_be_read_and_changed(self, client: Client) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        path = "/apis/apps/v1/namespaces/default/deployments"
        client.send("POST", path, {"metadata": {"name": "web"}, "spec": spec})
        scale = client.get(f"{path}/web/scale")
        assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "a=b")
        scale["spec"]["replicas"] = 4
        assert client.send("PUT", f"{path}/web/scale", scale)[0] == 200
        assert client.get(f"{path}/web")["spec"]["replicas"] == 4

    def test_logs_are_what_the_pod_wrote(self, client: Client) -> None:
        client.send("POST", "/api/v1/namespaces/default/pods", pod("p"))
        assert client.get("/api/v1/namespaces/default/pods/p/log") == "I am p\n"


class TestRefusals:
    @pytest.mark.parametrize(
        "path",
        [
            "/nothing",
            "/api/v2/pods",
            "/apis/apps/v1/pods",
            "/api/v1/pods/name",
            "/api/v1/namespaces/default/nodes",
            "/api/v1/namespaces/default/configmaps/a/status",
            "/openapi/v3/apis/nothing/v1",
        ],
    )
    def test_an_address_that_is_not_served(self, client: Client, path: str) -> None:
        code, status, _ = client.send("GET", path)
        assert (code, status["kind"], status["reason"]) == (404, "Status", "NotFound")
        assert status["details"] == {}, "`kubectl debug` looks into them without a look whether they are there"

    def test_a_name_that_is_not_that_of_the_address(self, client: Client) -> None:
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        code, status, _ = client.send("PUT", f"{CONFIG_MAPS_PATH}/a", config_map("b"))
        assert (code, status["message"]) == (
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        )

    def test_a_kind_that_is_not_that_of_the_address(self, client: Client) -> None:
        code, status, _ = client.send("POST", CONFIG_MAPS_PATH, {"kind": "Secret", "apiVersion": "v1"})
        assert code == 400
        assert status["message"].startswith('Secret in version "v1" cannot be handled as a ConfigMap')

    def test_a_body_that_is_neither_json_nor_yaml(self, client: Client) -> None:
        assert client.send("POST", CONFIG_MAPS_PATH, b"{", kind="application/json")[0] == 400
        assert client.send("POST", CONFIG_MAPS_PATH, b"a: [", kind="application/yaml")[0] == 400
        assert client.send("POST", CONFIG_MAPS_PATH, b"x", kind="text/plain")[0] == 415
        assert client.send("POST", CONFIG_MAPS_PATH, b"[]")[0] == 400

    def test_a_body_that_is_nested_too_deeply(self, client: Client) -> None:
        for kind in ("application/json", "application/yaml"):
            assert client.send("POST", CONFIG_MAPS_PATH, b'{"a":' * 3000 + b"1" + b"}" * 3000, kind=kind)[0] == 400
        deep = b'{"metadata": {"name": "a"}, "spec": {"affinity": ' + b'{"a":' * 900 + b"1" + b"}" * 902
        assert client.send("POST", "/api/v1/namespaces/default/pods", deep)[0] == 400

    @pytest.mark.parametrize(
        "options",
        [{"gracePeriodSeconds": "1"}, {"preconditions": []}, {"preconditions": {"uid": 1}}, {"dryRun": "All"}, 5],
    )
    def test_options_of_the_wrong_type(self, client: Client, options: Any) -> None:
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        assert client.send("DELETE", f"{CONFIG_MAPS_PATH}/a", options)[0] == 400
        assert client.get(f"{CONFIG_MAPS_PATH}/a")

    def test_a_method_that_makes_no_sense(self, client: Client) -> None:
        assert client.send("PUT", CONFIG_MAPS_PATH, {})[0] == 405
        assert client.send("POST", f"{CONFIG_MAPS_PATH}/a", {})[0] == 405

    def test_a_body_that_is_too_large(self, client: Client) -> None:
        code, status, _ = client.send("POST", CONFIG_MAPS_PATH, b" " * (3 * 1024 * 1024 + 1))
        assert (code, status["reason"]) == (413, "RequestEntityTooLarge")

    @pytest.mark.parametrize("query", ["limit=x", "labelSelector==", "fieldSelector=spec.color=red", "continue=x"])
    def test_a_question_that_is_malformed(self, client: Client, query: str) -> None:
        code, status, _ = client.send("GET", f"{CONFIG_MAPS_PATH}?{query}")
        assert (code, status["reason"]) == (400, "BadRequest")

    @pytest.mark.parametrize("query", ["dryRun=Some", "fieldValidation=Hard"])
    def test_an_option_that_does_not_exist(self, client: Client, query: str) -> None:
        assert client.send("POST", f"{CONFIG_MAPS_PATH}?{query}", config_map("a"))[0] == 400

    def test_only_json_can_be_had(self, client: Client) -> None:
        assert client.send("GET", CONFIG_MAPS_PATH, accept="text/html")[0] == 406
        wanted = "application/vnd.kubernetes.protobuf,application/json"
        assert client.get(CONFIG_MAPS_PATH, accept=wanted)["kind"] == "ConfigMapList"


class TestFieldValidation:
    BODY = b'{"metadata": {"name": "a"}, "dato": {}, "data": {"x": "1", "x": "2"}}'

    def test_by_default_it_warns(self, client: Client) -> None:
        code, made, warnings = client.send("POST", CONFIG_MAPS_PATH, self.BODY)
        assert (code, made["data"]) == (201, {"x": "2"})
        assert warnings == [r'299 - "duplicate field \"data.x\""', r'299 - "unknown field \"dato\""']

    def test_ignore_says_nothing(self, client: Client) -> None:
        assert client.send("POST", f"{CONFIG_MAPS_PATH}?fieldValidation=Ignore", self.BODY)[2] == []

    def test_strict_refuses(self, client: Client) -> None:
        path = f"{CONFIG_MAPS_PATH}?fieldValidation=Strict"
        code, status, _ = client.send("POST", path, self.BODY)
        assert (code, status["message"].partition("strict ")[2]) == (400, 'decoding error: duplicate field "data.x"')
        code, status, _ = client.send("POST", path, b'{"metadata": {"name": "a", "names": 1}}')
        assert status["message"].endswith('strict decoding error: unknown field "metadata.names"')


class TestLists:
    def test_parts_show_one_moment(self, client: Client) -> None:
        for name in "abcde":
            client.send("POST", CONFIG_MAPS_PATH, config_map(name))
        first = client.get(f"{CONFIG_MAPS_PATH}?limit=2")
        assert first["metadata"]["remainingItemCount"] == 3
        client.send("DELETE", f"{CONFIG_MAPS_PATH}/d")
        client.send("POST", CONFIG_MAPS_PATH, config_map("cc"))
        second = client.get(f"{CONFIG_MAPS_PATH}?limit=2&continue={first['metadata']['continue']}")
        third = client.get(f"{CONFIG_MAPS_PATH}?limit=2&continue={second['metadata']['continue']}")
        parts = [first, second, third]
        assert [item["metadata"]["name"] for part in parts for item in part["items"]] == list("abcde")
        assert len({part["metadata"]["resourceVersion"] for part in parts}) == 1
        assert "continue" not in third["metadata"]

    def test_a_token_that_is_too_old_has_expired(self, client: Client, served: Served) -> None:
        for name in "abc":
            client.send("POST", CONFIG_MAPS_PATH, config_map(name))
        token = client.get(f"{CONFIG_MAPS_PATH}?limit=1")["metadata"]["continue"]
        client.send("POST", CONFIG_MAPS_PATH, config_map("d"))
        served.call(served.store.compact)
        code, status, _ = client.send("GET", f"{CONFIG_MAPS_PATH}?limit=1&continue={token}")
        assert (code, status["reason"]) == (410, "Expired")
        assert status["message"].startswith("The provided continue parameter is too old")

    def test_a_table_has_the_columns_that_kubectl_prints(self, client: Client) -> None:
        table = client.get("/api/v1/namespaces/default/services", accept=TABLE)
        columns = [c["name"] for c in table["columnDefinitions"]]
        assert columns == ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]
        assert table["rows"][0]["cells"][:5] == ["kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP"]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"

    def test_only_metadata_can_be_asked_for(self, client: Client) -> None:
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        found = client.get("/api/v1/services", accept=accept)
        assert found["kind"] == "PartialObjectMetadataList"
        assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


class TestWatches:
    def test_it_begins_with_what_there_is_and_goes_on(self, client: Client, served: Served) -> None:
        for name in "ab":
            client.send("POST", CONFIG_MAPS_PATH, config_map(name))
        client.send("DELETE", f"{CONFIG_MAPS_PATH}/a")
        served.call(lambda: served.store.create(CONFIG_MAPS, config_map("c")))
        events = client.watch(f"{CONFIG_MAPS_PATH}?watch=true", 2)
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "b"), ("ADDED", "c")]

    def test_it_goes_on_where_a_list_ended(self, client: Client) -> None:
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        version = client.get(CONFIG_MAPS_PATH)["metadata"]["resourceVersion"]
        client.send("PUT", f"{CONFIG_MAPS_PATH}/a", config_map("a", x="1"))
        client.send("DELETE", f"{CONFIG_MAPS_PATH}/a")
        events = client.watch(f"{CONFIG_MAPS_PATH}?watch=1&resourceVersion={version}", 2)
        assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]

    def test_bookmarks_tell_how_far_it_has_come(self, client: Client, served: Served) -> None:
        query = f"watch=true&allowWatchBookmarks=true&resourceVersion={served.store.version}"
        (event,) = client.watch(f"{CONFIG_MAPS_PATH}?{query}", 1)
        assert (event["type"], event["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
        assert event["object"]["metadata"]["resourceVersion"] == str(served.store.version)

    def test_a_list_can_be_had_as_a_watch(self, client: Client) -> None:
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        added, end = client.watch(f"{CONFIG_MAPS_PATH}?{query}", 2)
        assert added["type"] == "ADDED"
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    def test_it_ends_when_the_time_is_up(self, served: Served) -> None:
        url = f"{served.url}/api/v1/namespaces?watch=true&timeoutSeconds=1&labelSelector=no"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert (answer.status, answer.read()) == (200, b"")

    def test_it_ends_when_the_client_goes(self, served: Served) -> None:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /api/v1/namespaces?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(65536)
            assert len(served.watches) == 1
        assert eventually(lambda: not served.watches)

    def test_a_version_from_the_future_is_refused(self, client: Client) -> None:
        code, status, _ = client.send("GET", f"{CONFIG_MAPS_PATH}?watch=true&resourceVersion=1000000")
        assert (code, status["reason"]) == (504, "Timeout")

    def test_a_version_that_is_gone_has_expired(self, client: Client, served: Served) -> None:
        version = served.store.version
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        served.call(served.store.compact)
        code, status, _ = client.send("GET", f"{CONFIG_MAPS_PATH}?watch=true&resourceVersion={version}")
        assert (code, status["reason"]) == (410, "Expired")

    def test_one_that_falls_behind_gets_an_error_event(self, client: Client, served: Served) -> None:
        version = served.store.version
        url = f"{served.url}{CONFIG_MAPS_PATH}?watch=true&resourceVersion={version}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:

            def change_and_forget() -> None:
                served.store.create(CONFIG_MAPS, config_map("a"))
                served.store.compact()

            served.call(change_and_forget)
            event = json.loads(answer.readline())
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")

    def test_as_a_table_only_the_first_event_has_the_columns(self, client: Client, served: Served) -> None:
        for name in "ab":
            client.send("POST", CONFIG_MAPS_PATH, config_map(name))
        request = urllib.request.Request(f"{served.url}{CONFIG_MAPS_PATH}?watch=true", headers={"Accept": TABLE})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            first, second = (json.loads(answer.readline())["object"] for _ in range(2))
        assert [c["name"] for c in first["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["columnDefinitions"] is None
        assert second["rows"][0]["cells"][:2] == ["b", 0]


class TestFaults:
    def test_the_next_requests_can_be_refused(self, client: Client, served: Served) -> None:
        served.call(lambda: served.server.faults.refuse(503, times=2, plural="configmaps", verb="list"))
        assert [client.send("GET", CONFIG_MAPS_PATH)[0] for _ in range(3)] == [503, 503, 200]

    def test_answers_can_be_garbage(self, client: Client, served: Served) -> None:
        served.call(lambda: served.server.faults.garble(b'{"kind": 7}', verb="get"))
        client.send("POST", CONFIG_MAPS_PATH, config_map("a"))
        assert client.get(f"{CONFIG_MAPS_PATH}/a") == {"kind": 7}
        assert client.get(f"{CONFIG_MAPS_PATH}/a")["kind"] == "ConfigMap"

    def test_a_watch_can_be_made_to_say_anything_or_nothing(self, served: Served) -> None:
        url = f"{served.url}{CONFIG_MAPS_PATH}?watch=true"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert served.run(served.server.faults.say(b"garbage\n")) == 1
            assert answer.readline() == b"garbage\n"
            served.server.faults.mute = True
            served.call(lambda: served.store.create(CONFIG_MAPS, config_map("unsaid")))
            served.run(served.server.faults.say(b"after\n"))
            assert answer.readline() == b"after\n"

    def test_a_dropped_watch_ends_in_the_middle(self, served: Served) -> None:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /api/v1/namespaces?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
            received = connection.recv(65536)
            assert served.call(served.server.faults.drop_watches) == 1
            try:
                while more := connection.recv(65536):
                    received += more
            except ConnectionResetError:
                pass
        assert not received.endswith(b"0\r\n\r\n")  # which would be the proper end


class TestItself:
    def test_it_publishes_its_own_address(self, client: Client) -> None:
        service = client.get("/api/v1/namespaces/default/services/kubernetes")
        assert (service["spec"]["clusterIP"], service["spec"]["ports"][0]["targetPort"]) == ("10.96.0.1", 6443)
        found = client.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        assert found["endpoints"] == [{"addresses": ["192.0.2.10"], "conditions": {"ready": True}}]

    @pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
    def test_it_is_healthy(self, client: Client, path: str) -> None:
        assert client.get(path) == "ok"

    def test_discovery_lists_every_kind_in_both_forms(self, client: Client) -> None:
        classic = {r["name"] for r in client.get("/api/v1")["resources"]}
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
        (core,) = client.get("/api", accept=accept)["items"]
        assert {r["resource"] for r in core["versions"][0]["resources"]} == {n for n in classic if "/" not in n}
        groups = {g["name"] for g in client.get("/apis")["groups"]}
        assert groups == {g["metadata"]["name"] for g in client.get("/apis", accept=accept)["items"]}
        assert {"apps", "discovery.k8s.io"} < groups

    def test_a_namespace_empties_after_the_answer(self, client: Client, served: Served) -> None:
        client.send("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        client.send("POST", "/api/v1/namespaces/shop/pods", pod("p"))
        _, leaving, _ = client.send("DELETE", "/api/v1/namespaces/shop")
        assert leaving["status"]["phase"] == "Terminating"
        assert served.call(lambda: served.store.find(PODS, "shop/p")) is not None
        client.watch("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dshop", 2)  # until it is gone
        assert served.call(lambda: served.store.find(NAMESPACES, "shop")) is None
