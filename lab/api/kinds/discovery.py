"""EndpointSlices (discovery.k8s.io/v1)."""

from __future__ import annotations

from lab.api.kinds.meta import kind
from lab.api.kinds.service import OBJECT_REFERENCE
from lab.api.schema import BOOLEAN, INT32, STRING, STRINGS, Array, record

_DISCOVERY = "io.k8s.api.discovery.v1."

ENDPOINT = record(
    _DISCOVERY + "Endpoint",
    required="addresses",
    addresses=Array(STRING),
    conditions=record(_DISCOVERY + "EndpointConditions", ready=BOOLEAN, serving=BOOLEAN, terminating=BOOLEAN),
    hostname=STRING,
    targetRef=OBJECT_REFERENCE,
    deprecatedTopology=STRINGS,
    nodeName=STRING,
    zone=STRING,
    hints=record(
        _DISCOVERY + "EndpointHints",
        forZones=Array(record(_DISCOVERY + "ForZone", required="name", name=STRING)),
        forNodes=Array(record(_DISCOVERY + "ForNode", required="name", name=STRING)),
    ),
)

ENDPOINT_PORT = record(_DISCOVERY + "EndpointPort", name=STRING, protocol=STRING, port=INT32, appProtocol=STRING)

ENDPOINT_SLICE = kind(
    _DISCOVERY + "EndpointSlice",
    required="addressType",
    addressType=STRING,
    endpoints=Array(ENDPOINT, kept=True),
    ports=Array(ENDPOINT_PORT),
)
