"""Resizing pods in place."""

import pytest
from rig.objects import container, nowhere, pod

FEW = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}


@pytest.fixture(scope="module")
def waiter(pod_room):
    """A burstable pod that nobody schedules."""
    one, two = container(pod_room.image, resources=FEW), container(pod_room.image, name="two")
    pod_room.make("pods", nowhere(pod("waiter", one, two)))
    return "waiter"


@pytest.fixture(scope="module")
def best(pod_room):
    """A pod that asks for nothing."""
    pod_room.make("pods", nowhere(pod("best", container(pod_room.image))))
    return "best"


def resize(room, name, *containers, **query):
    """The answer to a patch of containers through the subresource."""
    return room.patch(
        "pods", name, "strategic", {"spec": {"containers": list(containers)}}, "resize", **query
    )


def asks(kind="requests", name="main", **amounts):
    """A container that asks for something else."""
    return {"name": name, "resources": {kind: amounts}}


def started(each):
    """Whether all of a pod's containers run."""
    return all(one["started"] for one in each["status"].get("containerStatuses", [{"started": False}]))


def test_a_running_pod_is_given_more(pod_room, name):
    """It is shown as allocated and in use, and the container goes on."""
    pod_room.make("pods", pod(name, container(pod_room.image, resources=FEW)))
    before = pod_room.until("pods", name, lambda each: each if started(each) else None)
    made = resize(pod_room, name, asks(cpu="20m")).ok
    assert made["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "20m", "memory": "16Mi"}

    def given(each):
        [one] = each["status"]["containerStatuses"]
        return each["status"] if one.get("allocatedResources", {}).get("cpu") == "20m" else None

    status = pod_room.until("pods", name, given)
    [one] = status["containerStatuses"]
    assert one["restartCount"] == 0
    settled = pod_room.until(
        "pods",
        name,
        lambda each: (
            each["status"]
            if each["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] == "20m"
            and not any("Resize" in condition["type"] for condition in each["status"]["conditions"])
            else None
        ),
    )
    assert settled["containerStatuses"][0]["resources"] == {
        "requests": {"cpu": "20m", "memory": "16Mi"},
        "limits": FEW["limits"],
    }
    assert settled["observedGeneration"] == made["metadata"]["generation"]


def test_a_container_may_have_to_be_restarted(pod_room, name):
    """Its resizePolicy says so, for each resource."""
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    pod_room.make(
        "pods",
        pod(name, container(pod_room.image, resources={"requests": {"cpu": "10m"}}, resizePolicy=policy)),
    )
    pod_room.until("pods", name, started)
    assert resize(pod_room, name, asks(cpu="20m")).status == 200
    pod_room.until(
        "pods",
        name,
        lambda each: started(each) and each["status"]["containerStatuses"][0]["restartCount"] == 1,
    )
    killed = pod_room.api.until(
        pod_room.path("events"),
        lambda items: [each["message"] for each in items],
        fieldSelector=f"involvedObject.name={name},reason=Killing",
    )
    assert killed == ["Container main resize requires restart"]


def test_what_a_resize_tells(pod_room, name):
    """Its begin and its end are events, with all that the containers ask for."""
    pod_room.make("pods", pod(name, container(pod_room.image, resources=FEW)))
    pod_room.until("pods", name, started)
    assert resize(pod_room, name, asks(cpu="20m")).status == 200

    def told(items):
        found = {each["reason"]: each["message"] for each in items}
        return found if {"ResizeStarted", "ResizeCompleted"} <= set(found) else None

    found = pod_room.api.until(
        pod_room.path("events"), told, fieldSelector=f"involvedObject.name={name},involvedObject.kind=Pod"
    )
    # The loop that sees the end of it may still hold what was given before: the text is one of these two.
    described, before = (
        '{"containers":[{"name":"main","resources":{"limits":{"cpu":"1","memory":"64Mi"},'
        f'"requests":{{"cpu":"{cpu}","memory":"16Mi"}}}}}}],"generation":2}}'
        for cpu in ("20m", FEW["requests"]["cpu"])
    )
    assert found["ResizeStarted"] == f"Pod resize started: {described}"
    assert found["ResizeCompleted"] in (
        f"Pod resize completed: {described}",
        f"Pod resize completed: {before}",
    )


WRONG = [
    (asks(cpu="2"), "spec.containers[0].resources.requests", "must be less than or equal to cpu limit of 1"),
    (asks(cpu="-1"), "spec.containers[0].resources.requests[cpu]", "must be greater than or equal to 0"),
    (asks("limits", cpu=None), "spec.containers[0].resources.limits", "resource limits cannot be removed"),
    (asks(**{"ephemeral-storage": "1Gi"}), "spec", "only cpu and memory resources are mutable"),
    (
        {"name": "main", "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]},
        "spec",
        "only cpu and memory resources are mutable",
    ),
    (
        {"name": "three", "image": "x:1"},
        "spec.containers",
        "containers may not be added or removed on resize",
    ),
]


@pytest.mark.parametrize(
    ("wanted", "field", "text"),
    WRONG,
    ids=["over-limit", "negative", "limit-removed", "other-resource", "policy", "container-added"],
)
def test_what_is_refused(pod_room, waiter, wanted, field, text):
    """What no resize may do, each with its text."""
    answer = resize(pod_room, waiter, wanted, dryRun="All")
    assert answer.status == 422
    [(where, _reason, message)] = answer.causes
    assert (where, text in message) == (field, True), message


def test_containers_keep_their_order(pod_room, waiter):
    """They are neither renamed nor put in another order."""
    shown = pod_room.get("pods", waiter).ok
    shown["spec"]["containers"].reverse()
    text = "Forbidden: containers may not be renamed or reordered on resize"
    assert pod_room.put("pods", waiter, shown, "resize").causes == [
        (f"spec.containers[{index}].name", "FieldValueForbidden", text) for index in (0, 1)
    ]


def test_the_quality_of_service_stays(pod_room, best):
    """A pod that asked for nothing can not ask for something now."""
    text = 'Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'
    assert resize(pod_room, best, asks(cpu="20m")).causes == [("spec", "FieldValueInvalid", text)]


def test_nothing_else_is_taken(pod_room, waiter):
    """Whatever else is sent there changes nothing, and is no error."""
    before = pod_room.get("pods", waiter).ok
    wanted = {"name": "main", "image": "x:1", "env": [{"name": "A", "value": "b"}]}
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [wanted]}}
    after = pod_room.patch("pods", waiter, "strategic", patch, "resize").ok
    assert (after["spec"], after["metadata"].get("labels")) == (before["spec"], None)


def test_not_by_the_pod_itself(pod_room, waiter):
    """The pod's own path does not take it."""
    answer = pod_room.patch("pods", waiter, "strategic", {"spec": {"containers": [asks(cpu="20m")]}})
    assert (answer.status, [each[0] for each in answer.causes]) == (422, ["spec"])


def test_more_than_a_node_has(pod_room, name):
    """What the pod's whole node could not give is refused."""
    pod_room.make("pods", pod(name, container(pod_room.image, resources={"requests": {"cpu": "10m"}})))
    node = pod_room.until("pods", name, lambda each: each["spec"].get("nodeName"))
    offered = pod_room.api.get(f"/api/v1/nodes/{node}").ok["status"]["allocatable"]["cpu"]
    answer = resize(pod_room, name, asks(cpu="1000"))
    assert answer.error == (
        403,
        "Forbidden",
        f'pods "{name}" is forbidden: node didn\'t have enough allocatable resources: cpu, requested: 1000000, '
        f"allocatable: {int(offered) * 1000}",
    )


def test_who_owns_what_was_resized(pod_room, name):
    """The writer owns the amounts, through the subresource."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image, resources=FEW))))
    made = resize(pod_room, name, asks(cpu="20m"), fieldManager="me").ok
    [entry] = [each for each in made["metadata"]["managedFields"] if each["manager"] == "me"]
    assert (entry["operation"], entry["subresource"]) == ("Update", "resize")
    fields = entry["fieldsV1"]["f:spec"]["f:containers"]
    assert fields == {'k:{"name":"main"}': {"f:resources": {"f:requests": {"f:cpu": {}}}}}
