"""YAML as Kubernetes reads it: what looks like a time is a text, as in JSON, and a text is whole characters."""

from __future__ import annotations

from typing import Any

import yaml

_MOST_NODES = 1_000_000
"""Of a document, with all that its aliases stand for: a few lines of aliases of aliases can stand for more than memory
holds (kubectl refuses them, too)."""


def whole_characters(text: str) -> str:
    r"""The text with characters that were written as two surrogates put together (``\ud83d\ude00`` in JSON is one).

    A surrogate that stands alone is no character, and no UTF-8 has it: it becomes U+FFFD, as in Go's JSON decoder.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class TextLoader(yaml.SafeLoader):
    """For `yaml.load`. What to do with a key that comes twice is left to those who inherit from it."""

    def construct_document(self, node: yaml.Node) -> Any:
        _size(node, {})
        return super().construct_document(node)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        return whole_characters(value) if isinstance(value, str) else value


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many nodes this one stands for; `known` holds those counted already, and None for those it is part of."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.constructor.ConstructorError(None, None, "an alias stands for what it is in", node.start_mark)
        return size
    known[id(node)] = None
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_size(part, known) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_size(part, known) for part in node.value)
    if size > _MOST_NODES:
        raise yaml.constructor.ConstructorError(None, None, "aliases make it too large", node.start_mark)
    known[id(node)] = size
    return size
