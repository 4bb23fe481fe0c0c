"""The lab's API server: Kubernetes' API for the kinds that Services need, in memory.

store        the objects: get, list, watch, create, update, patch, delete; in-process users call it directly
registry     the kinds, one row each
"""
