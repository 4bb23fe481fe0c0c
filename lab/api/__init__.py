"""The lab's API server: Kubernetes' API for the kinds that Services need, in memory.

Real `kubectl`, a real kube-proxy and our own agent work against it as they do against a cluster. Where to look:

    registry      every kind, one row each; routes, discovery, OpenAPI and tables follow from it
    kinds/        the fields of each kind, in the small language of `schema`
    store         the objects: get, list, watch, create, update, patch, apply, delete. In-process users call it directly
    admission/    what becomes of an object before it is stored: defaults, validation, cluster IPs and NodePorts
    history       what changed, in order: all that watches and lists in chunks are made of
    garbage       what goes when its owner or its namespace goes
    patches/      merge patch, strategic merge patch, JSON patch, and the merge behind server-side apply
    http/         addresses, bodies, verbs, watches as streams, and `faults` for tests of clients
    discovery, openapi/, tables/    what clients ask before and besides: which kinds, which fields, which columns
    server        all of it on sockets

A request's way: `http.routing` finds what its path names, `http.bodies` reads what it sends, `http.handlers` asks the
`store`; there `decoding` checks the fields, `admission` completes and judges the object, and a `history` remembers it.

What it is not: there are no users and no permissions, no webhooks, no custom kinds, no older versions of kinds, no
disk. Server-side apply merges, but knows no ownership of fields (`patches.applied`). Of Events the last 5,000 are kept.
"""
