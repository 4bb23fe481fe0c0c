"""Reading and writing the file.

Unknown and duplicate keys are told and left out, so that a file for a newer kube-proxy works. Anything else that is
wrong is an InputError with the field's path: a value that was meant, and not understood.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from controller import small_file
from controller.configuration.duration import Duration
from controller.configuration.schema import API_VERSION, KIND, KubeProxyConfiguration
from dataplane.errors import InputError

# Where an empty text or a duration of zero means the default, not nothing.
_EMPTY_IS_DEFAULT = {
    "bindAddress", "healthzBindAddress", "metricsBindAddress", "mode", "detectLocalMode", "configSyncPeriod",
    "syncPeriod", "minSyncPeriod", "contentType", "format", "qps", "burst",
}  # fmt: skip


def read_file(path: Path) -> tuple[KubeProxyConfiguration, list[str]]:
    """The configuration in a file, and what was left out of it, in words. InputError if it can't be used."""
    try:
        text = small_file.read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config: can't read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return decode(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def decode(text: str) -> tuple[KubeProxyConfiguration, list[str]]:
    """The same, from YAML or JSON."""
    loader = _Loader(text)
    try:
        raw = loader.get_single_data()
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"no YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()
    if not isinstance(raw, dict):
        raise InputError(f"expected the fields of a {KIND}, got {type(raw).__name__}")
    for field, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if raw.get(field) != expected:
            raise InputError(f"{field}: {raw.get(field)!r} is not {expected}")
    known = _without_defaults(raw)
    logs = known.get("logging")
    if isinstance(logs, dict) and type(logs.get("flushFrequency")) is int:
        logs["flushFrequency"] = f"{logs['flushFrequency']}ns"  # no other duration may be a number (TimeOrMetaDuration)
    left_out = [*loader.duplicates, *(f"{path}: unknown field" for path in _unknown(known, KubeProxyConfiguration, ""))]
    try:
        return msgspec.convert(known, KubeProxyConfiguration, dec_hook=_decode_hook), left_out
    except msgspec.ValidationError as error:
        raise InputError(_with_path_first(str(error))) from error


def encode(configuration: KubeProxyConfiguration) -> str:
    """As YAML, every field written out."""
    return yaml.safe_dump(as_json(configuration), sort_keys=True, default_flow_style=False)


def as_json(configuration: KubeProxyConfiguration) -> dict[str, Any]:
    """As `json.loads` would give it."""
    found: dict[str, Any] = msgspec.to_builtins(configuration, enc_hook=str)
    return found


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is noticed. The later one counts."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                self.duplicates.append(f"{key.value}: given twice (line {key.start_mark.line + 1})")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _without_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing: null anywhere, and what is empty where that means the default."""
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if value is None or (key in _EMPTY_IS_DEFAULT and value in ("", 0, "0", "0s")):
            continue
        found[str(key)] = _without_defaults(value) if isinstance(value, dict) else value
    return found


def _unknown(raw: dict[str, Any], kind: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in fields:
            yield prefix + key
        elif isinstance(value, dict) and isinstance(fields[key], type) and issubclass(fields[key], msgspec.Struct):
            yield from _unknown(value, fields[key], f"{prefix}{key}.")


def _decode_hook(kind: type, value: object) -> object:
    if kind is not Duration:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f"Expected a duration like 30s, got `{type(value).__name__}`")
    return Duration.parse(value)


def _with_path_first(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.a.b`" as "a.b: expected int, got str"."""
    match = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message)
    text, path = (match[1], match[2]) if match else (message, "")
    text = text.replace("`", "")
    return f"{path}: {text[:1].lower()}{text[1:]}" if path else text
