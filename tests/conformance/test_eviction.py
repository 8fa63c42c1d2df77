"""Eviction and PodDisruptionBudgets."""

import pytest
from rig.objects import container, nowhere, pod, ready, template, workload

VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


def evict(room, pod_name, **more):
    """Post an Eviction."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod_name}} | more
    return room.api.post(room.path("pods", pod_name, "eviction"), body)


def budget(room, name, **spec):
    """A budget for the case's pods."""
    return room.make(
        "poddisruptionbudgets",
        {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}} | spec},
    )


def running(room, name, number, *, are_ready=True):
    """A ReplicaSet of so many pods that run; their names."""
    room.make(
        "replicasets",
        workload(
            "ReplicaSet", name, nowhere(template(container("a:1"), labels={"app": name})), replicas=number
        ),
    )
    found = room.until_all("pods", lambda items: len(items) == number and items, labelSelector=f"app={name}")
    for each in found:
        assert room.patch(
            "pods", each["metadata"]["name"], "strategic", ready("192.0.2.1", is_ready=are_ready), "status"
        ).ok
    return [each["metadata"]["name"] for each in found]


def until(room, name, **status):
    """Wait until a budget's status is so."""
    return room.until(
        "poddisruptionbudgets",
        name,
        lambda each: all(each["status"].get(key) == value for key, value in status.items()) and each,
    )


def test_an_eviction_without_budgets(pod_room, name):
    """Without a budget an eviction deletes."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    answer = evict(pod_room, name)
    assert (answer.status, answer.json["kind"], answer.json["status"]) == (201, "Status", "Success")
    pod_room.until_gone("pods", name)


def test_an_eviction_of_nothing(pod_room):
    """What is not there can not be evicted."""
    assert evict(pod_room, "nobody").error == (404, "NotFound", 'pods "nobody" not found')


def test_an_eviction_of_another(pod_room, name):
    """The name in an Eviction is that of the path."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    answer = pod_room.api.post(pod_room.path("pods", name, "eviction"), {"metadata": {"name": "other"}})
    assert answer.error[:2] == (400, "BadRequest")


def test_a_dry_eviction(pod_room, name):
    """A dry eviction deletes nothing."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    assert evict(pod_room, name, deleteOptions={"dryRun": ["All"]}).status == 201
    assert pod_room.get("pods", name).status == 200


def test_a_budget_counts(pod_room, name):
    """A budget knows how many pods there are, are healthy, have to be, and may go."""
    running(pod_room, name, 3)
    budget(pod_room, name, minAvailable=2)
    found = until(pod_room, name, expectedPods=3, currentHealthy=3, desiredHealthy=2, disruptionsAllowed=1)
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "True",
        "SufficientPods",
    )
    assert found["status"]["observedGeneration"] == 1


@pytest.mark.parametrize(("spec", "desired", "allowed"), [
    ({"minAvailable": "50%"}, 2, 1),
    ({"maxUnavailable": 1}, 2, 1),
    ({"maxUnavailable": "50%"}, 1, 2),
    ({"maxUnavailable": 0}, 3, 0),
    ({"minAvailable": 0}, 0, 3),
    ({"minAvailable": 5}, 5, 0),
], ids=["half", "one-less", "half-less", "none-less", "all", "more-than-there-are"])  # fmt: skip
def test_how_many_may_go(pod_room, name, spec, desired, allowed):
    """Percentages are rounded up."""
    running(pod_room, name, 3)
    budget(pod_room, name, **spec)
    until(
        pod_room, name, desiredHealthy=desired, disruptionsAllowed=allowed, currentHealthy=3, expectedPods=3
    )


def test_a_budget_that_is_used_up(pod_room, name):
    """An eviction that the budget does not allow is refused by 429, with the budget and its numbers."""
    first, *_ = running(pod_room, name, 1)
    budget(pod_room, name, minAvailable=1)
    until(pod_room, name, currentHealthy=1, disruptionsAllowed=0)
    answer = evict(pod_room, first)
    assert answer.error == (429, "TooManyRequests", VIOLATED)
    text = f"The disruption budget {name} needs 1 healthy pods and has 1 currently"
    assert answer.json["details"]["causes"] == [{"reason": "DisruptionBudget", "message": text}]
    assert "Retry-After" not in answer.headers
    assert pod_room.get("pods", first).ok["metadata"].get("deletionTimestamp") is None


def test_a_budget_is_spent(pod_room, name):
    """Each eviction takes one from the budget, at once."""
    first, second, _third = running(pod_room, name, 3)
    budget(pod_room, name, minAvailable=2)
    until(pod_room, name, disruptionsAllowed=1)
    # Held, so that no replacement changes the numbers between the two.
    for each in (first, second):
        pod_room.patch("pods", each, "merge", {"metadata": {"finalizers": ["example.com/hold"]}})
    assert [evict(pod_room, each).status for each in (first, second)] == [201, 429]
    for each in (first, second):
        pod_room.patch("pods", each, "merge", {"metadata": {"finalizers": None}})


def test_two_budgets(pod_room, name):
    """A pod with two budgets can not be evicted."""
    first, *_ = running(pod_room, name, 1)
    for each in ("a", "b"):
        pod_room.make(
            "poddisruptionbudgets",
            {
                "metadata": {"name": f"{name}-{each}"},
                "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": name}}},
            },
        )
    answer = evict(pod_room, first)
    text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    assert (answer.status, answer.json["message"]) == (500, text)


def test_a_pending_pod_is_free(pod_room, name):
    """A pod that does not run yet needs no budget."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"), labels={"app": name})))
    budget(pod_room, name, maxUnavailable=0)
    assert evict(pod_room, name).status == 201


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_is_free(pod_room, name, phase):
    """A pod that has ended needs no budget."""
    pod_room.make("pods", nowhere(pod(name, container("a:1"), labels={"app": name})))
    pod_room.patch("pods", name, "merge", {"status": {"phase": phase}}, "status")
    budget(pod_room, name, minAvailable=1)
    assert evict(pod_room, name).status == 201


def test_an_unready_pod_is_free(pod_room, name):
    """A pod that is not ready needs no budget while enough others are."""
    first, second = running(pod_room, name, 2)
    pod_room.patch("pods", second, "strategic", ready("192.0.2.1", is_ready=False), "status")
    budget(pod_room, name, minAvailable=1)
    until(pod_room, name, currentHealthy=1, desiredHealthy=1, disruptionsAllowed=0)
    assert [evict(pod_room, each).status for each in (first, second)] == [429, 201]


def test_an_unready_pod_that_counts(pod_room, name):
    """While not enough others are ready, an unready pod needs the budget, too."""
    first, *_ = running(pod_room, name, 1, are_ready=False)
    budget(pod_room, name, minAvailable=1)
    until(pod_room, name, currentHealthy=0, desiredHealthy=1)
    assert evict(pod_room, first).status == 429


def test_unready_pods_always(pod_room, name):
    """By AlwaysAllow, an unready pod can go whatever the others are."""
    first, *_ = running(pod_room, name, 1, are_ready=False)
    budget(pod_room, name, minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")
    until(pod_room, name, currentHealthy=0, desiredHealthy=1)
    assert evict(pod_room, first).status == 201


def test_a_deletion_needs_no_budget(pod_room, name):
    """A deletion asks no budget."""
    first, *_ = running(pod_room, name, 1)
    budget(pod_room, name, minAvailable=1)
    until(pod_room, name, currentHealthy=1)
    assert pod_room.delete("pods", first).status == 200


def test_both_bounds(pod_room, name):
    """A budget has one bound."""
    answer = pod_room.create(
        "poddisruptionbudgets",
        {
            "metadata": {"name": name},
            "spec": {"minAvailable": 1, "maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}},
        },
    )
    assert answer.error[:2] == (422, "Invalid")
    assert "minAvailable and maxUnavailable cannot be both set" in answer.error[2]
