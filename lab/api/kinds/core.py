"""The rest of core/v1: Namespace, Node, ConfigMap, ServiceAccount."""

from __future__ import annotations

from lab.api.kinds.meta import conditions, kind
from lab.api.kinds.service import OBJECT_REFERENCE
from lab.api.schema import ANYTHING, BOOLEAN, BYTES, INT32, QUANTITY, STRING, STRINGS, TIME, Array, Map, record

_CORE = "io.k8s.api.core.v1."

NAMESPACE = kind(
    _CORE + "Namespace",
    spec=record(_CORE + "NamespaceSpec", finalizers=Array(STRING)),
    status=record(
        _CORE + "NamespaceStatus",
        phase=STRING,
        conditions=conditions(
            record(
                _CORE + "NamespaceCondition",
                required="type status",
                type=STRING,
                status=STRING,
                lastTransitionTime=TIME,
                reason=STRING,
                message=STRING,
            )
        ),
    ),
)

TAINT = record(_CORE + "Taint", required="key effect", key=STRING, value=STRING, effect=STRING, timeAdded=TIME)

NODE_SPEC = record(
    _CORE + "NodeSpec",
    podCIDR=STRING,
    podCIDRs=Array(STRING, is_set=True),
    providerID=STRING,
    unschedulable=BOOLEAN,
    taints=Array(TAINT),
    configSource=ANYTHING,
    externalID=STRING,
)

NODE_CONDITION = record(
    _CORE + "NodeCondition",
    required="type status",
    type=STRING,
    status=STRING,
    lastHeartbeatTime=TIME,
    lastTransitionTime=TIME,
    reason=STRING,
    message=STRING,
)

NODE_STATUS = record(
    _CORE + "NodeStatus",
    capacity=Map(QUANTITY),
    allocatable=Map(QUANTITY),
    phase=STRING,
    conditions=conditions(NODE_CONDITION),
    addresses=Array(
        record(_CORE + "NodeAddress", required="type address", type=STRING, address=STRING),
        merge_key="type",
        map_keys=("type",),
    ),
    daemonEndpoints=record(
        _CORE + "NodeDaemonEndpoints",
        kubeletEndpoint=record(_CORE + "DaemonEndpoint", required="Port", Port=INT32),
    ),
    nodeInfo=record(
        _CORE + "NodeSystemInfo",
        machineID=STRING,
        systemUUID=STRING,
        bootID=STRING,
        kernelVersion=STRING,
        osImage=STRING,
        containerRuntimeVersion=STRING,
        kubeletVersion=STRING,
        kubeProxyVersion=STRING,
        operatingSystem=STRING,
        architecture=STRING,
        swap=ANYTHING,
    ),
    images=Array(ANYTHING),
    volumesInUse=Array(STRING),
    volumesAttached=Array(ANYTHING),
    config=ANYTHING,
    runtimeHandlers=Array(ANYTHING),
    features=ANYTHING,
    declaredFeatures=Array(STRING),
)

NODE = kind(_CORE + "Node", spec=NODE_SPEC, status=NODE_STATUS)

CONFIG_MAP = kind(_CORE + "ConfigMap", data=STRINGS, binaryData=Map(BYTES), immutable=BOOLEAN)

SERVICE_ACCOUNT = kind(
    _CORE + "ServiceAccount",
    secrets=Array(OBJECT_REFERENCE, merge_key="name", map_keys=("name",)),
    imagePullSecrets=Array(record(_CORE + "LocalObjectReference", name=STRING), merge_key="name", map_keys=("name",)),
    automountServiceAccountToken=BOOLEAN,
)
