"""Pods from ReplicaSets."""
