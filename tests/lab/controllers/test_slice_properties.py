"""What must hold for any pods, in whatever order they come, change and go."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lab.controllers.endpointslice.plan import Plan, slices_for

LIMIT = 4
NAMES = [f"pod-{number}" for number in range(12)]

pod_states = st.fixed_dictionaries(
    {
        "ips": st.sampled_from([(4,), (6,), (4, 6), ()]),
        "ready": st.booleans(),
        "going": st.booleans(),
        "phase": st.sampled_from(["Running", "Running", "Running", "Failed"]),
        "node": st.sampled_from(["n1", "n2", "gone"]),
        "port": st.sampled_from([8080, 8080, 9090, None]),
    }
)
populations = st.dictionaries(st.sampled_from(NAMES), pod_states)
services = st.fixed_dictionaries(
    {
        "ipFamilies": st.sampled_from([["IPv4"], ["IPv6"], ["IPv4", "IPv6"]]),
        "publishNotReadyAddresses": st.booleans(),
        "trafficDistribution": st.sampled_from([None, "PreferSameZone", "PreferSameNode"]),
    }
)
PORTS = [
    {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"},
    {"name": "metrics", "port": 9100, "targetPort": 9100, "protocol": "TCP"},
]


def pods_of(make, population):
    pods = []
    for name, state in sorted(population.items()):
        number = NAMES.index(name) + 1
        ips = [f"10.0.0.{number}" if family == 4 else f"fd00::{number}" for family in state["ips"]]
        containers = [make.container(web=state["port"])] if state["port"] else []
        shown = {key: state[key] for key in ("ready", "going", "phase", "node")}
        pods.append(make.pod(name, *ips, containers=containers, **shown))
    return pods


class World:
    """The slices as the API server would hold them."""

    def __init__(self):
        self.slices = {}
        self.made = 0

    def carry_out(self, plan):
        for obj in plan.create:
            self.made += 1
            name = f"web-{self.made}"
            self.slices[name] = obj | {"metadata": obj["metadata"] | {"name": name}}
        for obj in plan.update:
            assert obj["metadata"]["name"] in self.slices
            self.slices[obj["metadata"]["name"]] = obj
        for obj in plan.delete:
            del self.slices[obj["metadata"]["name"]]

    def content(self):
        """Everything that the slices say, apart from how it is divided among them."""
        return Counter(
            (s["addressType"], str(s["ports"]), str(sorted(s["metadata"]["labels"].items())), str(endpoint))
            for s in self.slices.values()
            for endpoint in s["endpoints"]
        )


def reconcile(make, world, service, population, limit=LIMIT):
    nodes = make.nodes(n1="za", n2="zb")
    plan = slices_for(service, pods_of(make, population), nodes, world.slices.values(), limit=limit)
    world.carry_out(plan)
    return plan


@given(history=st.lists(st.tuples(services, populations), min_size=1, max_size=6))
def test_after_any_history_the_slices_say_what_fresh_ones_would(make, history):
    world = World()
    for spec, population in history:
        reconcile(make, world, make.service(ports=PORTS, **spec), population)
    fresh = World()
    reconcile(make, fresh, make.service(ports=PORTS, **history[-1][0]), history[-1][1])
    assert world.content() == fresh.content()


@given(history=st.lists(st.tuples(services, populations), min_size=1, max_size=6))
def test_looking_again_writes_nothing(make, history):
    world = World()
    for spec, population in history:
        service = make.service(ports=PORTS, **spec)
        reconcile(make, world, service, population)
        assert reconcile(make, world, service, population) == Plan()


@given(history=st.lists(st.tuples(services, populations), min_size=1, max_size=6))
def test_no_slice_is_over_the_limit_or_of_mixed_families(make, history):
    world = World()
    for spec, population in history:
        reconcile(make, world, make.service(ports=PORTS, **spec), population)
        for held in world.slices.values():
            assert len(held["endpoints"]) <= LIMIT
            assert {":" in e["addresses"][0] for e in held["endpoints"]} <= {held["addressType"] == "IPv6"}


@given(spec=services, population=populations)
def test_every_address_of_a_pod_that_counts_appears_exactly_once(make, spec, population):
    world = World()
    reconcile(make, world, make.service(ports=PORTS, **spec), population)
    seen = Counter(e["addresses"][0] for s in world.slices.values() for e in s["endpoints"])
    families = {"IPv4": 4, "IPv6": 6}
    expected = Counter()
    for name, state in population.items():
        number = NAMES.index(name) + 1
        if state["phase"] == "Running" and (state["node"] != "gone" or spec["publishNotReadyAddresses"]):
            for family in {families[f] for f in spec["ipFamilies"]} & set(state["ips"]):
                expected[f"10.0.0.{number}" if family == 4 else f"fd00::{number}"] += 1
    assert seen == expected


@given(population=populations, name=st.sampled_from(NAMES), state=pod_states)
def test_one_changed_pod_costs_at_most_two_writes_for_each_family(make, population, name, state):
    world = World()
    service = make.service(ports=PORTS, ipFamilies=["IPv4", "IPv6"])
    reconcile(make, world, service, population)
    plan = reconcile(make, world, service, population | {name: state})
    assert len(plan.create) + len(plan.update) + len(plan.delete) <= 4


@given(population=populations)
def test_a_lower_limit_is_kept_from_then_on(make, population):
    world = World()
    service = make.service(ports=PORTS)
    reconcile(make, world, service, population, limit=100)
    before = world.content()
    reconcile(make, world, service, population, limit=2)
    assert all(len(s["endpoints"]) <= 2 for s in world.slices.values())
    assert world.content() == before
