"""The numbers of fields in protobuf, for what newer `kubectl create` and other Go clients send in that form.

From ``generated.proto`` in k8s.io/api. Only kinds that such clients write are here; everybody may send JSON. Fields are
in the order of their numbers, ``-`` for a number that is not used here. A star marks a field that is optional in Go
too: for the others an empty value on the wire means that the field is not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CORE = "io.k8s.api.core.v1."
_APPS = "io.k8s.api.apps.v1."
_EVENTS = "io.k8s.api.events.v1."
_COORDINATION = "io.k8s.api.coordination.v1."


@dataclass(frozen=True, slots=True)
class Numbered:
    """One field on the wire."""

    name: str
    optional: bool


_TABLE = {
    _META + "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation creationTimestamp"
    " deletionTimestamp deletionGracePeriodSeconds* labels annotations ownerReferences finalizers - - managedFields",
    _META + "OwnerReference": "kind - name uid apiVersion controller* blockOwnerDeletion*",
    _META + "LabelSelector": "matchLabels matchExpressions",
    _META + "LabelSelectorRequirement": "key operator values",
    _META + "DeleteOptions": "gracePeriodSeconds* preconditions* orphanDependents* propagationPolicy* dryRun",
    _META + "Preconditions": "uid* resourceVersion*",
    _CORE + "Namespace": "metadata spec status",
    _CORE + "NamespaceSpec": "finalizers",
    _CORE + "NamespaceStatus": "phase conditions",
    _CORE + "Service": "metadata spec status",
    _CORE + "ServiceSpec": "ports selector clusterIP type externalIPs - sessionAffinity loadBalancerIP"
    " loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses"
    " sessionAffinityConfig* - - ipFamilyPolicy* clusterIPs ipFamilies allocateLoadBalancerNodePorts*"
    " loadBalancerClass* internalTrafficPolicy* trafficDistribution*",
    _CORE + "ServicePort": "name protocol port targetPort nodePort appProtocol*",
    _CORE + "SessionAffinityConfig": "clientIP*",
    _CORE + "ClientIPConfig": "timeoutSeconds*",
    _CORE + "ServiceStatus": "loadBalancer conditions",
    _CORE + "LoadBalancerStatus": "ingress",
    _CORE + "ConfigMap": "metadata data binaryData immutable*",
    _CORE + "ServiceAccount": "metadata secrets imagePullSecrets automountServiceAccountToken*",
    _CORE + "LocalObjectReference": "name",
    _CORE + "ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    _CORE + "PodTemplateSpec": "metadata spec",
    _CORE + "PodSpec": "volumes containers restartPolicy terminationGracePeriodSeconds* activeDeadlineSeconds*"
    " dnsPolicy nodeSelector serviceAccountName serviceAccount nodeName hostNetwork hostPID hostIPC securityContext"
    " imagePullSecrets hostname subdomain affinity schedulerName initContainers automountServiceAccountToken*"
    " tolerations hostAliases priorityClassName priority* dnsConfig shareProcessNamespace* readinessGates"
    " runtimeClassName* enableServiceLinks* preemptionPolicy* overhead topologySpreadConstraints ephemeralContainers"
    " setHostnameAsFQDN* os hostUsers* schedulingGates resourceClaims resources",
    _CORE + "Container": "name image command args workingDir ports env resources volumeMounts livenessProbe"
    " readinessProbe lifecycle terminationMessagePath imagePullPolicy securityContext stdin stdinOnce tty envFrom"
    " terminationMessagePolicy volumeDevices startupProbe resizePolicy restartPolicy*",
    _CORE + "ContainerPort": "name hostPort containerPort protocol hostIP",
    _CORE + "EnvVar": "name value valueFrom",
    _CORE + "ResourceRequirements": "limits requests claims",
    _CORE + "Event": "metadata involvedObject reason message source firstTimestamp lastTimestamp count type eventTime"
    " series action related reportingComponent reportingInstance",
    _CORE + "EventSource": "component host",
    _CORE + "EventSeries": "count lastObservedTime",
    _APPS + "Deployment": "metadata spec status",
    _APPS + "DeploymentSpec": "replicas* selector* template strategy minReadySeconds revisionHistoryLimit* paused -"
    " progressDeadlineSeconds*",
    _APPS + "DeploymentStrategy": "type rollingUpdate*",
    _APPS + "RollingUpdateDeployment": "maxUnavailable* maxSurge*",
    _APPS + "DeploymentStatus": "observedGeneration replicas updatedReplicas availableReplicas unavailableReplicas"
    " conditions readyReplicas collisionCount* terminatingReplicas*",
    _EVENTS + "Event": "metadata eventTime series reportingController reportingInstance action reason regarding related"
    " note type deprecatedSource deprecatedFirstTimestamp deprecatedLastTimestamp deprecatedCount",
    _EVENTS + "EventSeries": "count lastObservedTime",
    _COORDINATION + "Lease": "metadata spec",
    _COORDINATION + "LeaseSpec": "holderIdentity* leaseDurationSeconds* acquireTime renewTime leaseTransitions*"
    " strategy* preferredHolder*",
}

#: name of a Record → number → field
NUMBERS: Mapping[str, Mapping[int, Numbered]] = {
    record: {
        number: Numbered(name.rstrip("*"), name.endswith("*"))
        for number, name in enumerate(names.split(), start=1)
        if name != "-"
    }
    for record, names in _TABLE.items()
}
