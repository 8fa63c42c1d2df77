"""The DaemonSet controller, over the real registry, and what it decides: where pods belong and which go next."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import BEGIN, Cluster, FakeNode, node, simulate, template

from simcluster.controllers import daemons, eligibility, history
from simcluster.controllers.daemons import NodeView
from simcluster.errors import Conflict, NotFound
from simcluster.store import Event, Object

DS = "daemonsets.apps"


def daemon_set(
    name: str = "agent", *, image: str = "agent:1", pod: Object | None = None, **spec: Any
) -> Object:
    """A DaemonSet of pods labelled app=greeter; `pod` is put into its pods' spec."""
    wanted = template(image)
    # The tests bind the pods, each to the node that it is meant for.
    wanted["spec"] |= {"schedulerName": "test"} | (pod if pod is not None else {})
    spec = {"selector": {"matchLabels": {"app": "greeter"}}, "template": wanted} | spec
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": spec}


def bind_pods(cluster: Cluster) -> None:
    """Give each new pod to the node that its affinity names, as the scheduler does."""

    def bind(pod: Object) -> None:
        target = eligibility.node_of(pod)
        nodes = {each["metadata"]["name"] for each in cluster.list("nodes", None)}
        if target in nodes and not pod["spec"].get("nodeName"):
            try:
                cluster.registry.bind(pod["metadata"]["namespace"], pod["metadata"]["name"], str(target))
            except (Conflict, NotFound):
                return

    def notice(event: Event) -> None:
        if event.type == "ADDED":
            asyncio.get_running_loop().call_soon(bind, event.object)

    cluster.registry.listen("pods", notice)


def nodes_with(cluster: Cluster, count: int) -> list[FakeNode]:
    """Nodes that run pods, beside node-1."""
    bind_pods(cluster)
    return [FakeNode(cluster.registry, f"node-{number}") for number in range(2, count + 1)]


def where(cluster: Cluster) -> dict[str, str]:
    """Node -> image of the pods that stay."""
    return {pod["spec"].get("nodeName", ""): pod["spec"]["containers"][0]["image"] for pod in cluster.pods()}


def status(cluster: Cluster) -> Object:
    """The status of the DaemonSet."""
    found: Object = cluster.get(DS, "agent")["status"]
    return found


def test_each_node_gets_one_pod_and_a_new_node_too() -> None:
    """Labels, affinity by name, tolerations, counts and events as on a real cluster; a lost pod is made again."""

    async def story(cluster: Cluster) -> None:
        nodes_with(cluster, 2)
        cluster.apply(DS, daemon_set())
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-1", "node-2"]
        [revision] = cluster.list(history.REVISIONS)
        pod = next(pod for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-1")
        mark = revision["metadata"]["labels"]["controller-revision-hash"]
        assert revision["metadata"]["name"] == f"agent-{mark}"
        assert pod["metadata"]["labels"] == {
            "app": "greeter",
            "controller-revision-hash": mark,
            "pod-template-generation": "1",
        }
        required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        field = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}
        assert required == {"nodeSelectorTerms": [{"matchFields": [field]}]}
        tolerated = [(each["key"].rpartition("/")[2], each["effect"]) for each in pod["spec"]["tolerations"]]
        assert tolerated == [
            ("not-ready", "NoExecute"),
            ("unreachable", "NoExecute"),
            ("disk-pressure", "NoSchedule"),
            ("memory-pressure", "NoSchedule"),
            ("pid-pressure", "NoSchedule"),
            ("unschedulable", "NoSchedule"),
        ]
        assert status(cluster) == {
            "observedGeneration": 1,
            "desiredNumberScheduled": 2,
            "currentNumberScheduled": 2,
            "numberMisscheduled": 0,
            "numberReady": 2,
            "updatedNumberScheduled": 2,
            "numberAvailable": 2,
        }
        FakeNode(cluster.registry, "node-3")
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-1", "node-2", "node-3"]
        assert len(cluster.events("SuccessfulCreate")) == 3
        cluster.registry.delete("pods", "default", pod["metadata"]["name"])
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-1", "node-2", "node-3"]

    simulate(story)


def test_labels_and_taints_of_a_node_decide() -> None:
    """A label that goes takes the pod along; NoSchedule leaves it where it is, misscheduled; NoExecute ends it."""

    async def story(cluster: Cluster) -> None:
        nodes_with(cluster, 2)
        cluster.edit("nodes", "node-1", {"metadata": {"labels": {"disk": "fast"}}}, None)
        cluster.apply(DS, daemon_set(pod={"nodeSelector": {"disk": "fast"}}))
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-1"]
        cluster.edit("nodes", "node-2", {"metadata": {"labels": {"disk": "fast"}}}, None)
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-1", "node-2"]
        cluster.edit("nodes", "node-1", {"metadata": {"labels": None}}, None)
        taint = {"key": "mine", "effect": "NoSchedule"}
        cluster.edit("nodes", "node-2", {"spec": {"taints": [taint]}}, None)
        await cluster.settle()
        assert sorted(where(cluster)) == ["node-2"]
        counts = status(cluster)
        assert (counts["desiredNumberScheduled"], counts["numberMisscheduled"]) == (0, 1)
        cluster.edit("nodes", "node-2", {"spec": {"taints": [taint | {"effect": "NoExecute"}]}}, None)
        await cluster.settle()
        assert where(cluster) == {}

    simulate(story)


@pytest.mark.parametrize(
    ("rolling", "most_out", "most_pods"),
    [
        ({"maxUnavailable": 1}, 1, 4),
        ({"maxUnavailable": "50%"}, 2, 4),
        ({"maxSurge": 1, "maxUnavailable": 0}, 0, 5),
    ],
)
def test_a_new_template_rolls_over_the_nodes(rolling: Object, most_out: int, most_pods: int) -> None:
    """No more nodes than allowed are without a ready pod, no more pods than allowed are beside the old ones."""

    async def story(cluster: Cluster) -> None:
        nodes_with(cluster, 4)
        cluster.apply(DS, daemon_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling}))
        await cluster.settle()
        faults = []

        def look(_event: Event) -> None:
            staying = cluster.pods()
            ready = {
                pod["spec"].get("nodeName")
                for pod in staying
                if any(
                    each["type"] == "Ready" and each["status"] == "True"
                    for each in pod["status"].get("conditions", ())
                )
            }
            if len(ready) < 4 - most_out or len(staying) > most_pods:
                faults.append((len(ready), len(staying)))

        cluster.registry.listen("pods", look)
        changed = daemon_set(image="agent:2")["spec"]["template"]
        cluster.edit(DS, "agent", {"spec": {"template": changed}})
        await cluster.settle()
        assert where(cluster) == {f"node-{number}": "agent:2" for number in range(1, 5)}
        assert faults == []
        assert cluster.pods()[0]["metadata"]["labels"]["pod-template-generation"] == "2"
        assert status(cluster)["updatedNumberScheduled"] == 4
        assert len(cluster.list(history.REVISIONS)) == 2

    simulate(story)


def test_on_delete_replaces_what_somebody_deletes() -> None:
    """And nothing else; the status tells how many are of the newest template."""

    async def story(cluster: Cluster) -> None:
        nodes_with(cluster, 2)
        cluster.apply(DS, daemon_set(updateStrategy={"type": "OnDelete"}))
        await cluster.settle()
        cluster.edit(DS, "agent", {"spec": {"template": daemon_set(image="agent:2")["spec"]["template"]}})
        await cluster.settle()
        assert set(where(cluster).values()) == {"agent:1"}
        [victim] = [pod for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-2"]
        cluster.registry.delete("pods", "default", victim["metadata"]["name"])
        await cluster.settle()
        assert where(cluster) == {"node-1": "agent:1", "node-2": "agent:2"}
        assert status(cluster)["updatedNumberScheduled"] == 1

    simulate(story)


def test_a_failed_pod_is_replaced_and_the_next_one_later() -> None:
    """With an event; the wait doubles."""

    async def story(cluster: Cluster) -> None:
        bind_pods(cluster)
        cluster.apply(DS, daemon_set())
        failed_at = []
        for _ in range(3):
            await cluster.until(lambda: status(cluster)["numberReady"] == 1)
            name = cluster.pods()[0]["metadata"]["name"]
            failed = {"status": {"phase": "Failed", "conditions": []}}
            cluster.registry.patch("pods", "default", name, failed, "merge", subresource="status")
            await cluster.until(
                lambda name=name: name not in [each["metadata"]["name"] for each in cluster.pods()]
            )
            failed_at.append(cluster.registry.clock())
            await cluster.until(lambda name=name: name not in cluster.names("pods"))
        lasted_s = [after - before for before, after in itertools.pairwise(failed_at)]
        assert lasted_s[0] > 0.099
        assert lasted_s[1] > 0.199
        [said, *_] = cluster.events("FailedDaemonPod")
        assert said.startswith("Found failed daemon pod default/agent-")
        assert said.endswith(" on node node-1, will try to kill it")

    simulate(story)


def test_pods_go_with_their_daemon_set_and_history_is_kept_short() -> None:
    """Revisions beyond the limit are deleted; all of it is collected in the end."""

    async def story(cluster: Cluster) -> None:
        bind_pods(cluster)
        cluster.apply(DS, daemon_set(revisionHistoryLimit=1))
        for number in range(2, 5):
            await cluster.settle()
            changed = daemon_set(image=f"agent:{number}")["spec"]["template"]
            cluster.edit(DS, "agent", {"spec": {"template": changed}})
        await cluster.settle()
        assert sorted(each["revision"] for each in cluster.list(history.REVISIONS)) == [3, 4]
        cluster.registry.delete(DS, "default", "agent", propagation="Background")
        await cluster.settle()
        assert (cluster.list("pods"), cluster.list(history.REVISIONS)) == ([], [])

    simulate(story)


def affine(*terms: Object) -> Object:
    """A pod's spec with required node affinity."""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({}, True),
        ({"nodeName": "a"}, True),
        ({"nodeName": "b"}, False),
        ({"nodeSelector": {"zone": "1"}}, True),
        ({"nodeSelector": {"zone": "2"}}, False),
        (affine({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1", "2"]}]}), True),
        (affine({"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["1"]}]}), False),
        (affine({}), False),
        (affine({}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}), True),
        (affine({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["a"]}]}), False),
    ],
)
def test_a_node_is_eligible_by_its_name_and_labels(pod: Object, *, expected: bool) -> None:
    """Of several terms one must hold; an empty term holds for nobody."""
    assert eligibility.judge(daemon_set(pod=pod), node("a", labels={"zone": "1"})) == (expected, expected)


MARKS = st.sampled_from(["new", "old"])
STATES = st.sampled_from(["ready", "unready", "deleting", "pending"])
NODES = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.lists(st.tuples(MARKS, STATES), max_size=3)), max_size=6
)


def view(number: int, *, should_run: bool, may_stay: bool, made: list[tuple[str, str]]) -> NodeView:
    """A node with such pods."""
    pods = []
    for index, (mark, state) in enumerate(made):
        metadata: Object = {"name": f"p{number}-{index}", "namespace": "default"}
        metadata |= {
            "creationTimestamp": f"2027-01-15T07:00:0{index}Z",
            "labels": {history.POD_REVISION: mark},
        }
        if state == "deleting":
            metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2027-01-15T07:00:00Z"}
        conditions = [ready] if state in ("ready", "deleting") else []
        phase = "Pending" if state == "pending" else "Running"
        status = {"phase": phase, "conditions": conditions}
        pods.append({"metadata": metadata, "spec": {"nodeName": f"n{number}"}, "status": status})
    return NodeView(f"n{number}", should_run, should_run or may_stay, tuple(pods))


def served(nodes: list[NodeView], without: list[Object]) -> int:
    """How many nodes that are to have a pod have a ready one, if some pods go."""
    gone = {pod["metadata"]["name"] for pod in without}
    return sum(
        any(
            pod["metadata"]["name"] not in gone
            and "deletionTimestamp" not in pod["metadata"]
            and pod["status"]["conditions"]
            for pod in each.pods
        )
        for each in nodes
        if each.should_run
    )


@given(made=NODES, surge=st.integers(0, 2), unavailable=st.integers(0, 3))
def test_no_step_takes_more_nodes_out_than_is_allowed(
    made: list[tuple[bool, bool, list[tuple[str, str]]]], surge: int, unavailable: int
) -> None:
    """Rolling takes ready pods only while enough other nodes have one; no pod goes twice, none is made twice."""
    if surge == unavailable == 0:
        unavailable = 1
    wish = daemons.Wish("new", surge, unavailable)
    nodes = [
        view(number, should_run=run, may_stay=stay, made=pods)
        for number, (run, stay, pods) in enumerate(made)
    ]
    desired = sum(each.should_run for each in nodes)
    steps = daemons.roll(wish, nodes, BEGIN)
    names = [pod["metadata"]["name"] for pod in steps.delete]
    assert len(set(names)) == len(names)
    assert len(set(steps.create)) == len(steps.create)
    before, after = served(nodes, []), served(nodes, steps.delete)
    allowed = 0 if surge > 0 else unavailable
    assert before == after or after >= desired - allowed
    if surge == 0:
        assert steps.create == []


@given(made=NODES, surge=st.integers(0, 2), unavailable=st.integers(1, 3))
def test_whatever_is_there_it_comes_to_one_new_pod_on_each_node(
    made: list[tuple[bool, bool, list[tuple[str, str]]]], surge: int, unavailable: int
) -> None:
    """With nodes that make every pod ready and end those that are to go."""
    wish = daemons.Wish("new", surge, unavailable)
    state = {number: list(pods) for number, (_, _, pods) in enumerate(made)}
    for _ in range(40):
        nodes = [
            view(number, should_run=run, may_stay=stay, made=state[number])
            for number, (run, stay, _) in enumerate(made)
        ]
        steps = daemons.manage(wish, nodes, lambda _node: False, BEGIN)
        if not steps.create and not steps.delete:
            steps = daemons.roll(wish, nodes, BEGIN)
        gone = {pod["metadata"]["name"] for pod in steps.delete}
        state = {
            number: [
                (mark, "ready")
                for index, (mark, how) in enumerate(pods)
                if how != "deleting" and f"p{number}-{index}" not in gone
            ]
            for number, pods in state.items()
        }
        for name in steps.create:
            state[int(name[1:])].append(("new", "pending"))
    for number, (run, stay, _) in enumerate(made):
        if run:
            assert state[number] == [("new", "ready")]
        elif not stay:
            assert state[number] == []
