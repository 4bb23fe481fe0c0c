"""The shape of the code: imports go one way, dataplanes leave each other alone, and files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("native", "dataplane", "controller", "lab", "svcplane")  #: from the lowest; each may import those before it
MODES = ("nftables", "iptables", "ipvs", "userspace")
MOST_LINES = 700

SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
OURS = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted(p for p in (ROOT / "native").glob("*.[ch]"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name, wherever in the file it does so."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*parent, *(node.module or "").split(".")))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_layer_imports_only_from_those_below(path: Path) -> None:
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    above = [m for m in imports(path) if m.partition(".")[0] in LAYERS[layer + 1 :]]
    assert not above


@pytest.mark.parametrize("path", [p for p in SOURCES if name(p).startswith("dataplane/")], ids=name)
def test_no_dataplane_imports_another(path: Path) -> None:
    own = path.relative_to(ROOT / "dataplane").parts[0].removesuffix(".py")
    if own not in MODES:
        own = ""  # what the modes share imports none of them
    others = {f"dataplane.{mode}" for mode in MODES if mode != own}
    assert not [m for m in imports(path) if ".".join(m.split(".")[:2]) in others]


@pytest.mark.parametrize("path", OURS, ids=name)
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_every_module_tells_its_idea_first() -> None:
    silent = [name(p) for p in SOURCES if p.stat().st_size and ast.get_docstring(ast.parse(p.read_text())) is None]
    assert not silent


def test_the_layers_are_where_they_are_looked_for() -> None:
    assert {name(p).partition("/")[0] for p in SOURCES} == set(LAYERS)
