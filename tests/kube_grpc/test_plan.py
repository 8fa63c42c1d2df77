"""Plans: the promises of `plan`, for any held and any wanted."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.endpoints import Endpoint, EndpointSet, Key
from kube_grpc.plan import Plan, draw_up, serving

ENDPOINTS = st.builds(
    Endpoint,
    address=st.sampled_from([f"10.0.0.{number}" for number in range(1, 9)]),
    port=st.just(50051),
    ready=st.booleans(),
    serving=st.booleans(),
    terminating=st.booleans(),
    orphaned=st.booleans(),
)
WANTED = st.lists(ENDPOINTS, max_size=8, unique_by=lambda item: item.key).map(
    lambda items: EndpointSet(tuple(items))
)
KEYS = st.sets(st.sampled_from([(f"10.0.0.{number}", 50051) for number in range(1, 9)]))


def an_endpoint(number: int, **conditions: bool) -> Endpoint:
    return Endpoint(f"10.0.0.{number}", 50051, **conditions)


@given(KEYS, WANTED, KEYS)
def test_everything_held_is_kept_or_drained_and_nothing_else(
    held: set[Key], wanted: EndpointSet, evicted: set[Key]
) -> None:
    """keep and drain part what is held; open is disjoint from it; nothing is named twice."""
    steps = draw_up(held, wanted, evicted=evicted)
    kept = [item.key for item in steps.keep]
    opened = [item.key for item in steps.open]

    assert sorted(kept + list(steps.drain)) == sorted(held)
    assert not set(opened) & held
    assert len(set(opened)) == len(opened)


@given(KEYS, WANTED, KEYS)
def test_every_ready_endpoint_is_a_member_afterwards(
    held: set[Key], wanted: EndpointSet, evicted: set[Key]
) -> None:
    """Every active endpoint is opened or kept, unless it was evicted; an orphaned one only if it was held."""
    steps = draw_up(held, wanted, evicted=evicted)
    after = {item.key for item in (*steps.open, *steps.keep)}

    for item in wanted.endpoints:
        if item.is_active and item.key not in evicted:
            assert (item.key in after) == (not item.orphaned or item.key in held)


@given(KEYS, WANTED, KEYS)
def test_useless_endpoints_are_never_members(held: set[Key], wanted: EndpointSet, evicted: set[Key]) -> None:
    """Neither active nor reserve, or evicted, or not listed: drained if held."""
    steps = draw_up(held, wanted, evicted=evicted)
    useful = {item.key for item in wanted.endpoints if item.is_active or item.is_reserve} - evicted

    assert {item.key for item in (*steps.open, *steps.keep)} <= useful


@given(KEYS, KEYS)
def test_nothing_known_changes_nothing(held: set[Key], evicted: set[Key]) -> None:
    """An API that is away or refuses never takes a member away."""
    assert draw_up(held, None, evicted=evicted) == Plan()


@given(KEYS, WANTED)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(held: set[Key], wanted: EndpointSet) -> None:
    """The same set again opens and drains nothing."""
    steps = draw_up(held, wanted)
    again = draw_up({item.key for item in (*steps.open, *steps.keep)}, wanted)

    assert (again.open, again.drain) == ((), ())


def test_a_terminating_endpoint_that_is_held_stays_as_reserve() -> None:
    """Its calls in flight go on, and it is there if nothing else is."""
    going = an_endpoint(1, ready=False, serving=True, terminating=True)

    steps = draw_up({going.key}, EndpointSet((going, an_endpoint(2))))

    assert (steps.keep, steps.drain) == ((going,), ())


def test_a_terminating_endpoint_is_not_opened_while_others_are_ready() -> None:
    """A client that comes late does not connect to pods that are about to go."""
    going = an_endpoint(1, ready=False, serving=True, terminating=True)

    assert draw_up(set(), EndpointSet((going, an_endpoint(2)))).open == (an_endpoint(2),)


def test_a_terminating_endpoint_is_opened_when_there_is_nothing_else() -> None:
    """A client that starts in the last seconds of all pods still gets answers."""
    going = an_endpoint(1, ready=False, serving=True, terminating=True)

    assert draw_up(set(), EndpointSet((going,))).open == (going,)


def test_an_orphaned_endpoint_is_not_opened() -> None:
    """The address of a deleted Service's pod may belong to somebody else by now."""
    orphan = an_endpoint(1, orphaned=True)

    assert draw_up(set(), EndpointSet((orphan,))) == Plan()
    assert draw_up({orphan.key}, EndpointSet((orphan,))).keep == (orphan,)


@dataclass
class AMember:
    endpoint: Endpoint
    is_connected: bool
    is_ejected: bool


@given(
    st.lists(
        st.builds(AMember, ENDPOINTS, st.booleans(), st.booleans()),
        max_size=8,
        unique_by=lambda item: item.endpoint.key,
    )
)
def test_who_serves(members: list[AMember]) -> None:
    """Connected active members that are not ejected; without any, connected reserves; without those, ejected ones;
    never one that is not connected; in order.
    """
    chosen = serving(members)
    connected = [item for item in members if item.is_connected]
    active = [item for item in connected if item.endpoint.is_active]
    groups = (
        [item for item in active if not item.is_ejected],
        [item for item in connected if item.endpoint.is_reserve],
        active,
    )
    expected: list[AMember] = next((group for group in groups if group), [])

    assert list(chosen) == sorted(expected, key=lambda item: item.endpoint.key)


@given(
    st.lists(
        st.builds(AMember, ENDPOINTS, st.booleans(), st.booleans()),
        max_size=8,
        unique_by=lambda item: item.endpoint.key,
    ),
    st.lists(st.sampled_from([(), ("a",), ("b",), ("a", "b")]), min_size=8, max_size=8),
)
def test_a_zone_is_preferred_where_hints_are_whole(
    members: list[AMember], hints: list[tuple[str, ...]]
) -> None:
    """Those hinted for the zone serve if there are any and every active one has hints; else the same as without one."""
    hinted = [
        AMember(replace(item.endpoint, zones=zones), item.is_connected, item.is_ejected)
        for item, zones in zip(members, hints, strict=False)
    ]
    near, everybody = serving(hinted, "a"), serving(hinted)
    active = [item for item in hinted if item.is_connected and item.endpoint.is_active]
    here = [item for item in active if not item.is_ejected and "a" in item.endpoint.zones]

    if here and all(item.endpoint.zones for item in active):
        assert list(near) == sorted(here, key=lambda item: item.endpoint.key)
    else:
        assert near == everybody
