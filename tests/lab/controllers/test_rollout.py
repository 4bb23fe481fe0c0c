import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.controllers.deployment.limits import Limits
from lab.controllers.deployment.replica_sets import scale_of
from lab.controllers.deployment.rollout import Scale, recreate_step, rescale, rolling_step, size_of_new


def limits_of(make, replicas, **rolling):
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return Limits.of(make.deployment(replicas=replicas, strategy=strategy))


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # the surge rounds up, the unavailable ones down
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),  # never both zero: nothing could move
        (3, 0, 5, (0, 3)),  # no more than there are
    ],
)
def test_percentages_become_pods(make, replicas, surge, unavailable, expected):
    limits = limits_of(make, replicas, maxSurge=surge, maxUnavailable=unavailable)
    assert (limits.surge, limits.unavailable) == expected


def test_the_new_one_grows_into_the_surge_first():
    step = rolling_step(Limits(10, 3, 2), Scale("new", 0), [Scale("old", 10, 10)])
    assert step == {"new": 3}


def test_the_old_one_shrinks_by_what_may_be_missing():
    step = rolling_step(Limits(10, 3, 2), Scale("new", 3, 0), [Scale("old", 10, 10)])
    assert step == {"old": 8}


def test_pods_that_do_not_serve_go_first_even_of_several_old_sets():
    old = [Scale("oldest", 3, 0), Scale("older", 7, 7)]
    assert rolling_step(Limits(10, 0, 2), Scale("new", 0, 0), old) == {"oldest": 1}


def test_nothing_moves_while_the_new_pods_are_not_available():
    assert rolling_step(Limits(3, 1, 0), Scale("new", 1, 0), [Scale("old", 3, 3)]) == {}


def test_recreate_waits_for_the_last_old_pod():
    limits = Limits(3, 0, 0)
    assert recreate_step(limits, None, [Scale("old", 3, 3)], True) == {"old": 0}
    assert recreate_step(limits, Scale("new", 0), [Scale("old", 0)], True) == {}
    assert recreate_step(limits, Scale("new", 0), [Scale("old", 0)], False) == {"new": 3}


def test_scaling_outside_a_rollout_scales_the_one_set():
    assert rescale(Limits(5, 1, 1), Scale("new", 3, 3), [Scale("old", 0)], rolling=True, done=False) == {"new": 5}


def test_scaling_in_the_middle_of_a_rollout_is_in_proportion():
    # The example of the Kubernetes documentation: 10 replicas, surge 3, unavailable 2, scaled to 15.
    old, new = Scale("old", 8, 8, most_then=13), Scale("new", 5, 0, most_then=13)
    assert rescale(Limits(15, 3, 2), new, [old], rolling=True, done=False) == {"old": 11, "new": 7}


def test_scaling_to_nothing_takes_everything():
    old, new = Scale("old", 8, 8, most_then=13), Scale("new", 5, 0, most_then=13)
    assert rescale(Limits(0, 0, 0), new, [old], rolling=True, done=False) == {"old": 0, "new": 0}


class Rollout:
    """Pods that become available one by one, in an order that somebody else chooses."""

    def __init__(self, limits, sizes):
        self.limits = limits
        self.sets = {f"old-{i}": [size, size] for i, size in enumerate(sizes)} | {"new": [0, 0]}

    def step(self):
        scales = [Scale(name, wanted, min(available, wanted)) for name, (wanted, available) in self.sets.items()]
        sizes = rolling_step(self.limits, scales[-1], scales[:-1])
        for name, size in sizes.items():
            self.sets[name] = [size, min(self.sets[name][1], size)]
        return bool(sizes)

    def becomes_available(self, which):
        waiting = [name for name, (wanted, available) in self.sets.items() if available < wanted]
        if waiting:
            self.sets[waiting[which % len(waiting)]][1] += 1
        return bool(waiting)

    @property
    def total(self):
        return sum(wanted for wanted, _ in self.sets.values())

    @property
    def available(self):
        return sum(available for _, available in self.sets.values())


@given(
    wanted=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    parts=st.integers(1, 3),
    order=st.lists(st.integers(0, 5), min_size=40, max_size=40),
)
def test_a_rollout_never_leaves_its_limits_and_always_ends(wanted, surge, unavailable, parts, order):
    unavailable = min(unavailable, wanted) if surge or unavailable else 1
    limits = Limits(wanted, surge, unavailable)
    sizes = [wanted // parts + (i < wanted % parts) for i in range(parts)]
    rollout = Rollout(limits, sizes)
    choices = iter(order * 10)
    for _ in range(200):
        moved = rollout.step()
        assert rollout.total <= limits.most
        assert rollout.available >= limits.least_available
        if not moved and not rollout.becomes_available(next(choices)):
            break
    assert {name: size for name, (size, _) in rollout.sets.items() if size} == {"new": wanted}


def test_pods_that_do_not_serve_yet_are_not_counted_as_a_reason_to_take_more_away():
    assert rolling_step(Limits(3, 1, 1), Scale("new", 1, 0), [Scale("old", 3, 1)]) == {"old": 2}


def test_when_there_are_too_many_already_the_new_one_does_not_shrink_for_it():
    assert size_of_new(Limits(3, 1, 0), 1, 8) == 1


@pytest.mark.parametrize(("wanted", "favoured", "size"), [(10, "c", 4), (8, "a", 2)])
def test_what_rounding_leaves_is_added_to_the_newest_and_taken_from_the_oldest(wanted, favoured, size):
    sets = [Scale(name, 3, 3, most_then=9) for name in "abc"]
    assert rescale(Limits(wanted, 0, 1), sets[2], sets[:2], rolling=True, done=False) == {favoured: size}


def test_when_the_new_one_serves_all_the_old_ones_just_go():
    old, new = Scale("old", 2, 2, most_then=4), Scale("new", 3, 3, most_then=4)
    assert rescale(Limits(3, 1, 1), new, [old], rolling=True, done=True) == {"old": 0}


def test_pods_that_are_about_to_go_are_not_counted_as_available():
    replica_set = {
        "metadata": {"name": "old", "annotations": {"deployment.kubernetes.io/max-replicas": "4"}},
        "spec": {"replicas": 2},
        "status": {"availableReplicas": 3},
    }
    assert scale_of(replica_set) == Scale("old", 2, 2, most_then=4)
