"""Which volume a claim gets, against a plain model; and what nodes a pod's claims leave it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from simcluster.controllers import binding
from simcluster.controllers.scheduling.accounts import NodeAccount
from simcluster.controllers.scheduling.volumes import UNBOUND, VolumeAsk, read_volume_ask

Object = dict[str, Any]
MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")
NODES = ("a", "b", "c")
WAITING = {
    "metadata": {"name": "w"},
    "provisioner": binding.NO_PROVISIONER,
    "volumeBindingMode": "WaitForFirstConsumer",
}


def claim(
    name: str = "c", *, uid: str = "1", size: int = 1, modes: Sequence[str] = MODES[:1], **spec: Any
) -> Object:
    """A claim for so many bytes of the class `w`."""
    asked = {"resources": {"requests": {"storage": str(size)}}, "accessModes": list(modes)}
    metadata = {"namespace": "d", "name": name, "uid": uid, "resourceVersion": "7"}
    return {
        "metadata": metadata,
        "spec": {"storageClassName": "w", "volumeMode": "Filesystem"} | asked | spec,
    }


def volume(
    name: str = "v", *, size: int = 1, modes: Sequence[str] = MODES[:1], phase: str = "Available", **spec: Any
) -> Object:
    """A volume of so many bytes of the class `w`."""
    has = {"capacity": {"storage": str(size)}, "accessModes": list(modes)}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"name": name}},
        "spec": {"storageClassName": "w", "volumeMode": "Filesystem"} | has | spec,
        "status": {"phase": phase},
    }


def within(nodes: Sequence[str]) -> Object:
    """The affinity of a volume that only these nodes reach."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": list(nodes)}]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}


some_modes = st.lists(st.sampled_from(MODES), min_size=1, max_size=3, unique=True)
references = st.one_of(
    st.none(),
    st.builds(
        lambda name, uid: {"namespace": "d", "name": name} | ({"uid": uid} if uid else {}),
        st.sampled_from(["c", "other"]),
        st.sampled_from(["", "1", "2"]),
    ),
)


@st.composite
def volumes(draw: st.DrawFn) -> list[Object]:
    """Volumes that differ in all that matters."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        reference = draw(references)
        spec: Object = {} if reference is None else {"claimRef": reference}
        spec |= {"storageClassName": draw(st.sampled_from(["w", "w", "x"]))}
        spec |= {"volumeMode": draw(st.sampled_from(["Filesystem", "Filesystem", "Block"]))}
        reached = draw(st.none() | st.lists(st.sampled_from(NODES), unique=True))
        spec |= {} if reached is None else within(reached)
        phase = draw(st.sampled_from(["Available", "Available", "Released", "Pending"]))
        made = volume(f"v{number}", size=draw(st.integers(1, 4)), modes=draw(some_modes), phase=phase, **spec)
        if draw(st.integers(0, 7)) == 0:
            made["metadata"]["deletionTimestamp"] = "now"
        found.append(made)
    return found


def model(wanted: Object, found: list[Object]) -> str | None:
    """The name of the volume that a claim gets, said in another way: all that may be, then the best of them."""
    size = int(wanted["spec"]["resources"]["requests"]["storage"])
    named, free = [], []
    for each in found:
        spec = each["spec"]
        if "deletionTimestamp" in each["metadata"] or int(spec["capacity"]["storage"]) < size:
            continue
        if spec["volumeMode"] != wanted["spec"]["volumeMode"]:
            continue
        if any(mode not in spec["accessModes"] for mode in wanted["spec"]["accessModes"]):
            continue
        reference = spec.get("claimRef")
        if reference is not None:
            if reference["name"] == "c" and reference.get("uid", "1") == "1":
                named.append(each)
            continue
        if each["status"]["phase"] == "Available" and spec["storageClassName"] == "w":
            free.append(each)
    best: Object | None = None
    for each in named or free:
        rank = (len(each["spec"]["accessModes"]), int(each["spec"]["capacity"]["storage"]))
        if best is None or rank < (
            len(best["spec"]["accessModes"]), int(best["spec"]["capacity"]["storage"])
        ):  # fmt: skip
            best = each
    return None if best is None else best["metadata"]["name"]


@given(volumes(), st.integers(1, 4), some_modes)
@example([volume("v0", size=3), volume("v1", size=2), volume("v2", size=1)], 2, ["ReadWriteOnce"])
def test_the_volume_of_a_claim(found: list[Object], size: int, modes: list[str]) -> None:
    """The one that names it; else, of those that are free and fit, the one with fewest modes, then the smallest."""
    wanted = claim(size=size, modes=modes)
    chosen = binding.find_volume(wanted, found)
    assert (None if chosen is None else chosen["metadata"]["name"]) == model(wanted, found)


@given(volumes(), st.integers(1, 4))
def test_a_claim_that_waits_is_given_none_but_its_own(found: list[Object], size: int) -> None:
    """Before its pod is there, a claim of a waiting class gets only a volume that names it."""
    chosen = binding.find_volume(claim(size=size), found, waits=True)
    assert chosen is None or binding.names(chosen, claim(size=size))


@given(volumes(), st.integers(1, 4))
def test_both_sides_of_a_tie_are_written_once(found: list[Object], size: int) -> None:
    """What is tied is bound, names the other side, and is not written again; untied, it is free or names as before."""
    wanted = claim(size=size)
    chosen = binding.find_volume(wanted, found)
    if chosen is None:
        return
    tied = binding.tie_volume(chosen, wanted) or chosen
    assert (binding.names(tied, wanted), binding.tie_volume(tied, wanted)) == (True, None)
    bound = binding.tie_claim(wanted, tied)
    assert bound is not None
    assert (binding.is_bound(bound), binding.tie_claim(bound, tied)) == (True, None)
    assert binding.unfinished(tied, bound) == "Bound"
    assert binding.unfinished(tied, None) == "Released"
    before = chosen["spec"].get("claimRef")
    after = binding.untie_volume(tied)["spec"].get("claimRef")
    assert after == (None if before is None else {"namespace": "d", "name": "c"})


@given(volumes(), st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_the_claims_of_one_pod_get_a_volume_each(found: list[Object], sizes: list[int]) -> None:
    """On a node that does, every claim has a volume of its own, free, large enough and reached; on no other node."""
    waiting = tuple(claim(f"c{i}", uid=f"u{i}", size=size) for i, size in enumerate(sizes))
    ask = VolumeAsk(waiting=waiting, volumes=tuple(found), classes={"w": WAITING})
    for name in NODES:
        node = NodeAccount(name)
        plan = ask.plan(node)
        assert (plan is None) == (ask.refuse(node) is not None)
        usable = [each for each in found if _may_be_used(each, name)]
        if plan is None:
            # Not even with as many volumes as there are of every size.
            fitting = [sum(int(v["spec"]["capacity"]["storage"]) >= size for v in usable) for size in sizes]
            ranked = sorted(zip(sizes, fitting, strict=True), reverse=True)
            assert any(number < place for place, (_, number) in enumerate(ranked, 1)) or _has_modes_to_choose(
                usable
            )
            continue
        assert plan.make == ()
        taken = [each["metadata"]["name"] for _, each in plan.tie]
        assert len(set(taken)) == len(sizes)
        for wanted, each in plan.tie:
            assert each in usable
            assert binding.capacity_of(each) >= binding.size_of(wanted)
        asked = [binding.size_of(wanted) for wanted, _ in plan.tie]
        assert all(one <= other for one, other in pairwise(asked))


def _may_be_used(each: Object, node: str) -> bool:
    spec = each["spec"]
    required = spec.get("nodeAffinity")
    reached = (
        required is None or node in required["required"]["nodeSelectorTerms"][0]["matchFields"][0]["values"]
    )
    return (
        "claimRef" not in spec
        and "deletionTimestamp" not in each["metadata"]
        and each["status"]["phase"] == "Available"
        and (spec["storageClassName"], spec["volumeMode"]) == ("w", "Filesystem")
        and "ReadWriteOnce" in spec["accessModes"]
        and reached
    )


def _has_modes_to_choose(usable: list[Object]) -> bool:
    """Whether a volume with fewer modes may have been taken for a claim that a smaller one would have done for."""
    return len({len(each["spec"]["accessModes"]) for each in usable}) > 1


def test_what_keeps_a_pod_from_being_looked_at() -> None:
    """Each thing that may be the matter with a claim, in the scheduler's words."""
    bound = binding.annotate(claim("bound", volumeName="v"), {binding.COMPLETED: "yes"})
    lost = bound | {"status": {"phase": "Lost"}}
    going = claim("going")
    going["metadata"]["deletionTimestamp"] = "now"
    cases: list[tuple[Object | None, str | None]] = [
        (None, 'persistentvolumeclaim "x" not found'),
        (lost, 'persistentvolumeclaim "x" bound to non-existent persistentvolume "v"'),
        (going, 'persistentvolumeclaim "x" is being deleted'),
        (claim(storageClassName="at once"), UNBOUND),
        (claim(volumeName="v"), UNBOUND),
        (claim(), None),
        (bound, None),
    ]
    for found, text in cases:
        ask = _read([{"name": "data", "persistentVolumeClaim": {"claimName": "x"}}], found)
        assert (ask if isinstance(ask, str) else None) == text
    assert isinstance(_read([{"name": "data", "emptyDir": {}}], None), VolumeAsk)


def _read(mounted: list[Object], found: Object | None) -> VolumeAsk | str:
    return read_volume_ask(
        {"metadata": {"namespace": "d", "name": "p"}, "spec": {"volumes": mounted}},
        claims=lambda _name: found,
        volumes=lambda name: volume(name),
        classes={"w": WAITING},
        every=(),
        is_taken=lambda _claim: False,
    )


def test_where_a_volume_may_be_made() -> None:
    """On any node that the class allows; once one is chosen, there alone; nowhere without a provisioner."""
    made = WAITING | {"provisioner": "example.com/x"}
    zoned = made | {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["1"]}]}]}
    node, other = NodeAccount("a"), NodeAccount("b")
    node.labels = {"zone": "1"}
    chosen = binding.annotate(claim(), {binding.SELECTED_NODE: "a"})
    for of_class, wanted, here, there in (
        (made, claim(), True, True),
        (zoned, claim(), True, False),
        (made, chosen, True, False),
        (WAITING, claim(), False, False),
    ):
        ask = VolumeAsk(waiting=(wanted,), classes={"w": of_class})
        assert [ask.refuse(each) is None for each in (node, other)] == [here, there]
