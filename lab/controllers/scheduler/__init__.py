"""Nodes for pods."""
