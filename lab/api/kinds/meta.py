"""What all kinds share (meta/v1)."""

from __future__ import annotations

from lab.api.schema import ANYTHING, BOOLEAN, INT64, STRING, STRINGS, TIME, Array, Record, Type, record

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

OWNER_REFERENCE = record(
    _META + "OwnerReference",
    required="apiVersion kind name uid",
    apiVersion=STRING,
    kind=STRING,
    name=STRING,
    uid=STRING,
    controller=BOOLEAN,
    blockOwnerDeletion=BOOLEAN,
)

OBJECT_META = record(
    _META + "ObjectMeta",
    name=STRING,
    generateName=STRING,
    namespace=STRING,
    selfLink=STRING,
    uid=STRING,
    resourceVersion=STRING,
    generation=INT64,
    creationTimestamp=TIME,
    deletionTimestamp=TIME,
    deletionGracePeriodSeconds=INT64,
    labels=STRINGS,
    annotations=STRINGS,
    ownerReferences=Array(OWNER_REFERENCE, merge_key="uid", map_keys=("uid",)),
    finalizers=Array(STRING, is_set=True),
    managedFields=Array(ANYTHING),
)

LABEL_SELECTOR_REQUIREMENT = record(
    _META + "LabelSelectorRequirement",
    required="key operator",
    key=STRING,
    operator=STRING,
    values=Array(STRING),
)

LABEL_SELECTOR = record(
    _META + "LabelSelector",
    matchLabels=STRINGS,
    matchExpressions=Array(LABEL_SELECTOR_REQUIREMENT),
)

CONDITION = record(
    _META + "Condition",
    required="type status",
    type=STRING,
    status=STRING,
    observedGeneration=INT64,
    lastTransitionTime=TIME,
    reason=STRING,
    message=STRING,
)


def kind(name: str, /, *, required: str = "", **fields: Type) -> Record:
    """The Record of a whole object: `fields`, and what every object has."""
    shared: dict[str, Type] = {"apiVersion": STRING, "kind": STRING, "metadata": OBJECT_META}
    return Record(name, shared | fields, frozenset(required.split()))


def conditions(condition: Record) -> Array:
    """A list of conditions: one entry per type."""
    return Array(condition, merge_key="type", map_keys=("type",))


DELETE_OPTIONS = record(
    _META + "DeleteOptions",
    apiVersion=STRING,
    kind=STRING,
    gracePeriodSeconds=INT64,
    preconditions=record(_META + "Preconditions", uid=STRING, resourceVersion=STRING),
    orphanDependents=BOOLEAN,
    propagationPolicy=STRING,
    dryRun=Array(STRING),
)
