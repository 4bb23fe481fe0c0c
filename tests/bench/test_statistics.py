"""What samples allow to be said: on samples that were made up, so that what is right is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.statistics import Ratio, chi_square, paired_ratio, quantile, sign_interval, spread, unpaired_ratio

POSITIVE = st.floats(0.1, 1e6)


def test_a_ratio_is_taken_round_by_round_so_that_drift_which_both_share_is_none() -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    ratio = paired_ratio([101 * each for each in drift], [100 * each for each in drift])
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.01, 1.01, 1.01))


def test_nothing_is_said_of_nothing() -> None:
    assert paired_ratio([], []) is None
    assert unpaired_ratio([1.0], [0.0]) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_few_samples_may_lie_anywhere(count: int) -> None:
    for ratio in (paired_ratio([500.0] * count, [1.0] * count), unpaired_ratio([500.0] * count, [1.0] * count)):
        assert ratio == Ratio(500, 0, math.inf)


@given(st.lists(POSITIVE, min_size=1, max_size=9), st.lists(POSITIVE, min_size=1, max_size=9))
def test_the_same_samples_give_the_same_ratios(samples: list[float], base: list[float]) -> None:
    assert paired_ratio(samples, base) == paired_ratio(samples, base)
    assert unpaired_ratio(samples, base) == unpaired_ratio(samples, base)


@pytest.mark.parametrize(("count", "from_each_end"), [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4)])
def test_the_interval_of_a_median_is_that_of_the_sign_test(count: int, from_each_end: int) -> None:
    # From the tables of the sign test at 5 %, two-sided: rejected with 0 of 6 and 8, 1 of 9, 2 of 12, 3 of 15.
    numbers = list(range(1, count + 1))
    assert sign_interval(numbers) == (from_each_end, count + 1 - from_each_end)


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


@pytest.mark.parametrize(
    ("count", "part", "told"), [(199, 0.99, False), (200, 0.99, True), (39, 0.95, False), (40, 0.95, True)]
)
def test_a_quantile_that_too_few_samples_lie_beyond_is_none(count: int, part: float, told: bool) -> None:
    assert (quantile([1.0] * count, part) is not None) is told


def test_a_quantile_lies_between_its_neighbours() -> None:
    assert quantile(list(range(201)), 0.99) == pytest.approx(198)
    assert quantile([4.0, 1.0, 2.0, 3.0], 0.5) == pytest.approx(2.5)
