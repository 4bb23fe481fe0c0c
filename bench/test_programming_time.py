"""How long until the kernel does what the cluster says?

Nothing here fails for being slow: the bars are printed beside the figures. It fails where something does not work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import workload
from bench.figure import Figure
from bench.namespace import TooSlowError, measure
from bench.programming import MODES

CHANGES = 200

COMPILE = "objects compiled"
COLD = "everything into the kernel"
CHANGE = "one endpoint changed, median"
MEMORY = "resident memory"

# What a machine with two cores should reach with 10,000 Services; smaller clusters have no bar of their own.
BARS = {COMPILE: 1.5, COLD: 1.0, CHANGE: 10.0, MEMORY: 250.0}
BARS_HOLD_AT = 10_000


def _files(services: int, folder: Path) -> list[Path]:
    """What the API server would send."""
    files = [folder / name for name in ("services", "slices", "events")]
    contents = (
        workload.service_pages(services),
        workload.endpoint_slice_pages(services),
        workload.endpoint_changes(services, CHANGES),
    )
    for file, lines in zip(files, contents, strict=True):
        file.write_bytes(b"\n".join(lines))
    return files


LIMIT = 240.0  #: seconds for one mode, or for the contender
_LEGACY = "iptables-legacy"


def test_how_long_from_objects_to_packets(services: int, figures: list[Figure], tmp_path: Path) -> None:
    measured = measure("bench.programming", "nftables", *_files(services, tmp_path), limit=LIMIT)

    def figure(what: str, name: str, unit: str) -> Figure:
        bar = BARS.get(what) if services == BARS_HOLD_AT else None
        value = measured[name]
        trouble = "" if value is not None else "TOO FEW: a 99th percentile needs 200 changes"
        return Figure("svcplane nftables", services, what, value, unit, bar, trouble=trouble)

    figures += [
        figure("lists decoded", "decode_s", "s"),
        figure(COMPILE, "compile_s", "s"),
        figure(COLD, "cold_s", "s"),
        figure(CHANGE, "change_median_ms", "ms"),
        figure("one endpoint changed, 99th percentile", "change_p99_ms", "ms"),
        figure(MEMORY, "resident_mb", "MB"),
        figure("resident memory at its peak", "resident_peak_mb", "MB"),
    ]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "nftables"])
def test_how_long_in_other_modes(mode: str, services: int, figures: list[Figure], tmp_path: Path) -> None:
    found: dict[str, Any] = {}

    def measured() -> dict[str, Any]:
        found.update(measure("bench.programming", mode, *_files(services, tmp_path), limit=LIMIT))
        return found

    figures += _cold_and_change(f"svcplane {mode}", services, measured)
    if mode == _LEGACY and "alone_cold_s" in found:
        alone = {name.removeprefix("alone_"): value for name, value in found.items() if name.startswith("alone_")}
        figures += _cold_and_change(f"{_LEGACY}-restore alone", services, lambda: alone)


def test_how_long_for_the_shape_that_kube_proxy_uses(
    services: int, figures: list[Figure], request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--without-contenders"):
        pytest.skip("--without-contenders")
    figures += _cold_and_change(
        "kube-proxy's shape, by nft", services, lambda: measure("bench.kube_proxy_shape", services, limit=LIMIT)
    )


def _cold_and_change(who: str, services: int, measured: Callable[[], dict[str, Any]]) -> list[Figure]:
    """Two figures; or twice why there is none."""
    found: dict[str, Any] = {}
    try:
        found = measured()
        trouble = f"ABSENT: {found['lacks']}" if "lacks" in found else ""
    except TooSlowError as error:
        trouble = f"TOO SLOW: {error}"
    return [
        Figure(who, services, what, found.get(name), unit, trouble=trouble)
        for what, name, unit in ((COLD, "cold_s", "s"), (CHANGE, "change_median_ms", "ms"))
    ]
