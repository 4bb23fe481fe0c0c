"""What samples allow to be said: on samples that were made up, so that what is right is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.statistics import Verdict, chi_square, paired_ratio, sign_interval, spread, unpaired_ratio, verdict

POSITIVE = st.floats(0.1, 1e6)


def noisy(middle: float, noise: float, count: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [middle * chance.uniform(1 - noise, 1 + noise) for _ in range(count)]


def test_twice_as_much_is_seen_through_noise() -> None:
    ratio = paired_ratio(noisy(200, 0.2, 9, 1), noisy(100, 0.2, 9, 2))
    assert ratio is not None
    assert ratio.low <= ratio.value <= ratio.high
    assert verdict(ratio, more_is_better=True) is Verdict.BETTER
    assert verdict(ratio, more_is_better=False) is Verdict.WORSE


def test_drift_that_both_share_is_no_difference() -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    ratio = paired_ratio([101 * each for each in drift], [100 * each for each in drift])
    assert verdict(ratio, more_is_better=True) is Verdict.SAME


def test_a_small_difference_is_not_told_however_sure_it_is() -> None:
    assert verdict(paired_ratio([105.0] * 9, [100.0] * 9), more_is_better=True) is Verdict.SAME


def test_noise_alone_gives_no_verdict() -> None:
    ratio = paired_ratio([50, 200, 90, 110, 400, 100], [100] * 6)
    assert verdict(ratio, more_is_better=True) is Verdict.UNCLEAR


def test_nothing_is_said_of_nothing() -> None:
    assert paired_ratio([], []) is None
    assert unpaired_ratio([1.0], [0.0]) is None
    assert verdict(None, more_is_better=True) is Verdict.UNCLEAR


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_few_samples_give_no_verdict(count: int) -> None:
    assert verdict(paired_ratio([500.0] * count, [1.0] * count), more_is_better=True) is Verdict.UNCLEAR
    assert verdict(unpaired_ratio([500.0] * count, [1.0] * count), more_is_better=True) is Verdict.UNCLEAR


@given(st.lists(POSITIVE, min_size=6, max_size=9))
def test_nobody_is_better_than_himself(samples: list[float]) -> None:
    assert verdict(paired_ratio(samples, samples), more_is_better=True) is Verdict.SAME


@given(st.lists(POSITIVE, min_size=1, max_size=9), st.lists(POSITIVE, min_size=1, max_size=9))
def test_the_same_samples_give_the_same_words(samples: list[float], base: list[float]) -> None:
    assert paired_ratio(samples, base) == paired_ratio(samples, base)
    assert unpaired_ratio(samples, base) == unpaired_ratio(samples, base)


@pytest.mark.parametrize("seed", range(20))
def test_two_runs_of_the_same_thing_do_not_differ(seed: int) -> None:
    ratio = unpaired_ratio(noisy(100, 0.05, 9, seed), noisy(100, 0.05, 9, seed + 1000))
    assert verdict(ratio, more_is_better=True) in (Verdict.SAME, Verdict.UNCLEAR)


def test_two_runs_that_differ_do() -> None:
    ratio = unpaired_ratio(noisy(70, 0.05, 6, 1), noisy(100, 0.05, 6, 2))
    assert verdict(ratio, more_is_better=True) is Verdict.WORSE


@pytest.mark.parametrize(("count", "from_each_end"), [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4)])
def test_the_interval_of_a_median_is_that_of_the_sign_test(count: int, from_each_end: int) -> None:
    # From the tables of the sign test at 5 %, two-sided: rejected with 0 of 6 and 8, 1 of 9, 2 of 12, 3 of 15.
    numbers = list(range(1, count + 1))
    assert sign_interval(numbers) == (from_each_end, count + 1 - from_each_end)


def test_one_round_of_nine_that_was_disturbed_does_not_change_a_verdict() -> None:
    ours = [*noisy(200, 0.1, 8, 1), 20.0]
    assert verdict(paired_ratio(ours, noisy(100, 0.1, 9, 2)), more_is_better=True) is Verdict.BETTER


def run_of(truth: float, seed: int) -> tuple[list[float], list[float]]:
    """Nine rounds on a bad machine: it is a fifth faster or slower from round to round, each sample has noise of its
    own, and now and then one takes four times as long."""
    chance = random.Random(seed)
    rounds = [chance.uniform(0.8, 1.2) for _ in range(9)]

    def samples(middle: float) -> list[float]:
        return [middle * mood * chance.gauss(1, 0.07) / (4 if chance.random() < 0.04 else 1) for mood in rounds]

    return samples(truth), samples(1.0)


@pytest.mark.parametrize("truth", [0.5, 0.7, 0.95, 1.0, 1.05, 1.4, 2.0])
def test_the_same_measured_again_and_again_is_never_told_the_other_way_round(truth: float) -> None:
    told = [verdict(paired_ratio(*run_of(truth, seed)), more_is_better=True) for seed in range(200)]
    wrong = Verdict.WORSE if truth >= 1 else Verdict.BETTER
    assert told.count(wrong) <= 2
    if abs(truth - 1) <= 0.05:  # no difference that matters
        assert told.count(Verdict.BETTER) + told.count(Verdict.WORSE) <= 8
    if truth in (0.5, 2.0):
        assert told.count(Verdict.UNCLEAR) <= 12  # two rounds of nine were disturbed in the same direction: 5 %


@given(st.lists(POSITIVE, min_size=2, max_size=9))
def test_spread_does_not_depend_on_the_unit(samples: list[float]) -> None:
    assert spread([1000 * each for each in samples]) == pytest.approx(spread(samples))


def test_samples_that_agree_have_no_spread() -> None:
    assert spread([5.0, 5.0, 5.0]) == 0
    assert spread([5.0]) == 0


@pytest.mark.parametrize(
    ("counts", "chance"),
    [
        # From the tables of the chi-square distribution: 5 % at 3.841 (1), 5.991 (2), 7.815 (3), 9.488 (4).
        ([500 + 31, 500 - 31], 0.05),
        ([1000 + 45, 1000 - 45, 1000 - 45, 1000 + 45], 0.0440),
        ([1000, 1000, 1000, 1000], 1.0),
        ([10_000, 0, 0, 0], 0.0),
        ([0, 0], 0.0),
    ],
)
def test_uneven_shares_are_as_unlikely_as_the_tables_say(counts: list[int], chance: float) -> None:
    assert chi_square(counts) == pytest.approx(chance, abs=0.002)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=12))
def test_a_chance_is_between_none_and_certain(counts: list[int]) -> None:
    assert 0 <= chi_square(counts) <= 1
