"""ReplicaSets from Deployments, and the way from one template to the next."""
