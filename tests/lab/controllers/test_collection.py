import pytest

from lab.api.registry import CONFIG_MAPS
from lab.api.store import Store
from lab.controllers.collection import Collection
from lab.controllers.objects import Key, labels_of


def config(name, team="a", **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"team": team}},
        "data": data,
    }


class Followed:
    """A collection of ConfigMaps, indexed by team, and what it told."""

    def __init__(self, **options):
        self.store = Store(seed=1, **options)
        self.told = []
        self.listener = self.told.append
        self.objects = Collection(
            self.store,
            CONFIG_MAPS,
            {"team": lambda obj: [labels_of(obj)["team"]]},
            lambda change: self.listener(change),
        )

    def names(self, team):
        return sorted(obj["metadata"]["name"] for obj in self.objects.where("team", team))

    def changes(self):
        told, self.told[:] = list(self.told), []
        return [
            (
                change.object["metadata"]["name"],
                (change.old or {}).get("data"),
                (change.new or {}).get("data"),
            )
            for change in told
        ]


@pytest.fixture
def followed():
    return Followed()


def test_it_knows_what_was_written_a_moment_ago(followed):
    followed.store.create(CONFIG_MAPS, config("x", value="1"))
    assert followed.objects.get(Key("default", "x"))["data"] == {"value": "1"}
    followed.store.update(CONFIG_MAPS, config("x", value="2"))
    assert followed.objects.get(Key("default", "x"))["data"] == {"value": "2"}
    followed.store.delete(CONFIG_MAPS, "default", "x")
    assert followed.objects.get(Key("default", "x")) is None


def test_an_index_follows_the_objects(followed):
    followed.store.create(CONFIG_MAPS, config("x", "a"))
    followed.store.create(CONFIG_MAPS, config("y", "a"))
    assert followed.names("a") == ["x", "y"]
    followed.store.update(CONFIG_MAPS, config("x", "b"))
    assert (followed.names("a"), followed.names("b")) == (["y"], ["x"])
    followed.store.delete(CONFIG_MAPS, "default", "y")
    assert followed.names("a") == []


def test_every_change_is_told_once_with_what_was_and_what_is(followed):
    followed.store.create(CONFIG_MAPS, config("x", value="1"))
    followed.store.update(CONFIG_MAPS, config("x", value="2"))
    followed.objects.catch_up()
    followed.store.delete(CONFIG_MAPS, "default", "x")
    followed.objects.catch_up()
    followed.objects.catch_up()
    assert followed.changes() == [
        ("x", None, {"value": "1"}),
        ("x", {"value": "1"}, {"value": "2"}),
        ("x", {"value": "2"}, None),
    ]


def test_when_more_happens_at_once_than_the_store_remembers_it_compares_with_what_there_is():
    followed = Followed(history=4)
    followed.store.create(CONFIG_MAPS, config("goes", value="1"))
    followed.store.create(CONFIG_MAPS, config("stays", value="1"))
    followed.store.create(CONFIG_MAPS, config("turns", value="1"))
    followed.objects.catch_up()
    followed.changes()
    followed.store.delete(CONFIG_MAPS, "default", "goes")
    followed.store.update(CONFIG_MAPS, config("turns", value="2"))
    for number in range(20):
        followed.store.create(CONFIG_MAPS, config("busy", value=str(number)))
        followed.store.delete(CONFIG_MAPS, "default", "busy")
    followed.objects.catch_up()
    assert sorted(followed.changes()) == [
        ("goes", {"value": "1"}, None),
        ("turns", {"value": "1"}, {"value": "2"}),
    ]
    assert followed.names("a") == ["stays", "turns"]


def test_who_looks_while_being_told_never_sees_the_past_again(followed):
    """More changes than the store hands out at once, and a listener that reads the same collection."""
    seen = []

    followed.listener = lambda _: seen.append(followed.objects.get(Key("default", "x"))["data"]["value"])
    followed.store.create(CONFIG_MAPS, config("x", value="0"))
    for number in range(1, 1200):
        followed.store.update(CONFIG_MAPS, config("x", value=str(number)))
    followed.objects.catch_up()
    assert seen == [str(number) for number in range(1200)]
