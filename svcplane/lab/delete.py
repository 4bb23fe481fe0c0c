"""`svcplane lab delete`: remove objects, and wait until they are gone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from dataplane.errors import InputError
from lab.cluster.delete import Target, delete
from lab.cluster.kinds import resource_of, resources_named
from lab.manifests import load
from svcplane.lab.common import add_name, add_namespace, api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_namespace(parser)
    parser.add_argument("-f", "--filename", action="append", default=[], metavar="FILE", help="what these describe")
    parser.add_argument("--ignore-not-found", action="store_true", help="what is not there is no error")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until pods have ended")
    parser.add_argument("kind", nargs="?", metavar="KIND", help="pod, svc, deployment ... (or KIND/NAME)")
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    targets = [*_from_files(args.filename), *_from_names(args.kind, args.names, args.namespace)]
    if not targets:
        raise InputError("nothing to delete: expected -f FILE, or KIND NAME")
    with api(args.name) as client:
        delete(
            client,
            targets,
            ignore_missing=args.ignore_not_found,
            wait_seconds=0 if args.no_wait else 60,
            deleted=lambda target: print(f"{target} deleted", flush=True),
        )
    return 0


def _from_files(files: list[str]) -> Iterator[Target]:
    for manifest in load(files) if files else ():
        resource = resource_of(manifest.object, manifest.where)
        metadata = manifest.object["metadata"]
        namespace = metadata.get("namespace", "default") if resource.namespaced else ""
        yield Target(resource, namespace, metadata["name"], manifest.where)


def _from_names(kind: str | None, names: list[str], namespace: str) -> Iterator[Target]:
    if kind is None:
        return
    if "/" in kind:
        pairs = [word.split("/", 1) for word in (kind, *names)]
    elif names:
        pairs = [[kind, name] for name in names]
    else:
        raise InputError(f"which {kind}? expected KIND NAME or KIND/NAME")
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise InputError(f"{'/'.join(pair)!r}: expected KIND/NAME")
        for resource in resources_named(pair[0]):
            yield Target(resource, namespace if resource.namespaced else "", pair[1])
