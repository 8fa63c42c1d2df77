"""The Job controller, over the real registry, and the rules that it follows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instant_cluster import BEGIN, Cluster, simulate, template

from simcluster.controllers import job_rules
from simcluster.controllers.indexes import format_indexes, parse_indexes
from simcluster.controllers.job_rules import Backoff
from simcluster.errors import NotFound
from simcluster.profile import FAITHFUL
from simcluster.store import Event, Object

J = "jobs.batch"
Outcome = Callable[[Object], int | None]


def job(name: str = "work", **spec: Any) -> Object:
    """A Job of pods labelled app=greeter that are not restarted."""
    wanted = template("work:1")
    wanted["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": wanted} | spec,
    }


def run_pods(cluster: Cluster, outcome: Outcome, after_s: float = 0.5) -> None:
    """Have each pod that is ready end after a while, with the exit code that `outcome` gives, or not at all."""

    def end(pod: Object) -> None:
        code = outcome(pod)
        if code is None:
            return
        name = pod["metadata"]["name"]
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": cluster_now(cluster)}],
            "containerStatuses": [
                {"name": "server", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
                | {"state": {"terminated": ended}}
            ],
        }
        try:
            cluster.registry.patch("pods", "default", name, {"status": status}, "merge", subresource="status")
        except NotFound:
            return

    seen: set[str] = set()

    def notice(event: Event) -> None:
        pod = event.object
        ready = any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in pod["status"].get("conditions", ())
        )
        if ready and pod["metadata"]["uid"] not in seen and event.type != "DELETED":
            seen.add(pod["metadata"]["uid"])
            asyncio.get_running_loop().call_later(after_s, end, pod)

    cluster.registry.listen("pods", notice)


def cluster_now(cluster: Cluster) -> str:
    """The instant as the API writes it."""
    return str(job_rules.format_time(cluster.registry.clock()))


def status(cluster: Cluster, name: str = "work") -> Object:
    """The status of the Job."""
    found: Object = cluster.get(J, name)["status"]
    return found


def conditions(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Type, status and reason of the Job's conditions, in their order."""
    return [(each["type"], each["status"], each["reason"]) for each in status(cluster).get("conditions", ())]


def always(code: int | None) -> Outcome:
    """Every pod ends so."""
    return lambda _pod: code


def test_a_job_makes_pods_until_enough_have_succeeded() -> None:
    """Labels, selector, finalizer, counts, conditions and events as on a real cluster; its pods stay."""

    async def story(cluster: Cluster) -> None:
        run_pods(cluster, always(0))
        created = cluster.apply(J, job(completions=3, parallelism=2))
        uid = created["metadata"]["uid"]
        assert created["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        marks = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "work",
            "controller-uid": uid,
            "job-name": "work",
            "app": "greeter",
        }
        assert created["spec"]["template"]["metadata"]["labels"] == marks == created["metadata"]["labels"]
        await cluster.settle(0.3)
        assert [pod["metadata"]["finalizers"] for pod in cluster.list("pods")] == [[job_rules.FINALIZER]] * 2
        assert (status(cluster)["active"], status(cluster)["ready"]) == (2, 2)
        await cluster.settle()
        assert all("finalizers" not in pod["metadata"] for pod in cluster.list("pods"))
        seen = status(cluster)
        assert {key: seen[key] for key in seen if not key.endswith("Time") and key != "conditions"} == {
            "succeeded": 3,
            "ready": 0,
            "terminating": 0,
            "uncountedTerminatedPods": {},
        }
        assert conditions(cluster) == [
            ("SuccessCriteriaMet", "True", "CompletionsReached"),
            ("Complete", "True", "CompletionsReached"),
        ]
        assert seen["completionTime"] >= seen["startTime"]
        assert len(cluster.events("SuccessfulCreate")) == len(cluster.list("pods")) == 3
        assert cluster.events("Completed") == ["Job completed"]

    simulate(story)


def test_each_pod_is_counted_once_however_it_is_seen() -> None:
    """The number of failures never exceeds that of pods, at any write."""

    async def story(cluster: Cluster) -> None:
        count = iter(range(100))
        run_pods(cluster, lambda _pod: 0 if next(count) % 3 == 2 else 1)
        cluster.apply(J, job(completions=4, parallelism=3, backoffLimit=50))
        faults = []

        def look(event: Event) -> None:
            seen = event.object.get("status", {})
            counted = seen.get("succeeded", 0) + seen.get("failed", 0) + seen.get("active", 0)
            noted = seen.get("uncountedTerminatedPods", {})
            counted += sum(len(uids) for uids in noted.values())
            made = len(
                {pod.object["metadata"]["uid"] for pod in cluster.log if pod.record.key.resource == "pods"}
            )
            if counted > made:
                faults.append((counted, made))

        cluster.registry.listen(J, look)
        await cluster.settle(60)
        pods = cluster.list("pods")
        assert faults == []
        assert status(cluster)["succeeded"] == 4 == sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
        assert status(cluster)["failed"] == sum(pod["status"]["phase"] == "Failed" for pod in pods)

    simulate(story)


def test_failures_are_retried_ever_later_until_the_limit() -> None:
    """10 s, then 20 s; after the limit FailureTarget and Failed, with one reason."""

    async def story(cluster: Cluster) -> None:
        run_pods(cluster, always(3))
        cluster.apply(J, job(backoffLimit=2))
        await cluster.settle(120)
        made_at = [
            event.object["metadata"]["creationTimestamp"]
            for event in cluster.log
            if event.record.key.resource == "pods" and event.type == "ADDED"
        ]
        instants = [job_rules.parse_time(each) for each in made_at]
        gaps = [after - before for before, after in itertools.pairwise(instants)]
        assert [10 <= gaps[0] < 14, 20 <= gaps[1] < 24, len(gaps)] == [True, True, 2]
        assert conditions(cluster) == [
            ("FailureTarget", "True", "BackoffLimitExceeded"),
            ("Failed", "True", "BackoffLimitExceeded"),
        ]
        assert status(cluster)["failed"] == 3
        assert cluster.events("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]

    simulate(story, profile=FAITHFUL)


def test_a_deadline_ends_what_runs() -> None:
    """Failed is said only when the last pod has ended."""

    async def story(cluster: Cluster) -> None:
        cluster.node.stop_s = 3.0
        cluster.apply(J, job(activeDeadlineSeconds=5, parallelism=2, completions=2))
        await cluster.settle(6)
        assert conditions(cluster) == [("FailureTarget", "True", "DeadlineExceeded")]
        assert status(cluster)["terminating"] == 2
        await cluster.settle()
        assert conditions(cluster)[1] == ("Failed", "True", "DeadlineExceeded")
        assert (status(cluster)["failed"], cluster.list("pods")) == (2, [])

    simulate(story)


def test_an_indexed_job_has_each_index_succeed_once() -> None:
    """Index in annotation, label, environment, hostname and name; the status lists them."""

    async def story(cluster: Cluster) -> None:
        failed: set[str] = set()

        def outcome(pod: Object) -> int:
            index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            if index == "1" and index not in failed:
                failed.add(index)
                return 1
            return 0

        run_pods(cluster, outcome)
        cluster.apply(J, job(completionMode="Indexed", completions=4, parallelism=2))
        await cluster.settle(0.3)
        pod = cluster.list("pods")[1]
        assert pod["metadata"]["generateName"] == "work-1-"
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
        assert pod["spec"]["hostname"] == "work-1"
        [variable] = pod["spec"]["containers"][0]["env"]
        source = {
            "apiVersion": "v1",
            "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']",
        }
        assert variable == {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": source}}
        await cluster.settle()
        seen = status(cluster)
        assert (seen["completedIndexes"], seen["succeeded"], seen["failed"]) == ("0-3", 4, 1)
        assert conditions(cluster)[-1][0] == "Complete"

    simulate(story)


def test_indexes_fail_by_themselves_when_they_have_their_own_limit() -> None:
    """The others go on; in the end the Job fails by its failed indexes."""

    async def story(cluster: Cluster) -> None:
        run_pods(
            cluster,
            lambda pod: int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "2"),
        )
        spec = {"completionMode": "Indexed", "completions": 4, "parallelism": 4, "backoffLimitPerIndex": 1}
        cluster.apply(J, job(**spec, backoffLimit=100))
        await cluster.settle()
        seen = status(cluster)
        assert (seen["completedIndexes"], seen["failedIndexes"], seen["failed"]) == ("0,1,3", "2", 2)
        assert conditions(cluster)[-1] == ("Failed", "True", "FailedIndexes")

    simulate(story)


def test_a_suspended_job_has_no_pods_and_starts_anew_when_resumed() -> None:
    """Condition Suspended, no startTime meanwhile, events."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(J, job(suspend=True))
        await cluster.settle()
        assert (cluster.list("pods"), conditions(cluster)) == ([], [("Suspended", "True", "JobSuspended")])
        assert "startTime" not in status(cluster)
        cluster.edit(J, "work", {"spec": {"suspend": False}})
        await cluster.settle()
        assert (len(cluster.pods()), conditions(cluster)) == (1, [("Suspended", "False", "JobResumed")])
        assert status(cluster)["startTime"]
        cluster.edit(J, "work", {"spec": {"suspend": True}})
        await cluster.settle()
        assert (cluster.list("pods"), "startTime" in status(cluster)) == ([], False)
        assert cluster.events("Suspended") == ["Job suspended"] * 2

    simulate(story)


@pytest.mark.parametrize(
    ("rule", "reason", "failed"),
    [
        ({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, "PodFailurePolicy", 1),
        (
            {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [3]}},
            "BackoffLimitExceeded",
            3,
        ),
        ({"action": "Count", "onExitCodes": {"operator": "In", "values": [3]}}, "BackoffLimitExceeded", 3),
    ],
)
def test_a_failure_policy_decides_what_a_failure_means(rule: Object, reason: str, failed: int) -> None:
    """Fail the Job at once, or count as ever; the message names container, pod, code and rule."""

    async def story(cluster: Cluster) -> None:
        run_pods(cluster, always(3))
        cluster.apply(J, job(podFailurePolicy={"rules": [rule]}, backoffLimit=2))
        await cluster.settle()
        assert (conditions(cluster)[-1], status(cluster)["failed"]) == (("Failed", "True", reason), failed)
        if reason == "PodFailurePolicy":
            [pod] = cluster.list("pods")
            name = pod["metadata"]["name"]
            said = f"Container server for pod default/{name} failed with exit code 3 matching FailJob rule at index 0"
            assert status(cluster)["conditions"][0]["message"] == said

    simulate(story)


def test_an_ignored_failure_is_replaced_and_not_counted() -> None:
    """However often it happens."""

    async def story(cluster: Cluster) -> None:
        count = iter(range(100))
        run_pods(cluster, lambda _pod: 0 if next(count) == 3 else 7)
        rule = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}}
        cluster.apply(J, job(podFailurePolicy={"rules": [rule]}, backoffLimit=0))
        await cluster.settle(60)
        assert "failed" not in status(cluster)
        assert conditions(cluster)[-1][0] == "Complete"

    simulate(story)


def test_a_success_policy_ends_a_job_early() -> None:
    """The rest is deleted and does not count as failed."""

    async def story(cluster: Cluster) -> None:
        run_pods(cluster, lambda pod: 0 if pod["spec"]["hostname"] == "work-1" else None)
        policy = {
            "rules": [
                {"succeededIndexes": "0", "succeededCount": 1},
                {"succeededIndexes": "1-2", "succeededCount": 1},
            ]
        }
        spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "successPolicy": policy}
        cluster.apply(J, job(**spec))
        await cluster.settle()
        assert conditions(cluster) == [
            ("SuccessCriteriaMet", "True", "SuccessPolicy"),
            ("Complete", "True", "SuccessPolicy"),
        ]
        assert status(cluster)["conditions"][0]["message"] == "Matched rules at index 1"
        assert "failed" not in status(cluster)
        assert [pod["spec"]["hostname"] for pod in cluster.list("pods")] == ["work-1"]

    simulate(story)


def test_a_finished_job_goes_after_its_time_with_its_pods() -> None:
    """ttlSecondsAfterFinished, counted from its end."""

    async def story(cluster: Cluster) -> None:
        run_pods(cluster, always(0))
        cluster.apply(J, job(ttlSecondsAfterFinished=20))
        await cluster.settle(18)
        assert cluster.names(J) == ["work"]
        await cluster.settle(10)
        assert (cluster.names(J), cluster.names("pods")) == ([], [])

    simulate(story)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_deleted_job_lets_its_pods_go(propagation: str) -> None:
    """The finalizer of no pod is left behind."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(J, job(parallelism=3))
        await cluster.settle(1)
        cluster.registry.delete(J, "default", "work", propagation=propagation)
        await cluster.settle()
        assert (cluster.names(J), cluster.names("pods")) == ([], [])

    simulate(story)


def test_a_deleted_pod_is_replaced_at_once_or_when_it_has_ended() -> None:
    """podReplacementPolicy decides."""

    async def story(cluster: Cluster) -> None:
        cluster.node.stop_s = 5.0
        cluster.apply(J, job("eager"))
        cluster.apply(J, job("patient", podReplacementPolicy="Failed"))
        await cluster.settle(1)
        for pod in cluster.list("pods"):
            cluster.registry.delete("pods", "default", pod["metadata"]["name"])
        await cluster.settle(1)
        assert [pod["metadata"]["labels"]["job-name"] for pod in cluster.pods()] == ["eager"]
        assert status(cluster, "patient")["terminating"] == 1

    simulate(story)


@given(indexes=st.sets(st.integers(0, 40)))
def test_indexes_are_read_as_they_are_written(indexes: set[int]) -> None:
    """And written as short as can be: a range only for three and more."""
    text = format_indexes(indexes)
    assert parse_indexes(text, 41) == indexes
    assert parse_indexes(text, 20) == {index for index in indexes if index < 20}
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        assert not dash or int(last) - int(first) >= 2


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from(["ok", "bad"])),
        max_size=20,
        unique_by=lambda each: each[0],
    )
)
def test_backoff_counts_failures_since_the_last_success(ends: list[tuple[int, str]]) -> None:
    """Whether they are told one by one or all at once; the wait doubles and has a limit."""

    def pod(at: int) -> Object:
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": job_rules.format_time(BEGIN + at)}
        return {"metadata": {}, "spec": {}, "status": {"conditions": [ready]}}

    one_by_one = Backoff()
    for at, how in sorted(ends):
        made = [pod(at)]
        one_by_one = one_by_one.after(made if how == "ok" else [], made if how == "bad" else [])
    all_at_once = Backoff().after(
        [pod(at) for at, how in ends if how == "ok"], [pod(at) for at, how in ends if how == "bad"]
    )
    assert one_by_one == all_at_once
    last_ok = max((at for at, how in ends if how == "ok"), default=-1)
    assert all_at_once.failures == sum(how == "bad" and at > last_ok for at, how in ends)
    if all_at_once.failures:
        wait_s = all_at_once.left_s(10, 600, all_at_once.failed_at)
        assert wait_s == min(600, 10 * 2 ** (all_at_once.failures - 1))
