"""Reading manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.errors import InputError
from lab.manifests import load, parse

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
MUCH = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))


def test_documents_are_read_in_order_and_empty_ones_skipped() -> None:
    text = f"---\n{SERVICE}---\n# nothing\n---\n{SERVICE.replace('web', 'db')}"
    assert [m.object["metadata"]["name"] for m in parse(text, "f.yaml")] == ["web", "db"]


def test_a_list_is_taken_apart() -> None:
    items = "".join(f"- {{apiVersion: v1, kind: Service, metadata: {{name: {name}}}}}\n" for name in ("a", "b"))
    found = list(parse(f"apiVersion: v1\nkind: List\nitems:\n{items}", "f.yaml"))
    assert [m.where for m in found] == ["f.yaml, item 1 (Service a)", "f.yaml, item 2 (Service b)"]


def test_json_is_read_too() -> None:
    (found,) = parse('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}', "f.json")
    assert found.object["kind"] == "Service"


def test_a_character_that_json_writes_in_two_halves_is_one() -> None:
    text = '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"a": "\\ud83d\\ude00"}}}'
    (found,) = parse(text, "f.json")
    assert found.object["metadata"]["labels"] == {"a": "\U0001f600"}


def test_times_stay_texts_as_the_api_has_them() -> None:
    text = SERVICE.replace("name: web", 'name: web, annotations: {at: "x"}, creationTimestamp: 2026-01-01T00:00:00Z')
    (found,) = parse(text, "f.yaml")
    assert found.object["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yaml, line 1: is no YAML"),
        ("just words", "f.yaml: is no object"),
        ("kind: Service", "f.yaml: apiVersion is missing"),
        ("apiVersion: v1\nkind: Service", "f.yaml: metadata.name is missing"),
        (f"{SERVICE}---\napiVersion: v1\n", "f.yaml, document 2: kind is missing"),
        (f"{SERVICE}kind: Pod\n", "f.yaml, line 4: is no YAML: the key 'kind' comes twice"),
        (f"{SERVICE}spec: &a {{x: *a}}\n", "f.yaml, line 4: is no YAML: an alias stands for what it is in"),
        (f"{SERVICE}{MUCH}", "f.yaml, line 10: is no YAML: aliases make it too large"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        list(parse(text, "f.yaml"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_folder_gives_its_manifests_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(SERVICE.replace("web", "b"))
    (tmp_path / "a.yml").write_text(SERVICE.replace("web", "a"))
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert [m.object["metadata"]["name"] for m in load([str(tmp_path)])] == ["a", "b"]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load([str(tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a: \x01", "is no YAML: special characters are not allowed (character 4: U+0001)"),
        (b"[" * 100_000, "nested too deeply"),
        (b"apiVersion: v1\nkind: List\nitems: 5\n", "items is no list"),
        (b"apiVersion: v1\nkind: List\nitems: {a: b}\n", "items is no list"),
    ],
)
def test_what_is_no_text_or_no_list_is_said_in_one_line_that_names_the_file(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load([str(tmp_path)])
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(
        b"\xef\xbb\xbf" + b'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}'
    )
    assert load([str(tmp_path)])[0].object["kind"] == "Pod"
