"""YAML as Kubernetes reads it: what looks like a time is a text, as it is in JSON."""

from __future__ import annotations

import yaml


class TextLoader(yaml.SafeLoader):
    """For `yaml.load`. What to do with a key that comes twice is left to those who inherit from it."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
