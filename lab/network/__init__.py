"""The lab's machines: network namespaces, a bridge that joins them, and routes; none of it on the host's network."""
