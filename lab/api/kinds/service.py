"""Services and their classic companion, Endpoints (core/v1)."""

from __future__ import annotations

from lab.api.kinds.meta import CONDITION, conditions, kind
from lab.api.schema import BOOLEAN, INT32, INT_OR_STRING, STRING, STRINGS, Array, record

_CORE = "io.k8s.api.core.v1."

OBJECT_REFERENCE = record(
    _CORE + "ObjectReference",
    kind=STRING,
    namespace=STRING,
    name=STRING,
    uid=STRING,
    apiVersion=STRING,
    resourceVersion=STRING,
    fieldPath=STRING,
)

SERVICE_PORT = record(
    _CORE + "ServicePort",
    required="port",
    name=STRING,
    protocol=STRING,
    appProtocol=STRING,
    port=INT32,
    targetPort=INT_OR_STRING,
    nodePort=INT32,
)

SESSION_AFFINITY_CONFIG = record(
    _CORE + "SessionAffinityConfig",
    clientIP=record(_CORE + "ClientIPConfig", timeoutSeconds=INT32),
)

SERVICE_SPEC = record(
    _CORE + "ServiceSpec",
    ports=Array(SERVICE_PORT, merge_key="port", map_keys=("port", "protocol")),
    selector=STRINGS,
    clusterIP=STRING,
    clusterIPs=Array(STRING),
    type=STRING,
    externalIPs=Array(STRING),
    sessionAffinity=STRING,
    loadBalancerIP=STRING,
    loadBalancerSourceRanges=Array(STRING),
    externalName=STRING,
    externalTrafficPolicy=STRING,
    healthCheckNodePort=INT32,
    publishNotReadyAddresses=BOOLEAN,
    sessionAffinityConfig=SESSION_AFFINITY_CONFIG,
    ipFamilies=Array(STRING),
    ipFamilyPolicy=STRING,
    allocateLoadBalancerNodePorts=BOOLEAN,
    loadBalancerClass=STRING,
    internalTrafficPolicy=STRING,
    trafficDistribution=STRING,
    topologyKeys=Array(STRING),  # removed from the API in 1.22; kubectl 1.20 may send it
)

PORT_STATUS = record(_CORE + "PortStatus", required="port protocol", port=INT32, protocol=STRING, error=STRING)

LOAD_BALANCER_INGRESS = record(
    _CORE + "LoadBalancerIngress", ip=STRING, hostname=STRING, ipMode=STRING, ports=Array(PORT_STATUS)
)

SERVICE_STATUS = record(
    _CORE + "ServiceStatus",
    loadBalancer=record(_CORE + "LoadBalancerStatus", ingress=Array(LOAD_BALANCER_INGRESS)),
    conditions=conditions(CONDITION),
)

SERVICE = kind(_CORE + "Service", spec=SERVICE_SPEC, status=SERVICE_STATUS)

ENDPOINT_ADDRESS = record(
    _CORE + "EndpointAddress",
    required="ip",
    ip=STRING,
    hostname=STRING,
    nodeName=STRING,
    targetRef=OBJECT_REFERENCE,
)

ENDPOINT_PORT = record(
    _CORE + "EndpointPort", required="port", name=STRING, port=INT32, protocol=STRING, appProtocol=STRING
)

ENDPOINT_SUBSET = record(
    _CORE + "EndpointSubset",
    addresses=Array(ENDPOINT_ADDRESS),
    notReadyAddresses=Array(ENDPOINT_ADDRESS),
    ports=Array(ENDPOINT_PORT),
)

ENDPOINTS = kind(_CORE + "Endpoints", subsets=Array(ENDPOINT_SUBSET))
