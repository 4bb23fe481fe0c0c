"""Talking to an API server: credentials, the client, and the reflector that keeps a local copy of what it has."""
