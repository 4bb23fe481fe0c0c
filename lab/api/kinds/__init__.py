"""The shape of every kind that is served, one module per API group, in the language of `lab.api.schema`."""
