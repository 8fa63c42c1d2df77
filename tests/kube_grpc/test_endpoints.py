"""Folding EndpointSlices: against a plain model, and each trap by name."""

import copy
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.endpoints import Endpoint, EndpointSet, Known, Slice, SliceRead, fold, relist, resolve

CONDITIONS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.sampled_from([None, True, False]))
)
ENDPOINTS = st.builds(
    lambda number, conditions: {"addresses": [f"10.0.0.{number}"], "conditions": conditions},
    st.integers(1, 6),
    CONDITIONS,
)
PORTS = [{"name": "grpc", "port": 50051, "protocol": "TCP"}]
SLICES = st.builds(
    lambda name, endpoints: a_slice(name, *endpoints),
    st.sampled_from("abcd"),
    st.lists(ENDPOINTS, max_size=4),
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), SLICES),
        st.tuples(st.just("LIST"), st.lists(SLICES, max_size=3)),
    ),
    max_size=12,
)


VARIED_SLICES = st.builds(
    lambda name, endpoints, ports, family: a_slice(name, *endpoints, ports=ports, family=family),
    st.sampled_from("abcd"),
    st.lists(
        st.builds(
            lambda raw, uid, zones: {
                **raw,
                "targetRef": {"kind": "Pod", "name": f"pod-{uid}", "uid": uid},
                "hints": {"forZones": [{"name": zone} for zone in zones]},
            },
            ENDPOINTS,
            st.sampled_from(["", "u1", "u2", "u3"]),
            st.lists(st.sampled_from("xy"), max_size=2, unique=True),
        ),
        max_size=3,
    ),
    st.lists(
        st.builds(
            lambda name, port: {"name": name, "port": port},
            st.sampled_from(["grpc", "web"]),
            st.sampled_from([1, 2]),
        ),
        max_size=2,
    ),
    st.sampled_from(["IPv4", "IPv6"]),
)
VARIED_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), VARIED_SLICES),
        st.tuples(st.just("LIST"), st.lists(VARIED_SLICES, max_size=3)),
    ),
    max_size=10,
)


def a_slice(name: str, *endpoints: Any, ports: Any = PORTS, family: str = "IPv4") -> dict[str, Any]:
    """A slice; an endpoint may be given as its address alone."""
    full = [{"addresses": [item]} if isinstance(item, str) else item for item in endpoints]
    return {"metadata": {"name": name}, "addressType": family, "ports": ports, "endpoints": full}


def take_all(events: list[tuple[str, Any]]) -> Known:
    known = Known()
    for kind, item in events:
        known = relist(known, item) if kind == "LIST" else fold(known, kind, item)
    return known


def by_address(found: EndpointSet) -> dict[str, Endpoint]:
    return {item.address: item for item in found.endpoints}


class Model:
    """The same rules, written as plainly as possible: what is in live slices counts; what went with its slice
    counts if it was active then; any sign of life forgets the latter.
    """

    def __init__(self) -> None:
        self.live: dict[str, list[Any]] = {}
        self.gone: dict[str, list[Any]] = {}

    def take(self, kind: str, item: Any) -> None:
        if kind == "LIST" and item:
            self.live, self.gone = {one["metadata"]["name"]: one["endpoints"] for one in item}, {}
        elif kind == "LIST":
            self.gone.update(self.live)
            self.live = {}
        elif kind == "DELETED":
            self.live.pop(item["metadata"]["name"], None)
            self.gone[item["metadata"]["name"]] = item["endpoints"]
        else:
            self.live[item["metadata"]["name"]] = item["endpoints"]
            self.gone = {}

    @staticmethod
    def is_active(raw: Any) -> bool:
        conditions = raw["conditions"]
        return conditions.get("ready") in (None, True) and not conditions.get("terminating")

    def expected(self) -> dict[str, tuple[bool, bool]]:
        """Address -> (active, orphaned)."""
        live = [raw for endpoints in self.live.values() for raw in endpoints]
        gone = [raw for endpoints in self.gone.values() for raw in endpoints if self.is_active(raw)]
        answer = {raw["addresses"][0]: (True, True) for raw in gone}
        for raw in live:
            answer[raw["addresses"][0]] = (False, False)
        for raw in live:
            if self.is_active(raw):
                answer[raw["addresses"][0]] = (True, False)
        return answer


def compare(found: EndpointSet, model: Model) -> None:
    actual = {item.address: (item.is_active, item.orphaned) for item in found.endpoints}
    assert actual == model.expected()


@given(EVENTS)
def test_any_history_of_events_gives_the_set_of_the_model(events: list[tuple[str, Any]]) -> None:
    """Whatever came in which order, the set is what the plain rules say, each address once, in order."""
    model = Model()
    for kind, item in events:
        model.take(kind, item)

    found = resolve(take_all(events), 50051)

    compare(found, model)
    assert [item.key for item in found.endpoints] == sorted({item.key for item in found.endpoints})


@given(VARIED_EVENTS, st.sampled_from([1, 2, 3, "grpc", "web", "none"]), st.randoms(use_true_random=False))
def test_a_slice_that_was_read_before_says_the_same(
    events: list[tuple[str, Any]], port: int | str, random: Any
) -> None:
    """Slices are read once and resolved with others again and again: after each event, and in any order of slices, the
    set is what slices that are read anew give; with several ports, families and hints.
    """
    known, raw = Known(), Raw()
    for kind, item in events:
        known = relist(known, item) if kind == "LIST" else fold(known, kind, item)
        raw.take(kind, item)

        assert resolve(known, port) == resolve(raw.read_anew(random), port)


class Raw:
    """The slices as they came."""

    def __init__(self) -> None:
        self.live: dict[str, Any] = {}
        self.gone: dict[str, Any] = {}

    def take(self, kind: str, item: Any) -> None:
        if kind == "LIST":
            listed = {one["metadata"]["name"]: one for one in item}
            self.live, self.gone = listed, {} if listed else {**self.gone, **self.live}
        elif kind == "DELETED":
            self.live.pop(item["metadata"]["name"], None)
            self.gone[item["metadata"]["name"]] = item
        else:
            self.live[item["metadata"]["name"]] = item
            self.gone = {}

    def read_anew(self, random: Any) -> Known:
        """As if each had just come, in any order."""
        live, gone = (random.sample(list(items.items()), len(items)) for items in (self.live, self.gone))
        return Known(*({name: SliceRead(item) for name, item in items} for items in (live, gone)))


def test_a_client_that_reads_one_slice_as_the_whole_set_is_found_out() -> None:
    """Negative control: the classic defect, each event replacing everything, does not agree with the model."""
    events = [("ADDED", a_slice("a", {"addresses": ["10.0.0.1"], "conditions": {}}))]
    events += [("ADDED", a_slice("b", {"addresses": ["10.0.0.2"], "conditions": {}}))]
    model = Model()
    for kind, item in events:
        model.take(kind, item)

    with pytest.raises(AssertionError):
        compare(resolve(relist(Known(), [events[-1][1]]), 50051), model)


@pytest.mark.parametrize("port", [50051, "grpc", 1])
@given(st.one_of(EVENTS, VARIED_EVENTS), st.randoms(use_true_random=False))
def test_the_order_of_slices_plays_no_part(
    port: int | str, events: list[tuple[str, Any]], random: Any
) -> None:
    """The same slices in another order are the same set."""
    known = take_all(events)
    names = list(known.slices)
    random.shuffle(names)

    shuffled = Known({name: known.slices[name] for name in names}, known.departed)
    assert resolve(shuffled, port) == resolve(known, port)


@pytest.mark.parametrize(
    ("listed", "pod", "terminating"),
    [
        ([(None, {"ready": False}), (None, {"ready": False, "terminating": True})], None, False),
        ([(None, {"ready": True}), ("one", {"ready": False}), ("two", {"ready": False})], "two", False),
    ],
    ids=["going", "nameless"],
)
def test_an_address_in_several_slices(
    listed: list[tuple[str | None, dict[str, bool]]], pod: str | None, terminating: bool
) -> None:
    """What is known of it does not hang on the order, where one says less than another and where none is better."""
    items = []
    for number, (name, conditions) in enumerate(listed):
        target = {} if name is None else {"targetRef": {"kind": "Pod", "name": name}}
        items.append(a_slice(f"s{number}", {"addresses": ["10.0.0.1"], "conditions": conditions, **target}))
    found = [resolve(relist(Known(), order), 50051).endpoints for order in itertools.permutations(items)]

    assert set(found) == {found[0]}
    assert (found[0][0].pod, found[0][0].terminating) == (pod, terminating)


@given(st.lists(SLICES, min_size=1, max_size=4, unique_by=lambda item: item["metadata"]["name"]), st.data())
def test_a_deleted_service_takes_no_active_address_away(slices: list[Any], data: Any) -> None:
    """Its slices are deleted one after the other, in any order, or are missing from a list: who was ready
    stays.
    """
    known = relist(Known(), slices)
    before = {item.key for item in resolve(known, 50051).endpoints if item.is_active}
    deleted = data.draw(st.permutations(slices))
    cut = data.draw(st.integers(0, len(slices)))

    for item in deleted[:cut]:
        known = fold(known, "DELETED", item)
    known = relist(known, []) if cut < len(slices) else known

    found = resolve(known, 50051)
    assert {item.key for item in found.endpoints if item.is_active} == before
    assert all(item.orphaned for item in found.endpoints)
    assert found.slices == 0


@given(EVENTS)
def test_what_the_api_sent_is_never_changed(events: list[tuple[str, Any]]) -> None:
    """Slices are read, not written: they may be shared with other readers."""
    before = copy.deepcopy(events)

    resolve(take_all(events), 50051)

    assert events == before


def test_an_empty_slice_is_obeyed() -> None:
    """Scaled to zero leaves a slice without endpoints (nil, in fact), and that empties the set."""
    known = take_all([("ADDED", a_slice("a", "10.0.0.1"))])
    scaled = {**a_slice("a"), "endpoints": None, "ports": None}

    found = resolve(fold(known, "MODIFIED", scaled), 50051)

    assert found == EndpointSet((), slices=1)


def test_a_slice_deleted_after_its_endpoints_moved() -> None:
    """An endpoint that moved to another slice is there once, and not orphaned when its old slice goes."""
    known = take_all([("ADDED", a_slice("a", "10.0.0.1")), ("ADDED", a_slice("b", "10.0.0.1", "10.0.0.2"))])

    found = resolve(fold(known, "DELETED", a_slice("a", "10.0.0.1")), 50051)

    assert [(item.address, item.orphaned) for item in found.endpoints] == [
        ("10.0.0.1", False),
        ("10.0.0.2", False),
    ]


def test_a_slice_deleted_with_endpoints_that_were_going() -> None:
    """What was terminating or not ready when its slice was deleted is gone with it."""
    going = {"addresses": ["10.0.0.1"], "conditions": {"ready": False, "serving": True, "terminating": True}}
    known = take_all([("ADDED", a_slice("a", going)), ("ADDED", a_slice("b", "10.0.0.2"))])

    found = resolve(fold(known, "DELETED", a_slice("a", going)), 50051)

    assert list(by_address(found)) == ["10.0.0.2"]


def test_a_service_made_again_forgets_the_orphans() -> None:
    """The first slice of the new Service is obeyed to the letter, even if it is empty."""
    known = take_all([("ADDED", a_slice("a", "10.0.0.1")), ("DELETED", a_slice("a", "10.0.0.1"))])
    assert list(by_address(resolve(known, 50051))) == ["10.0.0.1"]

    found = resolve(fold(known, "ADDED", a_slice("a2")), 50051)

    assert found.endpoints == ()


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, (True, True, False)),
        (None, (True, True, False)),
        ({"ready": None, "serving": None, "terminating": None}, (True, True, False)),
        ({"ready": False}, (False, False, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
        ({"ready": True, "serving": False}, (True, False, False)),
    ],
)
def test_nil_conditions(conditions: Any, expected: tuple[bool, bool, bool]) -> None:
    """Nil ready is ready, nil serving follows ready, nil terminating is not terminating."""
    known = take_all([("ADDED", a_slice("a", {"addresses": ["10.0.0.1"], "conditions": conditions}))])

    (found,) = resolve(known, 50051).endpoints

    assert (found.ready, found.serving, found.terminating) == expected


def test_a_duplicate_counts_once_and_by_its_better_state() -> None:
    """An address in two slices, one of them stale, is there once, and ready."""
    stale = {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": False},
        "targetRef": {"kind": "Pod", "name": "x"},
    }
    for first, second in itertools.permutations([a_slice("a", stale), a_slice("b", "10.0.0.1")]):
        (found,) = resolve(take_all([("ADDED", first), ("ADDED", second)]), 50051).endpoints

        assert (found.is_active, found.pod) == (True, "x")


def test_a_duplicate_with_other_hints() -> None:
    """Which hints count does not depend on which slice was read first."""
    one, other = (
        a_slice(name, {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": name}]}}) for name in "xy"
    )

    both, turned = relist(Known(), [one, other]), relist(Known(), [other, one])
    assert resolve(both, 50051) == resolve(turned, 50051)
    assert resolve(relist(both, []), 50051) == resolve(relist(turned, []), 50051)


NAMED = [{"name": "grpc", "port": 8080}, {"name": "metrics", "port": 9090}]


@pytest.mark.parametrize(
    ("ports", "wanted", "expected"),
    [
        ([{"name": "grpc", "port": 8080}], 50051, 8080),  # one port: the Service's number plays no part
        ([{"name": None, "port": 8080}], 50051, 8080),
        ([{"name": "grpc", "port": 8080}], "grpc", 8080),
        (NAMED, "metrics", 9090),
        (NAMED, 9090, 9090),
        ([*NAMED, {"name": "udp", "port": 53, "protocol": "UDP"}], 8080, 8080),
        ([{"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "grpc", "port": 8080}], 50051, 8080),
        ([{"name": "any", "port": None}, {"name": "grpc", "port": 8080}], 50051, 8080),
    ],
)
def test_which_port_is_dialled(ports: Any, wanted: int | str, expected: int) -> None:
    """One port is the port; of several, the one of that name or of that pod port. Only TCP counts."""
    (found,) = resolve(take_all([("ADDED", a_slice("a", "10.0.0.1", ports=ports))]), wanted).endpoints

    assert found.port == expected


@pytest.mark.parametrize(
    ("ports", "wanted", "note"),
    [
        (
            NAMED,
            50051,
            'no port matches "50051": the slices have grpc=8080, metrics=9090 (name=port of the pods); ',
        ),
        (
            NAMED,
            "web",
            'no port matches "web": the slices have grpc=8080, metrics=9090 (name=port of the pods); ',
        ),
        (
            [{"name": "", "port": 1}],
            "web",
            'no port matches "web": the slices have (unnamed)=1 (name=port of the pods); ',
        ),
    ],
)
def test_a_port_that_is_not_there(ports: Any, wanted: int | str, note: str) -> None:
    """Nothing is dialled on a guess, and the note lists what could have been asked for."""
    found = resolve(take_all([("ADDED", a_slice("a", "10.0.0.1", ports=ports))]), wanted)

    assert found.endpoints == ()
    assert found.notes[0].startswith(note)
    hint = "name the port of the Service" if isinstance(wanted, int) else "use one of these names"
    assert found.notes[0].endswith(hint)


def test_whether_there_is_one_port_is_decided_over_all_slices() -> None:
    """A slice of pods that lack the named port carries only the other one: it must not be taken for the
    wanted one.
    """
    events = [
        ("ADDED", a_slice("a", "10.0.0.1", ports=NAMED)),
        ("ADDED", a_slice("b", "10.0.0.2", ports=NAMED[1:])),
    ]

    found = resolve(take_all(events), 8080)

    assert [item.key for item in found.endpoints] == [("10.0.0.1", 8080)]


def test_pods_with_different_target_ports() -> None:
    """During a rollout that changes the targetPort, each slice's endpoints are dialled on that slice's port."""
    new = [{"name": "grpc", "port": 9000}]
    events = [("ADDED", a_slice("a", "10.0.0.1")), ("ADDED", a_slice("b", "10.0.0.2", ports=new))]

    found = resolve(take_all(events), "grpc")

    assert [item.key for item in found.endpoints] == [("10.0.0.1", 50051), ("10.0.0.2", 9000)]


def dual(address: str, uid: str) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {}, "targetRef": {"kind": "Pod", "name": uid, "uid": uid}}


def test_a_dual_stack_pod_is_one_member() -> None:
    """A pod listed in both families is dialled by IPv4; a pod that has only IPv6 is dialled by that."""
    events = [
        ("ADDED", a_slice("six", dual("fd00::1", "one"), dual("fd00::2", "two"), family="IPv6")),
        ("ADDED", a_slice("four", dual("10.0.0.1", "one"))),
        ("ADDED", a_slice("name", "greeter.example.test", family="FQDN")),
    ]

    found = resolve(take_all(events), 50051)

    assert [item.uri for item in found.endpoints] == ["ipv4:10.0.0.1:50051", "ipv6:[fd00::2]:50051"]


def test_slices_made_by_hand_need_no_pod() -> None:
    """Endpoints without a targetRef (an external database, say) are as good as others, in both families."""
    slices: list[Slice] = [a_slice("a", "10.0.0.1"), a_slice("b", "fd00::1", "fd00::2", family="IPv6")]

    found = resolve(relist(Known(), slices), 50051)

    assert len(found.endpoints) == 3
    assert {item.pod for item in found.endpoints} == {None}
