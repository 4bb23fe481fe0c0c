"""Plots as SVG text: bars for one number of Services, lines for several."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import count

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.harness.contenders import CEILING
from bench.harness.results import Measured
from bench.page.summary import Group, digits

_OURS = ("#08519c", "#3182bd", "#6baed6", "#2a9d8f", "#74c476", "#5e4fa2", "#9e9ac8")
_THEIRS = ("#b33c00", "#e6550d", "#fdae6b", "#8c6d31")
_CEILING = "#777777"
_MARKERS = "osD^vPX*<>"
_WIDTH = 7.6  #: inches


def colours(contenders: Sequence[str]) -> dict[str, str]:
    """Blue and green is ours, orange and brown is kube-proxy, grey is nobody: the same in every plot."""
    ours, theirs = (iter(palette * 3) for palette in (_OURS, _THEIRS))
    return {
        name: _CEILING if name == CEILING else next(theirs if name.startswith("kube-proxy") else ours)
        for name in contenders
    }


def plot(group: Group, colour: Mapping[str, str]) -> str:
    """An <svg> element."""
    lines = len(group.services) > 1
    height = 3.4 if lines else 0.6 + 0.34 * len(group.contenders)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    (_lines if lines else _bars)(axes, group, colour)
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _bars(axes: Axes, group: Group, colour: Mapping[str, str]) -> None:
    names = group.contenders
    for place, name in zip(count(), names, strict=False):
        measured = group.of(name, group.services[0])
        if measured is None:
            continue
        if measured.value is None:
            axes.text(0, place, f" {measured.trouble.split(':')[0]}", va="center", color="#a00000", fontsize=9)
            continue
        axes.barh(place, measured.value, height=0.62, color=colour[name])
        axes.errorbar(measured.value, place, xerr=_reach(measured), color="black", capsize=3, linewidth=1)
        axes.annotate(
            f" {'≥ ' * measured.at_least}{digits(measured.value)}",
            (max(measured.samples), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: digits(value))
    axes.set_xlabel(_label(group))


def _lines(axes: Axes, group: Group, colour: Mapping[str, str]) -> None:
    smallest = largest = None
    for number, name in enumerate(group.contenders):
        points = [m for m in (group.of(name, n) for n in group.services) if m is not None and m.value is not None]
        if not points:
            continue
        values = [m.value or 0.0 for m in points]
        reach = [[_reach(m)[side][0] for m in points] for side in (0, 1)]
        axes.errorbar(
            [m.services for m in points],
            values,
            yerr=reach,
            label=name,
            color=colour[name],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            capsize=2,
            linewidth=1.6,
            linestyle="--" if name == CEILING else "-",
        )
        smallest = min([*values, smallest or values[0]])
        largest = max([*values, largest or values[0]])
    axes.set_xscale("log")
    axes.set_xticks(group.services, [_short(n) for n in group.services])
    axes.minorticks_off()
    if smallest and largest and largest / smallest > 20:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: digits(value))
    axes.set_xlabel("Services")
    axes.set_ylabel(_label(group))
    axes.grid(axis="y", color="#e4e4e4")
    handles, labels = axes.get_legend_handles_labels()
    places = [labels.index(name) for name in _from_the_top(group) if name in labels]
    axes.legend(
        [handles[place] for place in places],
        [labels[place] for place in places],
        fontsize=8,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def _short(services: int) -> str:
    """30k for 30,000: on this axis that is close to 10,000."""
    return f"{services // 1000}k" if services >= 1000 and services % 1000 == 0 else f"{services:,}"


def _from_the_top(group: Group) -> list[str]:
    """As the lines end at the right: names stand in the order in which the eye meets the lines."""

    def last(name: str) -> float:
        found = (group.of(name, services) for services in reversed(group.services))
        return next((m.value for m in found if m is not None and m.value is not None), 0.0)

    return sorted(group.contenders, key=last, reverse=True)


def _reach(measured: Measured) -> list[list[float]]:
    """From the smallest to the largest sample, as matplotlib wants it."""
    value = measured.value or 0.0
    return [[value - min(measured.samples)], [max(measured.samples) - value]]


def _label(group: Group) -> str:
    better = "more" if group.metric.more_is_better else "less"
    return f"{group.metric.unit} ({better} is better)"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "svcplane", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img"', text, count=1)
