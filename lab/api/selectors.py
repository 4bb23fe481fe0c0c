"""Which objects a list, a watch or a controller is about: label selectors and field selectors.

Both are written as text in a query (``app=web,tier notin (test),!old`` and ``spec.nodeName=n1,status.phase!=Failed``)
and, for labels, as an object inside other objects (``matchLabels``, ``matchExpressions``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.api.errors import Object, bad_request


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str  #: In, NotIn, Exists, DoesNotExist, Gt or Lt
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == "Gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on labels that must all hold. None at all: everything matches."""

    requirements: tuple[Requirement, ...] = ()

    @staticmethod
    def of(labels: Mapping[str, str]) -> Selector:
        """Exactly these labels, as in ``Service.spec.selector``."""
        return Selector(tuple(Requirement(k, "In", frozenset((v,))) for k, v in labels.items()))

    @staticmethod
    def of_object(selector: Object) -> Selector:
        """A ``LabelSelector`` (meta/v1), as in ``Deployment.spec.selector``."""
        expressions = tuple(
            Requirement(e["key"], e["operator"], frozenset(e.get("values") or ()))
            for e in selector.get("matchExpressions") or ()
        )
        return Selector(Selector.of(selector.get("matchLabels") or {}).requirements + expressions)

    @staticmethod
    def parse(text: str) -> Selector:
        """The text form of a query. ApiError (400) if it is none."""
        requirements = []
        rest = text.strip()
        while rest:
            found = _REQUIREMENT.match(rest)
            if not found:
                raise bad_request(f"unable to parse requirement: found {rest!r}, expected: a label condition")
            requirements.append(_requirement(found))
            rest = rest[found.end() :].strip()
            if rest.startswith(","):
                rest = rest[1:].strip()
                if not rest:
                    raise bad_request("unable to parse requirement: found '', expected: identifier after ','")
            elif rest:
                raise bad_request(f"unable to parse requirement: found {rest!r}, expected: ',' or the end")
        return Selector(tuple(requirements))

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        given = labels or {}
        return all(requirement.matches(given) for requirement in self.requirements)

    def matches_object(self, obj: Object) -> bool:
        return not self.requirements or self.matches(obj["metadata"].get("labels"))


_KEY = r"(?:[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"""(?x:
      (?P<negated>!)\s*(?P<absent>{_KEY})
    | (?P<key>{_KEY})
      (?: \s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)
        | \s*(?P<compare>==|=|!=|<|>)\s*(?P<value>{_VALUE})
      )?
    )"""
)


def _requirement(found: re.Match[str]) -> Requirement:
    if found["negated"]:
        return Requirement(found["absent"], "DoesNotExist")
    if found["set"]:
        values = [value.strip() for value in found["values"].split(",")]
        for value in values:
            if not re.fullmatch(_VALUE, value):
                raise bad_request(f"unable to parse requirement: values: Invalid value: {value!r}")
        return Requirement(found["key"], "In" if found["set"] == "in" else "NotIn", frozenset(values))
    if not found["compare"]:
        return Requirement(found["key"], "Exists")
    if found["compare"] in "<>":
        if not re.fullmatch(r"\d+", found["value"]):
            raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {found['value']!r}")
        return Requirement(found["key"], "Gt" if found["compare"] == ">" else "Lt", frozenset((found["value"],)))
    return Requirement(found["key"], "NotIn" if found["compare"] == "!=" else "In", frozenset((found["value"],)))


class FieldCondition(NamedTuple):
    """One condition on one field. A field that is missing counts as `default`."""

    path: str
    equal: bool
    value: str
    default: str = ""

    def matches(self, obj: Object) -> bool:
        return ((field_text(obj, self.path) or self.default) == self.value) is self.equal


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields that must all hold."""

    conditions: tuple[FieldCondition, ...] = ()

    @staticmethod
    def parse(text: str, defaults: Mapping[str, str] | None = None) -> FieldSelector:
        """The text form of a query. ApiError (400) if it is none.

        `defaults` lists the fields that may be named, with what a missing one counts as; None allows all.
        """
        conditions = []
        for part in filter(None, (p.strip() for p in text.split(","))):
            found = re.fullmatch(r"([^!=]+?)\s*(!=|==|=)\s*(.*)", part)
            if not found:
                raise bad_request(
                    f"invalid selector: '{part}'; can't understand '{part}': expected path=value or path!=value"
                )
            path = found[1]
            if defaults is not None and path not in defaults:
                raise bad_request(f"field label not supported: {path}")
            conditions.append(FieldCondition(path, found[2] != "!=", found[3], (defaults or {}).get(path, "")))
        return FieldSelector(tuple(conditions))

    def matches_object(self, obj: Object) -> bool:
        return all(condition.matches(obj) for condition in self.conditions)


def field_text(obj: Object, path: str) -> str:
    """A field as text: missing is empty, as in the API."""
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
