from datetime import UTC, datetime, timedelta

import pytest

from lab.controllers.deployment.status import Family, is_complete, seconds_until_deadline, status_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def replica_set(name, replicas, available=None):
    available = replicas if available is None else available
    status = {"replicas": replicas, "readyReplicas": available, "availableReplicas": available}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}, "status": status}


@pytest.fixture
def deployment(make):
    """One that has come to rest long ago."""
    found = make.deployment(replicas=3)
    found["metadata"]["generation"] = 1
    found["status"] = status_of(found, Family(replica_set("web-1", 3), ()), NOW - timedelta(days=9))
    return found


def progressing(status):
    return next((c["status"], c["reason"]) for c in status["conditions"] if c["type"] == "Progressing")


def test_at_rest_nothing_changes(deployment):
    assert status_of(deployment, Family(replica_set("web-1", 3), ()), NOW) == deployment["status"]


def test_a_pod_that_fails_later_is_no_rollout(deployment):
    status = status_of(deployment, Family(replica_set("web-1", 3, 2), ()), NOW)
    assert (status["availableReplicas"], status["unavailableReplicas"]) == (2, 1)
    assert progressing(status) == ("True", "NewReplicaSetAvailable")


def test_a_rollout_to_a_replica_set_that_exists_begins_its_time_anew(deployment):
    """Otherwise `kubectl rollout status` would see an exceeded deadline for a moment, and give up."""
    status = status_of(deployment, Family(replica_set("web-0", 0), (replica_set("web-1", 3),)), NOW)
    assert progressing(status) == ("True", "FoundNewReplicaSet")
    assert seconds_until_deadline(deployment | {"status": status}, NOW) == pytest.approx(600, abs=1)


def test_a_new_replica_set_begins_a_rollout(deployment):
    family = Family(replica_set("web-2", 0), (replica_set("web-1", 3),))
    assert progressing(status_of(deployment, family, NOW, created=True)) == ("True", "NewReplicaSetCreated")


def test_every_move_gives_new_time_and_standing_still_uses_it_up(deployment):
    family = Family(replica_set("web-2", 0), (replica_set("web-1", 3),))
    deployment["status"] = status_of(deployment, family, NOW, created=True)
    family = Family(replica_set("web-2", 1, 0), (replica_set("web-1", 3),))
    later = NOW + timedelta(seconds=599)
    deployment["status"] = status_of(deployment, family, later)
    assert progressing(deployment["status"]) == ("True", "ReplicaSetUpdated")
    much_later = later + timedelta(seconds=599)
    assert progressing(status_of(deployment, family, much_later)) == ("True", "ReplicaSetUpdated")
    too_late = later + timedelta(seconds=601)
    deployment["status"] = status_of(deployment, family, too_late)
    assert progressing(deployment["status"]) == ("False", "ProgressDeadlineExceeded")
    assert seconds_until_deadline(deployment, too_late) is None


def test_a_stuck_rollout_that_moves_again_is_not_stuck_any_more(deployment):
    family = Family(replica_set("web-2", 1, 0), (replica_set("web-1", 3),))
    deployment["status"] = status_of(deployment, family, NOW, created=True)
    deployment["status"] = status_of(deployment, family, NOW + timedelta(hours=1))
    assert progressing(deployment["status"])[0] == "False"
    family = Family(replica_set("web-2", 1, 1), (replica_set("web-1", 3),))
    status = status_of(deployment, family, NOW + timedelta(hours=2))
    assert progressing(status) == ("True", "ReplicaSetUpdated")


def test_complete_means_that_no_other_pod_is_left(make):
    deployment = make.deployment(replicas=3)
    counts = {"replicas": 4, "updatedReplicas": 3, "availableReplicas": 3}
    assert not is_complete(deployment, counts)
    assert is_complete(deployment, counts | {"replicas": 3})
