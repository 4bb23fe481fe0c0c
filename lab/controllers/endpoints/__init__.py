"""v1 Endpoints from Services and their pods."""
