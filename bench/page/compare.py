"""Two runs: what has changed beyond noise?

What was measured beside the ceiling ("no service") is compared as times the ceiling of its own run, round by round: a
machine that was slower the second time was slower for both. How the ceiling itself has changed is said of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from bench.harness.contenders import CEILING
from bench.harness.results import Measured, Results
from bench.harness.statistics import FEWEST, sign_interval, spread, unpaired_ratio
from bench.harness.verdict import Judgement, Verdict, verdict
from bench.page.summary import chapters, digits, disturbed, in_one_line, told

Key = tuple[str, str, str, str, int]

#: What is told of a machine, and differs from run to run.
OF_ONE_RUN = {"at", "took", "load", "load before", "busy before", "stolen by the hypervisor"}
BETWEEN_RUNS = 0.20  #: what a machine may differ by from one hour to the next, for one contender more than for another


def compare(before: Results, after: Results) -> str:
    """In lines: what got better, worse, lost or found; and how many figures are as they were."""
    return "\n".join(_lines(before, after)) + "\n"


def _lines(before: Results, after: Results) -> Iterator[str]:
    for which, run in (("before", before), ("now", after)):
        if remark := disturbed(run):
            yield f"{which}: {remark}"
    for name in sorted(before.machine.keys() & after.machine.keys() - OF_ONE_RUN):
        if before.machine[name] != after.machine[name]:
            yield f"machine: {name} was {before.machine[name]}, is {after.machine[name]}"
    old = {_key(m): m for m in before.measured}
    new = {_key(m): m for m in after.measured}
    unchanged = 0
    for key, now in new.items():
        was = old.get(key)
        if was is None:
            continue
        if bool(was.trouble) != bool(now.trouble):
            before_it, after_it = in_one_line(was.trouble) or "was measured", in_one_line(now.trouble) or "is measured"
            yield f"{_name(now)}: {before_it} → {after_it}"
        elif was.samples and now.samples:
            found, text = _change(was, now, _ceiling(old, was), _ceiling(new, now))
            if found is Verdict.NO_DIFFERENCE:
                unchanged += 1
            else:
                yield f"{'machine' if now.contender == CEILING else found}: {_name(now)}: {text}"
    yield f"no clear change: {unchanged}"
    yield from _verdicts(before, after)
    for kind, missing in (("only before", old.keys() - new.keys()), ("only now", new.keys() - old.keys())):
        if missing:
            yield f"{kind}: {len(missing)} figures"


def _verdicts(before: Results, after: Results) -> Iterator[str]:
    """How each run judged ours beside kube-proxy: which verdicts are other ones now, and how many are as before.

    One that a run called close may be its neighbour in the next: that is what close means, so those are counted apart
    from those that are other ones although both runs were sure.
    """
    old, new = _judged(before), _judged(after)
    both = [key for key in new if key in old]
    others = [key for key in both if old[key].verdict is not new[key].verdict]
    sure = [key for key in others if not old[key].close and not new[key].close]
    opposite = [key for key in others if Verdict.NO_DIFFERENCE not in (old[key].verdict, new[key].verdict)]
    for key in others:
        question, name, case, contender, services = key
        what = ", ".join(part for part in (question, name, case, contender) if part)
        change = "turned" if key in opposite else "changed"
        yield f"verdict {change}: {what}, {services:,} Services: {old[key]} → {new[key]}"
    if both:
        were_close = len(others) - len(sure)
        yield (
            f"verdicts beside kube-proxy: {len(both) - len(others)} of {len(both)} as before; "
            f"{were_close} changed that were close, {len(sure)} that were not; {len(opposite)} turned round"
        )


def _judged(run: Results) -> Mapping[Key, Judgement]:
    rows = [row for chapter in chapters(run) for group in chapter.groups for row in group.rows()]
    return {_key(row.measured): row.judged for row in rows if row.judged}


def _change(was: Measured, now: Measured, *ceilings: Measured | None) -> tuple[Verdict, str]:
    """Noise is what the samples of one run differ by among themselves, or machines between two runs: a change must be
    larger, and the intervals of the two medians must lie apart. A report has a hundred figures, and once in twenty is
    too often there."""
    if None in ceilings:
        ceilings = (None, None)
    before, after = (_relative(each, ceiling) for each, ceiling in zip((was, now), ceilings, strict=True))
    if median(before) == 0:
        # Nothing is so many times nothing: of lost connections, say.
        more = Verdict.BETTER if now.metric.more_is_better else Verdict.WORSE
        changed = more if median(after) > 0 else Verdict.NO_DIFFERENCE
        return changed, f"0 → {digits(now.value or 0)} {now.metric.unit}"
    ratio = unpaired_ratio(after, before)
    noise = max(BETWEEN_RUNS, spread(before), spread(after))
    found = Verdict.NO_DIFFERENCE
    if ratio is not None and _apart(before, after):
        found = verdict(ratio, more_is_better=now.metric.more_is_better, matters=noise)
    unit = now.metric.unit
    beside = " beside the ceiling" if ceilings[0] else ""
    text = f"{digits(was.value or 0)} → {digits(now.value or 0)} {unit}, times {told(ratio)}{beside}"
    return found, text


def _apart(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the intervals of the two medians are. A few samples have none."""
    if min(len(before), len(after)) < FEWEST:
        return False
    (low, high), (least, most) = sign_interval(before), sign_interval(after)
    return max(low, least) > min(high, most)


def _relative(measured: Measured, ceiling: Measured | None) -> Sequence[float]:
    if ceiling is None:
        return measured.samples
    return [a / b for a, b in zip(measured.samples, ceiling.samples, strict=False)]


def _ceiling(run: Mapping[Key, Measured], measured: Measured) -> Measured | None:
    if measured.contender == CEILING:
        return None
    *what, _, services = _key(measured)
    found = run.get((what[0], what[1], what[2], CEILING, services))
    return found if found is not None and found.samples and min(found.samples) > 0 else None


def _key(measured: Measured) -> Key:
    metric = measured.metric
    return metric.question, metric.name, metric.case, measured.contender, measured.services


def _name(measured: Measured) -> str:
    metric = measured.metric
    parts = (metric.question, metric.name, metric.case, measured.contender, f"{measured.services:,} Services")
    return ", ".join(part for part in parts if part)
