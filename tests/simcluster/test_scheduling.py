"""The choice of a node: against a plain model that looks at everything anew, and case by case."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.controllers.scheduling.accounts import Accounts, Held
from simcluster.controllers.scheduling.asks import AskReader, count_requests
from simcluster.controllers.scheduling.choice import Choice, Chooser
from simcluster.controllers.scheduling.preemption import find_victims
from simcluster.controllers.scheduling.taints import tolerated_for, tolerates
from simcluster.selectors import Requirement, matches_label_selector

Object = dict[str, Any]
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
RNG = random.Random(1)


def node(
    name: str, *, cpu: str = "4", pods: str = "110", labels: Object | None = None, **spec: Any
) -> Object:
    """A node of four processors and 8 GiB."""
    offered = {"cpu": cpu, "memory": "8Gi", "pods": pods, "ephemeral-storage": "10Gi"}
    metadata = {"name": name, "labels": {HOSTNAME: name} | (labels or {})}
    return {"metadata": metadata, "spec": spec, "status": {"allocatable": offered}}


def pod(
    name: str = "new", *, labels: Object | None = None, ports: Any = (), requests: Any = None, **spec: Any
) -> Object:
    """A pod with one container."""
    container: Object = {"name": "c", "image": "i"}
    if requests:
        container["resources"] = {"requests": requests}
    if ports:
        container["ports"] = [{"containerPort": each, "hostPort": each} for each in ports]
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [container]} | spec}


class World:
    """Nodes and the pods on them, as the scheduler keeps them."""

    def __init__(self, *nodes: Object) -> None:
        self.accounts = Accounts()
        self.reader = AskReader()
        self.chooser = Chooser(self.accounts)
        for each in nodes:
            self.accounts.put_node(each["metadata"]["name"], each)

    def put(self, on: str, each: Object, *, is_ending: bool = False, started_at: str = "") -> None:
        """Have a pod on a node."""
        name = (each["metadata"]["namespace"], each["metadata"]["name"])
        ask = self.reader.read(each)
        self.accounts.add_pod(on, Held(each["metadata"]["uid"], name, ask, is_ending, started_at))

    def choose(self, each: Object, alike: tuple[Requirement, ...] = (), seed: int = 1) -> Choice:
        """Choose for a pod."""
        return self.chooser.choose(self.reader.read(each), random.Random(seed), alike)

    def explain(self, each: Object) -> str:
        """Why a pod fits nowhere."""
        choice = self.choose(each)
        assert choice.node is None
        return choice.explain()

    def preempt(self, each: Object, **options: Any) -> Any:
        """Who has to go for a pod that fits nowhere."""
        return find_victims(self.reader.read(each), self.accounts, self.choose(each).refusals, **options)


# --- A plain model: everything is looked at for every pod, from the objects themselves. Requests are in whole
# processors and GiB, so that nothing has to be parsed.


def asked(each: Object, name: str) -> int:
    resources = each["spec"]["containers"][0].get("resources", {}).get("requests", {})
    return int(str(resources.get(name, "0")).removesuffix("Gi"))


def alike(each: Object, selector: Any) -> bool:
    return matches_label_selector(selector, each["metadata"]["labels"])


def model_reason(new: Object, place: Object, world: Sequence[tuple[Object, list[Object]]]) -> set[str] | None:
    """The reasons of one node, or None."""
    here = next(held for at, held in world if at is place)
    spec, labels = place["spec"], place["metadata"]["labels"]
    tolerations = new["spec"].get("tolerations", [])
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if spec.get("unschedulable") and not any(tolerates(each, cordon) for each in tolerations):
        return {"node(s) were unschedulable"}
    for taint in spec.get("taints", []):
        if taint["effect"] != "PreferNoSchedule" and not any(tolerates(each, taint) for each in tolerations):
            return {"node(s) had untolerated taint(s)"}
    wanted = new["spec"].get("nodeSelector", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return {"node(s) didn't match Pod's node affinity/selector"}
    mine = {each["hostPort"] for each in new["spec"]["containers"][0].get("ports", [])}
    if any(
        each["hostPort"] in mine for other in here for each in other["spec"]["containers"][0].get("ports", [])
    ):
        return {"node(s) didn't have free ports for the requested pod ports"}
    short = set()
    if len(here) + 1 > int(place["status"]["allocatable"]["pods"]):
        short.add("Too many pods")
    for name, offered in (("cpu", int(place["status"]["allocatable"]["cpu"])), ("memory", 8)):
        if asked(new, name) and asked(new, name) > offered - sum(asked(each, name) for each in here):
            short.add(f"Insufficient {name}")
    return short or model_spread(new, labels, world) or model_apart(new, labels, world)


def model_spread(
    new: Object, labels: Object, world: Sequence[tuple[Object, list[Object]]]
) -> set[str] | None:
    text = "node(s) didn't match pod topology spread constraints"
    constraints = new["spec"].get("topologySpreadConstraints", [])
    keys = [each["topologyKey"] for each in constraints]
    for each in constraints:
        counts: dict[str, int] = {}
        for at, held in world:
            at_labels = at["metadata"]["labels"]
            selected = all(at_labels.get(k) == v for k, v in new["spec"].get("nodeSelector", {}).items())
            if all(key in at_labels for key in keys) and selected:
                domain = at_labels[each["topologyKey"]]
                counts[domain] = counts.get(domain, 0) + sum(
                    alike(one, each["labelSelector"]) for one in held
                )
        domain = labels.get(each["topologyKey"])
        if domain is None:
            return {f"{text} (missing required label)"}
        if (
            counts.get(domain, 0) + alike(new, each["labelSelector"]) - min(counts.values(), default=math.inf)
            > each["maxSkew"]
        ):
            return {text}
    return None


def terms_of(each: Object, kind: str) -> list[Object]:
    affinity = each["spec"].get("affinity", {}).get(kind, {})
    found: list[Object] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return found


def model_apart(new: Object, labels: Object, world: Sequence[tuple[Object, list[Object]]]) -> set[str] | None:
    def shares(at: Object, term: Object) -> bool:
        key = term["topologyKey"]
        return key in labels and at["metadata"]["labels"].get(key) == labels[key]

    near = terms_of(new, "podAffinity")
    if near:
        everybody = [each for _, held in world for each in held]
        [term] = near
        neighbours = [
            each
            for at, held in world
            if shares(at, term)
            for each in held
            if alike(each, term["labelSelector"])
        ]
        # Others count only where their node has the label at all.
        some = any(
            alike(each, term["labelSelector"])
            for at, held in world
            for each in held
            if term["topologyKey"] in at["metadata"]["labels"]
        )
        is_first = not some and alike(new, term["labelSelector"])
        assert len(everybody) >= len(neighbours)
        if term["topologyKey"] not in labels or not (neighbours or is_first):
            return {"node(s) didn't match pod affinity rules"}
    for term in terms_of(new, "podAntiAffinity"):
        if any(alike(each, term["labelSelector"]) for at, held in world if shares(at, term) for each in held):
            return {"node(s) didn't match pod anti-affinity rules"}
    for at, held in world:
        for other in held:
            for term in terms_of(other, "podAntiAffinity"):
                if shares(at, term) and alike(new, term["labelSelector"]):
                    return {"node(s) didn't satisfy existing pods anti-affinity rules"}
    return None


def model_score(new: Object, place: Object, held: list[Object]) -> int:
    """Room and balance of one node; a container that says nothing counts as 100m and 200 MiB for the room."""
    shares, rooms = [], []
    for name, offered, usual in (
        ("cpu", 1000 * int(place["status"]["allocatable"]["cpu"]), 100),
        ("memory", 8 * 2**30, 200 * 2**20),
    ):
        unit = 1000 if name == "cpu" else 2**30
        real = [asked(each, name) * unit for each in [*held, new]]
        used = sum(each or usual for each in real)
        rooms.append(max(0, offered - used) * 100 // offered)
        shares.append((min(1, sum(real[:-1]) / offered), min(1, sum(real) / offered)))
    room = sum(rooms) // 2
    if not asked(new, "cpu") and not asked(new, "memory"):
        return room
    before, after = (int((1 - abs(shares[0][i] - shares[1][i]) / 2) * 100) for i in (0, 1))
    return room + 50 + int((50 + after - before) / 2)


ZONES = st.sampled_from([None, "a", "b"])
APPS = st.sampled_from(["x", "y"])


@st.composite
def nodes(draw: Any, name: str) -> Object:
    zone = draw(ZONES)
    labels = ({} if zone is None else {ZONE: zone}) | ({"disk": "ssd"} if draw(st.booleans()) else {})
    spec: Object = {}
    if draw(st.integers(0, 5)) == 0:
        spec["unschedulable"] = True
    if draw(st.integers(0, 5)) == 0:
        spec["taints"] = [{"key": "gpu", "effect": draw(st.sampled_from(["NoSchedule", "NoExecute"]))}]
    return node(
        name, cpu=str(draw(st.integers(1, 4))), pods=str(draw(st.integers(1, 4))), labels=labels, **spec
    )


@st.composite
def pods(draw: Any, name: str) -> Object:
    spec: Object = {}
    if draw(st.integers(0, 4)) == 0:
        spec["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    if draw(st.integers(0, 4)) == 0:
        spec["nodeSelector"] = {"disk": "ssd"}
    selector = {"matchLabels": {"app": draw(APPS)}}
    topology = draw(st.sampled_from([HOSTNAME, ZONE]))
    kind = draw(st.sampled_from(["", "", "spread", "podAffinity", "podAntiAffinity"]))
    if kind == "spread":
        constraint = {
            "maxSkew": 1,
            "topologyKey": topology,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector,
        }
        spec["topologySpreadConstraints"] = [constraint]
    elif kind:
        terms = [{"topologyKey": topology, "labelSelector": selector}]
        spec["affinity"] = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    amounts = {"cpu": draw(st.integers(0, 2)), "memory": draw(st.integers(0, 3))}
    requests = {
        key: f"{number}{'Gi' if key == 'memory' else ''}" for key, number in amounts.items() if number
    }
    ports = (80,) if draw(st.integers(0, 4)) == 0 else ()
    return pod(name, labels={"app": draw(APPS)}, ports=ports, requests=requests, **spec)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_choices_are_those_of_a_plain_model(data: st.DataObject) -> None:
    """Through any history of nodes and pods, a choice is what it would be if all were looked at anew."""
    world = World()
    there: dict[str, Object] = {}
    held: dict[str, list[Object]] = {}
    for step in range(data.draw(st.integers(1, 14))):
        action = data.draw(st.sampled_from(["node", "gone", "pod", "pod", "pod", "ended"]))
        name = f"n{data.draw(st.integers(0, 3))}"
        if action == "node":
            there[name] = data.draw(nodes(name))
            held.setdefault(name, [])
            world.accounts.put_node(name, there[name])
        elif action == "gone" and name in there:
            del there[name]
            world.accounts.put_node(name, None)
        elif action == "ended" and held.get(name):
            world.accounts.remove_pod(held[name].pop()["metadata"]["uid"])
        elif action == "pod":
            new = data.draw(pods(f"p{step}"))
            state = [(there[key], held[key]) for key in sorted(there)]
            expected = [model_reason(new, place, state) for place, _ in state]
            choice = world.choose(new)
            if any(reasons is None for reasons in expected):
                fits = [
                    (place, on)
                    for (place, on), reasons in zip(state, expected, strict=True)
                    if reasons is None
                ]
                assert choice.node in [place["metadata"]["name"] for place, _ in fits]
                # Near pods are weighed beside room and balance.
                if not any(
                    "affinity" in each["spec"] for each in [new, *(one for on in held.values() for one in on)]
                ):
                    points = {place["metadata"]["name"]: model_score(new, place, on) for place, on in fits}
                    assert points[choice.node] == max(points.values())
                held[choice.node].append(new)
                world.put(choice.node, new)
            else:
                assert choice.node is None
                assert [set(each.reasons) for each in choice.refusals] == expected


def model_spread_scores(state: Sequence[tuple[Object, list[Object]]], selector: Object) -> list[int]:
    """What the scheduler's default spreading says of nodes that all fit: three a node, five a zone."""
    raw = [0.0] * len(state)
    zones = [place["metadata"]["labels"].get(ZONE) for place, _ in state]
    own = [sum(alike(each, selector) for each in held) for _, held in state]
    for at, zone in enumerate(zones):
        raw[at] += own[at] * math.log(len(state) + 2) + 2
        if zone is not None:
            there = sum(number for number, other in zip(own, zones, strict=True) if other == zone)
            raw[at] += there * math.log(len(set(zones)) + 2) + 4
    rounded = [math.floor(each + 0.5) for each in raw]
    return [100 * (max(rounded) + min(rounded) - each) // max(rounded) for each in rounded]


@settings(max_examples=100, deadline=None)
@given(zones=st.lists(ZONES, min_size=1, max_size=5), apps=st.lists(APPS, min_size=1, max_size=14))
def test_pods_that_belong_together_go_where_the_model_says(zones: list[str | None], apps: list[str]) -> None:
    """Room and default spreading, pod after pod, against sums over all pods."""
    state: list[tuple[Object, list[Object]]] = [
        (node(f"n{number}", labels={} if zone is None else {ZONE: zone}), [])
        for number, zone in enumerate(zones)
    ]
    world = World(*[place for place, _ in state])
    for number, app in enumerate(apps):
        new = pod(f"p{number}", labels={"app": app})
        choice = world.choose(new, (Requirement("app", "in", frozenset({app})),), seed=number)
        spread = model_spread_scores(state, {"matchLabels": {"app": app}})
        points = [model_score(new, *each) + 2 * more for each, more in zip(state, spread, strict=True)]
        at = next(index for index, (place, _) in enumerate(state) if place["metadata"]["name"] == choice.node)
        assert points[at] == max(points)
        state[at][1].append(new)
        world.put(state[at][0]["metadata"]["name"], new)


def test_the_model_finds_a_wrong_choice() -> None:
    """Negative control: a node that has no room is no choice of the model's."""
    place = node("a", cpu="1")
    big = pod(requests={"cpu": "2"})
    assert model_reason(big, place, [(place, [])]) == {"Insufficient cpu"}
    assert model_reason(pod(), place, [(place, [])]) is None


def test_between_equals_chance_decides_and_its_seed_decides_that() -> None:
    """Both come up, and the same seed gives the same node."""
    world = World(node("a"), node("b"))
    assert {world.choose(pod(), seed=seed).node for seed in range(20)} == {"a", "b"}
    assert len({world.choose(pod(), seed=7).node for _ in range(5)}) == 1


TAINTED = {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}
NAMED = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
            ]
        }
    }
}


@pytest.mark.parametrize(
    ("places", "new", "message"),
    [
        pytest.param([], pod(), "no nodes available to schedule pods", id="none"),
        pytest.param(
            [node("a"), node("b", cpu="1"), node("c", **TAINTED)],
            pod(requests={"cpu": "8", "memory": "9Gi"}),
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu, 2 Insufficient memory.",
            id="resources and a taint",
        ),
        pytest.param(
            [node("a", unschedulable=True), node("b", pods="0")],
            pod(),
            "0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable.",
            id="cordoned and full",
        ),
        pytest.param(
            [node("a", unschedulable=True), node("b"), node("c")],
            pod(affinity=NAMED),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            id="a node that it names",
        ),
        pytest.param(
            [node("a")],
            pod(requests={"nvidia.com/gpu": "1"}),
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            id="a resource that nobody offers",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(places: list[Object], new: Object, message: str) -> None:
    """The texts are those of kube-scheduler v1.36."""
    assert World(*places).explain(new) == message


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
    ],
)
def test_tolerations_cover_taints(toleration: Object, *, expected: bool) -> None:
    """By key, value and effect; an absent effect covers all, `Exists` without a key everything."""
    assert (World(node("a", **TAINTED)).choose(pod(tolerations=[toleration])).node == "a") is expected


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], None),
        ([{"operator": "Exists"}], math.inf),
        ([{"key": "down", "operator": "Exists", "tolerationSeconds": 5}], 5.0),
        ([{"key": "down", "operator": "Exists", "tolerationSeconds": -5}], 0.0),
        (
            [
                {"operator": "Exists", "tolerationSeconds": 9},
                {"key": "down", "operator": "Exists", "tolerationSeconds": 5},
            ],
            5.0,
        ),
        ([{"key": "up", "operator": "Exists"}], None),
    ],
)
def test_pod_may_stay_under_a_taint_for_the_shortest_toleration(
    tolerations: list[Object], expected: float | None
) -> None:
    """None: it must go at once; no limit: for ever."""
    assert tolerated_for([{"key": "down", "effect": "NoExecute"}], tolerations) == expected


def test_what_prefers_decides_between_nodes_that_fit() -> None:
    """A taint that only prefers, a preferred affinity, an image that is there, a spread: each tips the scale."""
    shunned = node("b", taints=[{"key": "old", "effect": "PreferNoSchedule"}])
    assert {World(node("a"), shunned).choose(pod(), seed=seed).node for seed in range(9)} == {"a"}
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    likes = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    fast = World(node("a"), node("b", labels={"disk": "ssd"}))
    assert {fast.choose(pod(affinity={"nodeAffinity": likes}), seed=seed).node for seed in range(9)} == {"b"}
    stocked = node("b")
    stocked["status"]["images"] = [{"names": ["i:latest"], "sizeBytes": 800 * 2**20}]
    assert {World(node("a"), stocked).choose(pod(), seed=seed).node for seed in range(9)} == {"b"}


def test_pods_of_one_owner_spread_over_nodes_unasked() -> None:
    """Unlike room, which counts a node's other pods as well, this counts those that belong together."""
    world = World(node("a"), node("b"))
    same = (Requirement("app", "in", frozenset({"x"})),)
    world.put("a", pod("first", labels={"app": "x"}))
    for number in range(3):
        world.put("b", pod(f"other{number}", labels={"app": "y"}))
    assert world.choose(pod(labels={"app": "x"}), same).node == "b"
    assert world.choose(pod(labels={"app": "x"})).node == "a"


def test_soft_affinity_is_weighed_from_both_sides() -> None:
    """A pod that would rather be apart goes elsewhere, and so does one that others would rather be apart from."""
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": "x"}}}
    rather = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "podAffinityTerm": term}]}
    world = World(node("a"), node("b"))
    world.put("a", pod("first", labels={"app": "x"}))
    world.put("b", pod("second", labels={"app": "y"}))
    apart, near = pod(affinity={"podAntiAffinity": rather}), pod(affinity={"podAffinity": rather})
    assert {world.choose(apart, seed=seed).node for seed in range(9)} == {"b"}
    assert {world.choose(near, seed=seed).node for seed in range(9)} == {"a"}
    shy = World(node("a"), node("b"))
    shy.put("a", pod("shy", labels={"app": "y"}, affinity={"podAntiAffinity": rather}))
    shy.put("b", pod("other", labels={"app": "y"}))
    assert {shy.choose(pod(labels={"app": "x"}), seed=seed).node for seed in range(9)} == {"b"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {
                "containers": [
                    {"resources": {"requests": {"cpu": "250m"}}},
                    {"resources": {"limits": {"cpu": "1"}}},
                ]
            },
            1250,
        ),
        ({"containers": [{}], "initContainers": [{"resources": {"requests": {"cpu": "2"}}}]}, 2000),
        (
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                    {"resources": {"requests": {"cpu": "3"}}},
                ],
                "overhead": {"cpu": "10m"},
            },
            4010,
        ),
        (
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "resources": {"requests": {"cpu": "3"}},
            },
            3000,
        ),
    ],
)
def test_requests_of_a_pod_are_added_up(spec: Object, expected: int) -> None:
    """Init containers run before, sidecars beside the others; a limit is a request; overhead comes on top."""
    assert count_requests(spec, {})["cpu"] == expected


# --- Preemption


def full() -> World:
    """Two nodes of one processor each, taken by pods of priority 5 and 1."""
    world = World(node("a", cpu="1"), node("b", cpu="1"))
    world.put("a", pod("five", requests={"cpu": "1"}, priority=5))
    world.put("b", pod("one", requests={"cpu": "1"}, priority=1))
    return world


def test_pod_of_lowest_priority_makes_room() -> None:
    """The node that loses least is taken, and the accounts are as before."""
    world = full()
    found = world.preempt(pod(requests={"cpu": "1"}, priority=9))
    assert (found.node, [held.uid for held in found.victims]) == ("b", ["one"])
    assert sorted(uid for each in world.accounts.nodes for uid in each.pods) == ["five", "one"]


def test_no_more_pods_go_than_have_to() -> None:
    """Of three that could go, the least important one that is enough goes, and a protected one stays."""
    world = World(node("a", cpu="3"))
    for number, name in enumerate(("old", "young", "guarded")):
        world.put("a", pod(name, requests={"cpu": "1"}), started_at=f"2026-01-0{number + 1}")
    new = pod(requests={"cpu": "1"}, priority=1)
    assert [held.uid for held in world.preempt(new).victims] == ["guarded"]
    spared = world.preempt(new, is_protected=lambda held: held.uid == "guarded")
    assert [held.uid for held in spared.victims] == ["young"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            pod(requests={"cpu": "1"}),
            "0/2 nodes are available: 2 No preemption victims found for incoming pod.",
        ),
        (pod(requests={"cpu": "1"}, priority=3), None),
        (
            pod(requests={"cpu": "2"}, priority=9),
            "0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        ),
        (
            pod(requests={"cpu": "1"}, priority=9, preemptionPolicy="Never"),
            "not eligible due to preemptionPolicy=Never.",
        ),
    ],
)
def test_where_nobody_can_make_room_it_is_said_why(new: Object, message: str | None) -> None:
    """In the scheduler's words; where somebody can, there is nothing to say."""
    found = full().preempt(new)
    assert (found.message if found.node is None else None) == message


def test_pod_that_waits_for_its_victims_takes_no_more() -> None:
    """While a pod ends on the node that was promised to it, nobody else is preempted."""
    world = World(node("a", cpu="1"))
    world.put("a", pod("one", requests={"cpu": "1"}), is_ending=True)
    found = world.preempt(pod(requests={"cpu": "1"}, priority=9), nominated="a")
    assert found.message == "not eligible due to a terminating pod on the nominated node."
