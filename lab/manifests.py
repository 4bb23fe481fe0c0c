"""Manifests: YAML or JSON documents in files, folders or standard input, as `kubectl apply -f` takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataplane.errors import InputError
from lab.text_yaml import TextLoader

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and where it was written. `where` is for people: ``web.yaml, document 2 (Service web)``."""

    object: dict[str, Any]
    where: str


def load(sources: Sequence[str]) -> list[Manifest]:
    """Every object of every source, in order. A source is a file, a folder (not its subfolders), or ``-``.

    Lists (``kind: List``) are taken apart. Raises InputError with the file, the document, and what is wrong.
    """
    found = [manifest for source in sources for manifest in _load_source(source)]
    if not found:
        raise InputError(f"{', '.join(sources)}: no objects in there")
    return found


def once(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Each object once: files that stand side by side may bring the same one. InputError if they differ about it."""
    found: dict[tuple[str, ...], Manifest] = {}
    nameless = 0
    for manifest in manifests:
        metadata = manifest.object["metadata"]
        if not (name := metadata.get("name")):  # a new object each time (generateName)
            nameless += 1
        namespace = metadata.get("namespace") or "default"
        key = (manifest.object["apiVersion"], manifest.object["kind"], namespace, name or f"/{nameless}")
        first = found.setdefault(key, manifest)
        if first.object != manifest.object:
            raise InputError(f"{manifest.where}: differs from {first.where} (expected the same, or another name)")
    return list(found.values())


def _load_source(source: str) -> Iterator[Manifest]:
    if source == "-":
        yield from parse(_text(sys.stdin.buffer.read(), "standard input"), "standard input")
        return
    path = Path(source)
    try:
        files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES) if path.is_dir() else [path]
        for file in files:
            yield from parse(_text(file.read_bytes(), str(file)), str(file))
    except OSError as error:
        raise InputError(f"{error.filename or source}: {error.strerror}") from error


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not UTF-8 text ({error.reason} at byte {error.start})") from error


def parse(text: str, name: str) -> Iterator[Manifest]:
    """The objects in one text. `name` is what errors call it."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{name}{line}: is no YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        where = f"character {error.position + 1}: U+{error.character:04X}"
        raise InputError(f"{name}: is no YAML: {error.reason} ({where})") from error
    except RecursionError as error:
        raise InputError(f"{name}: is no YAML that can be read: it is nested too deeply") from error
    for number, document in enumerate(documents, 1):
        if document is not None:
            yield from _objects(document, f"{name}, document {number}" if len(documents) > 1 else name)


def _objects(document: Any, where: str) -> Iterable[Manifest]:
    if not isinstance(document, dict):
        raise InputError(f"{where}: is no object (expected a mapping with apiVersion and kind)")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise InputError(f"{where}: {field} is missing (expected a text)")
    if document["kind"] == "List" or (document["kind"].endswith("List") and "items" in document):
        items = document.get("items") or []
        if not isinstance(items, list):
            raise InputError(f"{where}: items is no list")
        for number, item in enumerate(items, 1):
            yield from _objects(item, f"{where}, item {number}")
        return
    metadata = document.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: metadata.name is missing (expected a text)")
    yield Manifest(document, f"{where} ({document['kind']} {name})")


class _Loader(TextLoader):
    """A key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} comes twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)
