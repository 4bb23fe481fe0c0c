"""Deployments and ReplicaSets (apps/v1), and the Scale that both can be seen as (autoscaling/v1)."""

from __future__ import annotations

from lab.api.kinds.meta import LABEL_SELECTOR, conditions, kind
from lab.api.kinds.pod import POD_TEMPLATE_SPEC
from lab.api.schema import BOOLEAN, INT32, INT64, INT_OR_STRING, STRING, TIME, record

_APPS = "io.k8s.api.apps.v1."
_SCALE = "io.k8s.api.autoscaling.v1."

DEPLOYMENT_SPEC = record(
    _APPS + "DeploymentSpec",
    required="selector template",
    replicas=INT32,
    selector=LABEL_SELECTOR,
    template=POD_TEMPLATE_SPEC,
    strategy=record(
        _APPS + "DeploymentStrategy",
        retain_keys=True,
        type=STRING,
        rollingUpdate=record(_APPS + "RollingUpdateDeployment", maxUnavailable=INT_OR_STRING, maxSurge=INT_OR_STRING),
    ),
    minReadySeconds=INT32,
    revisionHistoryLimit=INT32,
    paused=BOOLEAN,
    progressDeadlineSeconds=INT32,
)

DEPLOYMENT_CONDITION = record(
    _APPS + "DeploymentCondition",
    required="type status",
    type=STRING,
    status=STRING,
    lastUpdateTime=TIME,
    lastTransitionTime=TIME,
    reason=STRING,
    message=STRING,
)

DEPLOYMENT_STATUS = record(
    _APPS + "DeploymentStatus",
    observedGeneration=INT64,
    replicas=INT32,
    updatedReplicas=INT32,
    readyReplicas=INT32,
    availableReplicas=INT32,
    unavailableReplicas=INT32,
    terminatingReplicas=INT32,
    conditions=conditions(DEPLOYMENT_CONDITION),
    collisionCount=INT32,
)

DEPLOYMENT = kind(_APPS + "Deployment", spec=DEPLOYMENT_SPEC, status=DEPLOYMENT_STATUS)

REPLICA_SET_SPEC = record(
    _APPS + "ReplicaSetSpec",
    required="selector",
    replicas=INT32,
    minReadySeconds=INT32,
    selector=LABEL_SELECTOR,
    template=POD_TEMPLATE_SPEC,
)

REPLICA_SET_STATUS = record(
    _APPS + "ReplicaSetStatus",
    replicas=INT32,
    fullyLabeledReplicas=INT32,
    readyReplicas=INT32,
    availableReplicas=INT32,
    terminatingReplicas=INT32,
    observedGeneration=INT64,
    conditions=conditions(
        record(
            _APPS + "ReplicaSetCondition",
            required="type status",
            type=STRING,
            status=STRING,
            lastTransitionTime=TIME,
            reason=STRING,
            message=STRING,
        )
    ),
)

REPLICA_SET = kind(_APPS + "ReplicaSet", spec=REPLICA_SET_SPEC, status=REPLICA_SET_STATUS)

SCALE = kind(
    _SCALE + "Scale",
    spec=record(_SCALE + "ScaleSpec", replicas=INT32),
    status=record(_SCALE + "ScaleStatus", replicas=INT32, selector=STRING),
)
