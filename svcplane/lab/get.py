"""`svcplane lab get`: show objects, as tables that people can read, or whole."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import yaml
from rich.table import Table

from dataplane.errors import InputError
from lab.api.registry import Resource
from lab.cluster.client import JSON, TABLE, ApiClient, path_of
from lab.cluster.kinds import resources_named, shown_name
from svcplane.lab.common import add_name, add_namespace, api, plain_table, print_table

_FORMATS = ("table", "wide", "json", "yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_namespace(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="only objects with these, as app=web")
    parser.add_argument("-o", "--output", choices=_FORMATS, default="table", help="(default: table)")
    parser.add_argument("kind", metavar="KIND", help="pods, svc, deploy,rs ... or all (or KIND/NAME)")
    parser.add_argument("object", nargs="?", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    kind, _, in_kind = args.kind.partition("/")
    name = args.object or in_kind
    resources = resources_named(kind)
    if name and args.all_namespaces:
        raise InputError("an object is in one namespace: expected a NAME or --all-namespaces, not both")
    query = {"labelSelector": args.selector} if args.selector else {}
    with api(args.name) as client:
        answers = [
            (resource, _ask(client, resource, "" if args.all_namespaces else args.namespace, name, args.output, query))
            for resource in resources
        ]
    if args.output in ("json", "yaml"):
        _print_whole([answer for _, answer in answers], single=bool(name), as_yaml=args.output == "yaml")
    else:
        _print_tables(answers, wide=args.output == "wide", namespaces=args.all_namespaces)
    return 0


def _ask(
    client: ApiClient, resource: Resource, namespace: str, name: str, output: str, query: dict[str, str]
) -> dict[str, Any]:
    accept = TABLE if output in ("table", "wide") else JSON
    found: dict[str, Any] = client.request("GET", path_of(resource, namespace, name), query=query, accept=accept)
    return found


def _print_whole(answers: list[dict[str, Any]], *, single: bool, as_yaml: bool) -> None:
    if single and len(answers) == 1:
        document = answers[0]
    else:
        items = [
            {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")} | item
            for answer in answers
            for item in answer.get("items", [answer])
        ]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
    if as_yaml:
        yaml.safe_dump(document, sys.stdout, sort_keys=False)
    else:
        json.dump(document, sys.stdout, indent=2)
        print()


def _print_tables(answers: list[tuple[Resource, dict[str, Any]]], *, wide: bool, namespaces: bool) -> None:
    filled = [(resource, answer) for resource, answer in answers if answer["rows"]]
    if not filled:
        print("nothing found", file=sys.stderr)
    for number, (resource, answer) in enumerate(filled):
        if number:
            print()
        prefix = f"{shown_name(resource)}/" if len(answers) > 1 else ""
        print_table(_table(answer, wide=wide, namespaces=namespaces, prefix=prefix))


def _table(answer: dict[str, Any], *, wide: bool, namespaces: bool, prefix: str) -> Table:
    """The server's table (meta/v1 Table). Columns with a priority are for wide output."""
    shown = [i for i, column in enumerate(answer["columnDefinitions"]) if wide or not column.get("priority")]
    table = plain_table()
    for header in (["NAMESPACE"] if namespaces else []) + [answer["columnDefinitions"][i]["name"] for i in shown]:
        table.add_column(header.upper(), no_wrap=True)
    for row in answer["rows"]:
        cells = [str(row["cells"][i]) for i in shown]
        cells[0] = prefix + cells[0]
        if namespaces:
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
        table.add_row(*(_plain(cell) for cell in cells))
    return table


def _plain(text: str) -> str:
    """Without meaning for rich: a cell may hold square brackets."""
    return text.replace("[", r"\[")
