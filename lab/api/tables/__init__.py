"""What `kubectl get` shows: the columns of every kind, and the Table objects (meta/v1) that carry them."""
