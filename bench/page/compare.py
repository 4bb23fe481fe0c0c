"""Two runs: what has changed beyond noise?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness.results import Measured, Results
from bench.harness.statistics import MATTERS, Verdict, spread, unpaired_ratio, verdict
from bench.page.summary import digits, told


def compare(before: Results, after: Results) -> str:
    """In lines: what got better, worse, lost or found; and how many figures are as they were."""
    return "\n".join(_lines(before, after)) + "\n"


def _lines(before: Results, after: Results) -> Iterator[str]:
    for name in sorted(before.machine.keys() & after.machine.keys() - {"at", "took", "load before"}):
        if before.machine[name] != after.machine[name]:
            yield f"machine: {name} was {before.machine[name]}, is {after.machine[name]}"
    old = {_key(m): m for m in before.measured}
    new = {_key(m): m for m in after.measured}
    same = unclear = 0
    for key, now in new.items():
        was = old.get(key)
        if was is None:
            continue
        if bool(was.trouble) != bool(now.trouble):
            yield f"{_name(now)}: {was.trouble or 'was measured'} → {now.trouble or 'is measured'}"
        elif was.samples and now.samples:
            found, text = _change(was, now)
            if found in (Verdict.BETTER, Verdict.WORSE):
                yield f"{found}: {_name(now)}: {text}"
            same += found is Verdict.SAME
            unclear += found is Verdict.UNCLEAR
    yield f"about the same: {same}; too noisy to tell: {unclear}"
    for kind, missing in (("only before", old.keys() - new.keys()), ("only now", new.keys() - old.keys())):
        if missing:
            yield f"{kind}: {len(missing)} figures"


def _change(was: Measured, now: Measured) -> tuple[Verdict, str]:
    """Noise is what the samples of one run differ by among themselves: a change must be larger."""
    ratio = unpaired_ratio(now.samples, was.samples)
    noise = max(MATTERS, spread(was.samples), spread(now.samples))
    found = verdict(ratio, more_is_better=now.metric.more_is_better, matters=noise)
    unit = now.metric.unit
    text = f"{digits(was.value or 0)} → {digits(now.value or 0)} {unit}, times {told(ratio)}"
    return found, text


def _key(measured: Measured) -> tuple[str, str, str, str, int]:
    metric = measured.metric
    return metric.question, metric.name, metric.case, measured.contender, measured.services


def _name(measured: Measured) -> str:
    metric = measured.metric
    parts = (metric.question, metric.name, metric.case, measured.contender, f"{measured.services:,} Services")
    return ", ".join(part for part in parts if part)
