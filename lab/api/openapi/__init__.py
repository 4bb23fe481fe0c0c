"""The kinds, described for clients: `kubectl` checks manifests against this before it sends them."""
