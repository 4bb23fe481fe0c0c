"""The store over HTTP: addresses, media types, and one handler per verb."""
