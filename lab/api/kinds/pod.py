"""Pods, and the template of a Pod inside Deployments and ReplicaSets (core/v1).

Whatever has no meaning in the lab (volume sources, affinity, security contexts) is accepted as it is: those fields are
known, but not looked into.
"""

from __future__ import annotations

from lab.api.kinds.meta import OBJECT_META, conditions, kind
from lab.api.schema import (
    ANYTHING,
    BOOLEAN,
    INT32,
    INT64,
    INT_OR_STRING,
    QUANTITY,
    STRING,
    STRINGS,
    TIME,
    Array,
    Map,
    record,
)

_CORE = "io.k8s.api.core.v1."

CONTAINER_PORT = record(
    _CORE + "ContainerPort",
    required="containerPort",
    containerPort=INT32,
    name=STRING,
    protocol=STRING,
    hostPort=INT32,
    hostIP=STRING,
)

ENV_VAR = record(_CORE + "EnvVar", required="name", name=STRING, value=STRING, valueFrom=ANYTHING)

HTTP_GET_ACTION = record(
    _CORE + "HTTPGetAction",
    required="port",
    path=STRING,
    port=INT_OR_STRING,
    host=STRING,
    scheme=STRING,
    httpHeaders=Array(
        record(_CORE + "HTTPHeader", required="name value", name=STRING, value=STRING),
    ),
)
TCP_SOCKET_ACTION = record(_CORE + "TCPSocketAction", required="port", port=INT_OR_STRING, host=STRING)
EXEC_ACTION = record(_CORE + "ExecAction", command=Array(STRING))
GRPC_ACTION = record(_CORE + "GRPCAction", required="port", port=INT32, service=STRING)
SLEEP_ACTION = record(_CORE + "SleepAction", required="seconds", seconds=INT64)

PROBE = record(
    _CORE + "Probe",
    exec=EXEC_ACTION,
    httpGet=HTTP_GET_ACTION,
    tcpSocket=TCP_SOCKET_ACTION,
    grpc=GRPC_ACTION,
    initialDelaySeconds=INT32,
    timeoutSeconds=INT32,
    periodSeconds=INT32,
    successThreshold=INT32,
    failureThreshold=INT32,
    terminationGracePeriodSeconds=INT64,
)

LIFECYCLE_HANDLER = record(
    _CORE + "LifecycleHandler",
    exec=EXEC_ACTION,
    httpGet=HTTP_GET_ACTION,
    tcpSocket=TCP_SOCKET_ACTION,
    sleep=SLEEP_ACTION,
)

LIFECYCLE = record(_CORE + "Lifecycle", postStart=LIFECYCLE_HANDLER, preStop=LIFECYCLE_HANDLER, stopSignal=STRING)

RESOURCE_REQUIREMENTS = record(
    _CORE + "ResourceRequirements",
    limits=Map(QUANTITY),
    requests=Map(QUANTITY),
    claims=Array(ANYTHING),
)

CONTAINER = record(
    _CORE + "Container",
    required="name",
    name=STRING,
    image=STRING,
    command=Array(STRING),
    args=Array(STRING),
    workingDir=STRING,
    ports=Array(CONTAINER_PORT, merge_key="containerPort", map_keys=("containerPort", "protocol")),
    envFrom=Array(ANYTHING),
    env=Array(ENV_VAR, merge_key="name", map_keys=("name",)),
    resources=RESOURCE_REQUIREMENTS,
    resizePolicy=Array(ANYTHING),
    restartPolicy=STRING,
    restartPolicyRules=Array(ANYTHING),
    volumeMounts=Array(ANYTHING, merge_key="mountPath", map_keys=("mountPath",)),
    volumeDevices=Array(ANYTHING, merge_key="devicePath", map_keys=("devicePath",)),
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    startupProbe=PROBE,
    lifecycle=LIFECYCLE,
    terminationMessagePath=STRING,
    terminationMessagePolicy=STRING,
    imagePullPolicy=STRING,
    securityContext=ANYTHING,
    stdin=BOOLEAN,
    stdinOnce=BOOLEAN,
    tty=BOOLEAN,
)

_CONTAINERS = Array(CONTAINER, merge_key="name", map_keys=("name",))

TOLERATION = record(
    _CORE + "Toleration", key=STRING, operator=STRING, value=STRING, effect=STRING, tolerationSeconds=INT64
)

POD_SPEC = record(
    _CORE + "PodSpec",
    required="containers",
    volumes=Array(ANYTHING, merge_key="name", map_keys=("name",)),
    initContainers=_CONTAINERS,
    containers=_CONTAINERS,
    ephemeralContainers=Array(ANYTHING, merge_key="name", map_keys=("name",)),
    restartPolicy=STRING,
    terminationGracePeriodSeconds=INT64,
    activeDeadlineSeconds=INT64,
    dnsPolicy=STRING,
    dnsConfig=ANYTHING,
    nodeSelector=STRINGS,
    serviceAccountName=STRING,
    serviceAccount=STRING,
    automountServiceAccountToken=BOOLEAN,
    nodeName=STRING,
    hostNetwork=BOOLEAN,
    hostPID=BOOLEAN,
    hostIPC=BOOLEAN,
    hostUsers=BOOLEAN,
    shareProcessNamespace=BOOLEAN,
    securityContext=ANYTHING,
    imagePullSecrets=Array(ANYTHING, merge_key="name", map_keys=("name",)),
    hostname=STRING,
    subdomain=STRING,
    setHostnameAsFQDN=BOOLEAN,
    hostnameOverride=STRING,
    affinity=ANYTHING,
    schedulerName=STRING,
    tolerations=Array(TOLERATION),
    hostAliases=Array(ANYTHING, merge_key="ip", map_keys=("ip",)),
    priorityClassName=STRING,
    priority=INT32,
    preemptionPolicy=STRING,
    readinessGates=Array(
        record(_CORE + "PodReadinessGate", required="conditionType", conditionType=STRING),
    ),
    runtimeClassName=STRING,
    enableServiceLinks=BOOLEAN,
    overhead=Map(QUANTITY),
    topologySpreadConstraints=Array(ANYTHING, merge_key="topologyKey", map_keys=("topologyKey", "whenUnsatisfiable")),
    os=ANYTHING,
    schedulingGates=Array(ANYTHING, merge_key="name", map_keys=("name",)),
    resourceClaims=Array(ANYTHING, merge_key="name", map_keys=("name",)),
    resources=RESOURCE_REQUIREMENTS,
)

POD_TEMPLATE_SPEC = record(_CORE + "PodTemplateSpec", metadata=OBJECT_META, spec=POD_SPEC)

POD_CONDITION = record(
    _CORE + "PodCondition",
    required="type status",
    type=STRING,
    status=STRING,
    observedGeneration=INT64,
    lastProbeTime=TIME,
    lastTransitionTime=TIME,
    reason=STRING,
    message=STRING,
)

CONTAINER_STATE = record(
    _CORE + "ContainerState",
    waiting=record(_CORE + "ContainerStateWaiting", reason=STRING, message=STRING),
    running=record(_CORE + "ContainerStateRunning", startedAt=TIME),
    terminated=record(
        _CORE + "ContainerStateTerminated",
        required="exitCode",
        exitCode=INT32,
        signal=INT32,
        reason=STRING,
        message=STRING,
        startedAt=TIME,
        finishedAt=TIME,
        containerID=STRING,
    ),
)

CONTAINER_STATUS = record(
    _CORE + "ContainerStatus",
    required="name",
    name=STRING,
    state=CONTAINER_STATE,
    lastState=CONTAINER_STATE,
    ready=BOOLEAN,
    restartCount=INT32,
    image=STRING,
    imageID=STRING,
    containerID=STRING,
    started=BOOLEAN,
    allocatedResources=ANYTHING,
    allocatedResourcesStatus=ANYTHING,
    resources=ANYTHING,
    volumeMounts=ANYTHING,
    user=ANYTHING,
    stopSignal=STRING,
)

_ADDRESS = record(_CORE + "PodIP", required="ip", ip=STRING)
_HOST_ADDRESS = record(_CORE + "HostIP", required="ip", ip=STRING)

POD_STATUS = record(
    _CORE + "PodStatus",
    observedGeneration=INT64,
    phase=STRING,
    conditions=conditions(POD_CONDITION),
    message=STRING,
    reason=STRING,
    nominatedNodeName=STRING,
    hostIP=STRING,
    hostIPs=Array(_HOST_ADDRESS),
    podIP=STRING,
    podIPs=Array(_ADDRESS, merge_key="ip", map_keys=("ip",)),
    startTime=TIME,
    initContainerStatuses=Array(CONTAINER_STATUS),
    containerStatuses=Array(CONTAINER_STATUS),
    ephemeralContainerStatuses=Array(ANYTHING),
    qosClass=STRING,
    resize=STRING,
    resourceClaimStatuses=Array(ANYTHING),
)

POD = kind(_CORE + "Pod", spec=POD_SPEC, status=POD_STATUS)
