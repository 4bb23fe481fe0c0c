"""The file that tells kubectl, and the agents, where a lab's API server is."""

from __future__ import annotations

import yaml


def kubeconfig(lab: str, server: str) -> str:
    """A kubeconfig with one cluster, as YAML. The lab's API server asks nobody who they are."""
    name = f"svcplane-{lab}"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        sort_keys=False,
    )
