"""Kinds that stand alone: ServiceCIDR (networking.k8s.io/v1), Lease (coordination.k8s.io/v1), Event (both of them)."""

from __future__ import annotations

from lab.api.kinds.meta import CONDITION, conditions, kind
from lab.api.kinds.service import OBJECT_REFERENCE
from lab.api.schema import INT32, STRING, TIME, Array, record

_NETWORKING = "io.k8s.api.networking.v1."
_COORDINATION = "io.k8s.api.coordination.v1."
_CORE = "io.k8s.api.core.v1."
_EVENTS = "io.k8s.api.events.v1."

SERVICE_CIDR = kind(
    _NETWORKING + "ServiceCIDR",
    spec=record(_NETWORKING + "ServiceCIDRSpec", cidrs=Array(STRING)),
    status=record(_NETWORKING + "ServiceCIDRStatus", conditions=conditions(CONDITION)),
)

LEASE = kind(
    _COORDINATION + "Lease",
    spec=record(
        _COORDINATION + "LeaseSpec",
        holderIdentity=STRING,
        leaseDurationSeconds=INT32,
        acquireTime=TIME,
        renewTime=TIME,
        leaseTransitions=INT32,
        strategy=STRING,
        preferredHolder=STRING,
    ),
)

EVENT_SOURCE = record(_CORE + "EventSource", component=STRING, host=STRING)

CORE_EVENT = kind(
    _CORE + "Event",
    required="involvedObject",
    involvedObject=OBJECT_REFERENCE,
    reason=STRING,
    message=STRING,
    source=EVENT_SOURCE,
    firstTimestamp=TIME,
    lastTimestamp=TIME,
    count=INT32,
    type=STRING,
    eventTime=TIME,
    series=record(_CORE + "EventSeries", count=INT32, lastObservedTime=TIME),
    action=STRING,
    related=OBJECT_REFERENCE,
    reportingComponent=STRING,
    reportingInstance=STRING,
)

EVENT = kind(
    _EVENTS + "Event",
    required="eventTime",
    eventTime=TIME,
    series=record(_EVENTS + "EventSeries", required="count lastObservedTime", count=INT32, lastObservedTime=TIME),
    reportingController=STRING,
    reportingInstance=STRING,
    action=STRING,
    reason=STRING,
    regarding=OBJECT_REFERENCE,
    related=OBJECT_REFERENCE,
    note=STRING,
    type=STRING,
    deprecatedSource=EVENT_SOURCE,
    deprecatedFirstTimestamp=TIME,
    deprecatedLastTimestamp=TIME,
    deprecatedCount=INT32,
)
