"""What runs in a pod: the built-in server, and the spawner that starts it (and other processes) inside namespaces."""
