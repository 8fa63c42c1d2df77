"""LimitRanges: what they fill in, what they refuse, and what is refused of them."""

import re

import pytest
from rig.objects import container, nowhere, pod, service, template, workload

NOTE = "kubernetes.io/limit-ranger"


@pytest.fixture
def held(own_pod_room):
    """A namespace for one case, which is given LimitRanges before anything else."""
    return own_pod_room


def limit(room, *items, name="bounds"):
    """Make a LimitRange; return it as it is stored."""
    return room.make("limitranges", {"metadata": {"name": name}, "spec": {"limits": list(items)}})


def known(room, resource, body, holds):
    """Return the first answer to a dry run of which `holds`.

    A real server looks at a view of its own, which lags a little where it was asked before there was a LimitRange.
    """
    for _ in range(1000):
        answer = room.create(resource, body, dryRun="All")
        if holds(answer):
            return answer
    raise AssertionError(f"the LimitRange does not count: {answer.text}")


def item(kind="Container", **bounds):
    """One item of a LimitRange."""
    return {"type": kind} | bounds


def asking(requests=None, limits=None, name="main", **more):
    """A container that asks for amounts."""
    resources = {"requests": requests} if requests else {}
    resources |= {"limits": limits} if limits else {}
    return {"name": name, "image": "a:1", "resources": resources} | more


def resources_of(made, kind="containers"):
    """What each container of a pod asks for."""
    return [each["resources"] for each in made["spec"][kind]]


def refused(answer, name, resource="pods"):
    """The reasons of a refusal, in their order."""
    code, reason, message = answer.error
    assert (code, reason) == (403, "Forbidden")
    assert answer.json["details"] == {"name": name, "kind": resource}
    because = message.removeprefix(f'{resource} "{name}" is forbidden: ')
    assert because != message
    parts = re.split(", (?!but )", because.strip("[]"))
    assert because.startswith("[") == (len(parts) > 1)
    return parts


def test_what_a_container_leaves_open(held, name):
    """Requests and limits are filled in, and an annotation says which, container by container."""
    limit(
        held,
        item(default={"cpu": "500m", "memory": "64Mi"}, defaultRequest={"cpu": "100m", "memory": "32Mi"}),
    )
    first = asking(requests={"cpu": "50m"}, name="one")
    made = held.make(
        "pods", nowhere(pod(name, first, asking(name="two"), initContainers=[asking(name="before")]))
    )
    every = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    assert resources_of(made) == [every | {"requests": {"cpu": "50m", "memory": "32Mi"}}, every]
    assert resources_of(made, "initContainers") == [every]
    assert made["metadata"]["annotations"] == {
        NOTE: "LimitRanger plugin set: memory request for container one; cpu, memory limit for container one; "
        "cpu, memory request for container two; cpu, memory limit for container two; "
        "cpu, memory request for init container before; cpu, memory limit for init container before"
    }
    assert made["status"]["qosClass"] == "Burstable"


def test_what_is_filled_in_is_nobodys_field(held, name):
    """The defaults are in no field manager's hands, and count for the quality of service."""
    limit(held, item(default={"cpu": "1", "memory": "64Mi"}))
    made = held.make("pods", nowhere(pod(name, asking())))
    [entry] = made["metadata"]["managedFields"]
    assert "f:annotations" not in entry["fieldsV1"].get("f:metadata", {})
    assert entry["fieldsV1"]["f:spec"]["f:containers"]['k:{"name":"main"}']["f:resources"] == {}
    assert made["status"]["qosClass"] == "Guaranteed"


def test_a_pod_that_says_all(held, name):
    """What is said is left as it is, and there is no annotation."""
    limit(held, item(default={"cpu": "500m"}, defaultRequest={"cpu": "100m"}))
    own = asking({"cpu": "1"}, {"cpu": "2"})
    made = held.make("pods", nowhere(pod(name, own)))
    assert resources_of(made) == [own["resources"]]
    assert "annotations" not in made["metadata"]


def test_a_note_of_ones_own(held, name):
    """Other annotations stay; one of that name is replaced where something is filled in."""
    limit(held, item(defaultRequest={"cpu": "100m"}))
    body = nowhere(pod(name, asking()))
    body["metadata"]["annotations"] = {"mine": "1", NOTE: "mine too"}
    assert held.make("pods", body)["metadata"]["annotations"] == {
        "mine": "1",
        NOTE: "LimitRanger plugin set: cpu request for container main",
    }


def test_dry_run_fills_in(held, name):
    """So does a dry run."""
    limit(held, item(defaultRequest={"cpu": "100m"}))
    answer = held.create("pods", nowhere(pod(name, asking())), dryRun="All")
    assert resources_of(answer.ok) == [{"requests": {"cpu": "100m"}}]


def test_limits_of_a_pod_and_claims_fill_in_nothing(held, name):
    """Only those of type Container have defaults for containers."""
    limit(held, item("Pod", max={"cpu": "4"}), item("PersistentVolumeClaim", max={"storage": "1Gi"}))
    answer = held.create("pods", nowhere(pod(name, asking())))
    assert refused(answer, name) == ["maximum cpu usage per Pod is 4.  No limit is specified"]


def test_an_update_is_not_touched(held, name):
    """A pod that is there is neither filled in nor measured, whatever is changed of it."""
    made = held.make("pods", nowhere(pod(name, asking())))
    limit(held, item(min={"cpu": "1"}, defaultRequest={"cpu": "1"}))
    changed = held.patch("pods", name, "merge", {"metadata": {"labels": {"a": "b"}}}).ok
    assert changed["spec"]["containers"] == made["spec"]["containers"]


BOUNDS = {"min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}
LEAST = "minimum cpu usage per Container is 100m, but {}"
MOST = "maximum cpu usage per Container is 1, but {}"
FAR = "cpu max limit to request ratio per Container is 3, but {}"


@pytest.mark.parametrize(
    ("requests", "limits", "texts"),
    [
        ("50m", "50m", [LEAST.format("request is 50m")]),
        ("200m", "2", [MOST.format("limit is 2"), FAR.format("provided ratio is 10.000000")]),
        ("2", "2", [MOST.format("limit is 2")]),
        ("300m", "1", [FAR.format("provided ratio is 3.333333")]),
        ("0", "1", [LEAST.format("request is 0"), FAR.format("no request is specified or request is 0")]),
        ("50m", "2", [LEAST.format("request is 50m"), MOST.format("limit is 2"), FAR.format("provided ratio is 40.000000")]),
    ],
    ids=["small", "large", "both-large", "ratio", "nothing", "all"],
)  # fmt: skip
def test_a_container_out_of_bounds(held, name, requests, limits, texts):
    """It is refused with everything that is wrong with it."""
    limit(held, item(**BOUNDS))
    answer = held.create("pods", nowhere(pod(name, asking({"cpu": requests}, {"cpu": limits}))))
    assert refused(answer, name) == texts


def test_bounds_are_within_bounds(held, name):
    """Exactly the least, the most and the ratio are allowed."""
    limit(held, item(**BOUNDS))
    for each in ({"cpu": "100m"}, {"cpu": "300m"}), ({"cpu": "1"}, {"cpu": "1"}):
        assert held.create("pods", nowhere(pod(f"{name}-{each[0]['cpu']}", asking(*each)))).status == 201


def test_nothing_said_and_no_default(held, name):
    """What has a bound and no default has to be said: a bound of init containers too."""
    limit(held, item(maxLimitRequestRatio={"memory": "2"}))
    kept = asking({"memory": "1Mi"}, {"memory": "1Mi"})
    answer = held.create("pods", nowhere(pod(name, kept, initContainers=[asking(name="before")])))
    text = "memory max limit to request ratio per Container is 2, but no request is specified or request is 0"
    assert refused(answer, name) == [text]


def test_two_containers_that_say_the_same(held, name):
    """The same reason is said once."""
    limit(held, item(**BOUNDS))
    small = {"cpu": "50m"}
    both = (asking(small, small, name="one"), asking(small, small, name="two"))
    assert refused(held.create("pods", nowhere(pod(name, *both))), name) == [LEAST.format("request is 50m")]


def test_a_pod_as_a_whole(held, name):
    """Containers count together; of init containers the largest counts, sidecars beside them."""
    limit(held, item("Pod", min={"memory": "100Mi"}, max={"memory": "1Gi", "cpu": "1"}))
    few = {"cpu": "300m", "memory": "300Mi"}
    two = asking(few, few, name="one"), asking(few, few, name="two")
    assert held.create("pods", nowhere(pod(f"{name}-fits", *two))).status == 201
    third = asking(few, {"cpu": "300m", "memory": "600Mi"}, name="three")
    answer = held.create("pods", nowhere(pod(name, *two, third)))
    assert refused(answer, name) == ["maximum memory usage per Pod is 1Gi, but limit is 1200Mi"]
    much = {"cpu": "800m", "memory": "10Mi"}
    before = [asking(few, few, name="beside", restartPolicy="Always"), asking(much, much, name="before")]
    answer = held.create("pods", nowhere(pod(name, two[0], initContainers=before)))
    assert refused(answer, name) == ["maximum cpu usage per Pod is 1, but limit is 1100m"]
    little = {"cpu": "1m", "memory": "10Mi"}
    answer = held.create("pods", nowhere(pod(name, asking(little, little))))
    assert refused(answer, name) == ["minimum memory usage per Pod is 100Mi, but request is 10Mi"]


def test_amounts_of_the_whole_pod(held, name):
    """What is asked for the pod as such counts in place of the sum."""
    limit(held, item("Pod", max={"cpu": "1"}))
    whole = {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1500m"}}
    few = {"cpu": "100m"}
    answer = held.create("pods", nowhere(pod(name, asking(few, few), resources=whole)))
    assert refused(answer, name) == ["maximum cpu usage per Pod is 1, but limit is 1500m"]


def test_a_fault_comes_first(held, name):
    """A pod that is malformed is refused as that: the request that was filled in is above its limit."""
    limit(held, item(min={"cpu": "500m"}, defaultRequest={"cpu": "500m"}))
    answer = held.create("pods", nowhere(pod(name, asking(limits={"cpu": "200m"}) | {"image": ""})))
    assert answer.causes == [("spec.containers[0].image", "FieldValueRequired", "Required value")]


def test_defaults_that_do_not_fit(held, name):
    """A request that is filled in and is above the container's own limit makes the pod invalid."""
    limit(held, item(default={"cpu": "200m"}, defaultRequest={"cpu": "100m"}))
    answer = held.create("pods", nowhere(pod(name, asking({"cpu": "300m"}))))
    text = 'Invalid value: "300m": must be less than or equal to cpu limit of 200m'
    assert answer.causes == [("spec.containers[0].resources.requests", "FieldValueInvalid", text)]


def test_a_class_that_is_missing_is_told_before(held, name):
    """Bounds are looked at last."""
    limit(held, item(**BOUNDS))
    small = {"cpu": "50m"}
    answer = held.create("pods", nowhere(pod(name, asking(small, small), priorityClassName="nobodys")))
    assert answer.error[2] == f'pods "{name}" is forbidden: no PriorityClass with name nobodys was found'


def test_a_name_that_is_made_up(held, name):
    """It is known when a pod is measured, and not yet when its class is looked for."""
    limit(held, item(**BOUNDS))
    small = {"cpu": "50m"}
    body = nowhere(pod(name, asking(small, small)))
    body["metadata"] = {"generateName": f"{name}-"}
    message = held.create("pods", body).error[2]
    assert re.match(
        rf'pods "{name}-[a-z0-9]{{5}}" is forbidden: {re.escape(LEAST.format("request is 50m"))}$', message
    )
    body["spec"]["priorityClassName"] = "nobodys"
    text = f'pods "{name}-" is forbidden: no PriorityClass with name nobodys was found'
    assert held.create("pods", body).error[2] == text


def test_a_name_that_is_taken(held, name):
    """What is wrong with a pod, and what is not allowed, is said before that its name is taken."""
    limit(held, item("Pod", max={"cpu": "1"}))
    few = {"cpu": "1m"}
    held.make("pods", nowhere(pod(name, asking(few, few))))
    assert held.create("pods", nowhere(pod(name, asking(few, few) | {"image": ""}))).status == 422
    assert refused(held.create("pods", nowhere(pod(name, asking()))), name) == [
        "maximum cpu usage per Pod is 1.  No limit is specified"
    ]
    assert held.create("pods", nowhere(pod(name, asking(few, few)))).error == (
        409, "AlreadyExists", f'pods "{name}" already exists',
    )  # fmt: skip


def test_claims(held, name):
    """The storage that a claim asks for has bounds; a change of the claim is measured again."""

    def claim(size, name=name):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": name}, "spec": spec | {"storageClassName": "nobodys"}}

    made = held.make("persistentvolumeclaims", claim("5Gi", f"{name}-old"))
    bounds = {"min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    limit(held, item("PersistentVolumeClaim", **bounds))
    answer = known(held, "persistentvolumeclaims", claim("3Gi"), lambda answer: answer.status != 201)
    many = refused(answer, name, "persistentvolumeclaims")
    assert many == ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
    few = refused(held.create("persistentvolumeclaims", claim("512Mi")), name, "persistentvolumeclaims")
    assert few == ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"]
    assert held.create("persistentvolumeclaims", claim("2Gi")).status == 201
    labelled = held.patch(
        "persistentvolumeclaims", f"{name}-old", "merge", {"metadata": {"labels": {"a": "b"}}}
    )
    assert refused(labelled, made["metadata"]["name"], "persistentvolumeclaims") == [
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 5Gi"
    ]


def test_resizing_is_measured(held, name):
    """A pod can not be resized out of bounds."""
    limit(held, item(max={"cpu": "1"}))
    few = {"cpu": "100m"}
    held.make("pods", nowhere(pod(name, asking(few, few))))

    def resize(amount):
        more = {"name": "main", "resources": {"requests": {"cpu": amount}, "limits": {"cpu": amount}}}
        return held.patch("pods", name, "strategic", {"spec": {"containers": [more]}}, "resize")

    assert refused(resize("2"), name) == [MOST.format("limit is 2")]
    assert resize("1").status == 200


def test_resizing_fills_in(held, name):
    """What is open is filled in when a pod is resized, and no annotation says so."""
    held.make("pods", nowhere(pod(name, asking({"cpu": "100m"}))))
    limit(held, item(defaultRequest={"memory": "1Mi"}))
    known(held, "pods", nowhere(pod("probe", asking())), lambda answer: resources_of(answer.ok) != [{}])
    more = {"name": "main", "resources": {"requests": {"cpu": "200m"}}}
    resized = held.patch("pods", name, "strategic", {"spec": {"containers": [more]}}, "resize").ok
    assert resources_of(resized) == [{"requests": {"cpu": "200m", "memory": "1Mi"}}]
    assert "annotations" not in resized["metadata"]


@pytest.mark.parametrize("kind", ["ReplicaSet", "Deployment", "StatefulSet", "Job", "DaemonSet"])
def test_controllers_are_refused(held, name, kind):
    """What makes pods is told why it can not, and tells its users."""
    limit(held, item(max={"cpu": "1"}))
    labels = {"app": name}
    pods = template(asking({"cpu": "2"}, {"cpu": "2"}), labels=labels)
    resource = f"{kind.lower()}s"
    if kind == "Job":
        pods["spec"]["restartPolicy"] = "Never"
        body = {"metadata": {"name": name}, "spec": {"template": pods}}
    else:
        body = workload(kind, name, pods, **({} if kind == "DaemonSet" else {"replicas": 1}))
        if kind == "StatefulSet":
            held.make("services", service(name, labels, clusterIP="None"))
            body["spec"]["serviceName"] = name
    held.make(resource, body)

    def told(events):
        found = [each["message"] for each in events if each["reason"] == "FailedCreate"]
        return found[0] if found else None

    message = held.until_all("events", told)
    because = "is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    if kind == "StatefulSet":
        start = f'Create Pod {name}-0 in StatefulSet {name} failed error: pods "{name}-0"'
        assert message == f"{start} {because}"
    else:
        stem = f"{name}-[a-z0-9]+-" if kind == "Deployment" else f"{name}-"
        assert re.fullmatch(rf'Error creating: pods "{stem}[a-z0-9]{{5}}" {re.escape(because)}', message)
    if kind not in ("ReplicaSet", "Deployment"):
        return

    def failing(each):
        found = [one for one in each["status"].get("conditions", []) if one["type"] == "ReplicaFailure"]
        return found[0] if found else None

    condition = held.until(resource, name, failing)
    assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
    assert condition["message"].endswith(because)


def test_what_follows_from_what_is_said(held):
    """The most is the default limit, that is the default request, and the least is one where there is no other."""
    made = limit(held, item(max={"cpu": "2"}, min={"memory": "1Mi"}, default={"ephemeral-storage": "1Gi"}))
    assert made["spec"]["limits"] == [
        {
            "type": "Container",
            "max": {"cpu": "2"},
            "min": {"memory": "1Mi"},
            "default": {"cpu": "2", "ephemeral-storage": "1Gi"},
            "defaultRequest": {"cpu": "2", "memory": "1Mi", "ephemeral-storage": "1Gi"},
        }
    ]


def test_a_limit_range_needs_no_name(held):
    """It is given a UUID for one."""
    made = held.make("limitranges", {"spec": {"limits": []}})
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["metadata"]["name"])


WRONG = {
    "min-max": (item(min={"cpu": "2"}, max={"cpu": "1"}), [
        ("defaultRequest[cpu]", 'Invalid value: "1": min value 2 is greater than default request value 1'),
        ("default[cpu]", 'Invalid value: "2": min value 2 is greater than default value 1'),
        ("min[cpu]", 'Invalid value: "2": min value 2 is greater than max value 1'),
    ]),
    "default-max": (item("a/b", default={"cpu": "2"}, max={"cpu": "1"}), [
        ("default[cpu]", 'Invalid value: "1": default value 2 is greater than max value 1'),
    ]),
    "request-max": (item("a/b", defaultRequest={"cpu": "2"}, max={"cpu": "1"}), [
        ("defaultRequest[cpu]", 'Invalid value: "2": default request value 2 is greater than max value 1'),
    ]),
    "request-default": (item(defaultRequest={"cpu": "2"}, default={"cpu": "1"}), [
        ("defaultRequest[cpu]", 'Invalid value: "2": default request value 2 is greater than default limit value 1'),
    ]),
    "min-default": (item("a/b", min={"cpu": "2"}, default={"cpu": "1"}), [
        ("default[cpu]", 'Invalid value: "2": min value 2 is greater than default value 1'),
    ]),
    "ratio": (item(maxLimitRequestRatio={"cpu": "500m"}), [
        ("maxLimitRequestRatio[cpu]", 'Invalid value: "500m": ratio 500m is less than 1'),
    ]),
    "ratio-too-far": (item("Pod", min={"cpu": "300m"}, max={"cpu": "1"}, maxLimitRequestRatio={"cpu": "4"}), [
        ("maxLimitRequestRatio[cpu]", 'Invalid value: "4": ratio 4 is greater than max/min = 3.333333'),
    ]),
    "of-a-pod": (item("Pod", default={"cpu": "1"}, defaultRequest={"cpu": "1"}), [
        ("default", "Forbidden: may not be specified when `type` is 'Pod'"),
        ("defaultRequest", "Forbidden: may not be specified when `type` is 'Pod'"),
    ]),
    "of-a-claim": (item("PersistentVolumeClaim", max={"cpu": "1"}), [
        ("limits", "Required value: either minimum or maximum storage value is required, but neither was provided"),
    ]),
    "type": (item("Node"), [
        ("type", 'Invalid value: "Node": must be a standard limit type or fully qualified'),
    ]),
    "no-type": ({}, [
        ("type", 'Invalid value: "": name part must be non-empty'),
        ("type", "Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                 "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                 "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"),
    ]),
    "resource": (item(maxLimitRequestRatio={"colour": "1"}), [
        ("maxLimitRequestRatio[colour]", 'Invalid value: "colour": must be a standard resource for containers'),
        ("maxLimitRequestRatio[colour]", 'Invalid value: "colour": must be a standard resource type or fully qualified'),
    ]),
    "storage-of-a-container": (item("Pod", max={"storage": "1"}), [
        ("max[storage]", 'Invalid value: "storage": must be a standard resource for containers'),
    ]),
    "not-overcommitted": (item(default={"a.io/gpu": "2"}, defaultRequest={"a.io/gpu": "1"}), [
        ("defaultRequest[a.io/gpu]", 'Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.io/gpu'),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_limit_range_that_is_wrong(room, name, case):
    """It is refused with all that does not go together."""
    wrong, expected = WRONG[case]
    body = {"metadata": {"name": name}, "spec": {"limits": [wrong]}}
    answer = room.create("limitranges", body)
    assert answer.error[:2] == (422, "Invalid")
    found = sorted((field, message) for field, _reason, message in answer.causes)
    assert found == sorted((f"spec.limits[0].{field}", message) for field, message in expected)


UNASKABLE = {
    "no-limit": (asking({"a.io/gpu": "1"}), [("limits", "FieldValueRequired", "Required value: Limit must be set for non overcommitable resources")]),
    "unequal": (asking({"a.io/gpu": "1"}, {"a.io/gpu": "2"}), [
        ("requests", "FieldValueInvalid", 'Invalid value: "1": must be equal to a.io/gpu limit of 2'),
    ]),
    "above": (asking({"cpu": "2"}, {"cpu": "1"}), [
        ("requests", "FieldValueInvalid", 'Invalid value: "2": must be less than or equal to cpu limit of 1'),
    ]),
    "standard": (asking(limits={"storage": "1"}), [
        (f"{kind}[storage]", "FieldValueInvalid", 'Invalid value: "storage": must be a standard resource for containers')
        for kind in ("limits", "requests")
    ]),
    "named": (asking(limits={"requests.a.io/gpu": "1"}), [
        (f"{kind}[requests.a.io/gpu]", "FieldValueInvalid",
         'Invalid value: "requests.a.io/gpu": doesn\'t follow extended resource name standard')
        for kind in ("limits", "requests")
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNASKABLE)
def test_what_a_container_can_not_ask_for(pod_room, name, case):
    """With or without bounds: what can not be shared is limited to what is asked for, and names are well-formed."""
    wrong, expected = UNASKABLE[case]
    answer = pod_room.create("pods", nowhere(pod(name, wrong)))
    at = "spec.containers[0].resources"
    assert answer.causes == [(f"{at}.{field}", reason, text) for field, reason, text in expected]


def test_one_type_twice(room, name):
    """Each type is limited once."""
    twice = [item(max={"cpu": "1"}), item(max={"cpu": "2"})]
    answer = room.create("limitranges", {"metadata": {"name": name}, "spec": {"limits": twice}})
    expected = [("spec.limits[1].type", "FieldValueDuplicate", 'Duplicate value: "Container"')]
    assert answer.causes == expected


def test_a_limit_range_is_checked_when_it_changes(held, name):
    """An update is held to the same rules."""
    body = {"metadata": {"name": name}, "spec": {"limits": [item("Pod", max={"cpu": "1"}, min={"cpu": "1"})]}}
    held.make("limitranges", body)
    answer = held.patch(
        "limitranges", name, "json", [{"op": "replace", "path": "/spec/limits/0/min/cpu", "value": "2"}]
    )
    text = 'Invalid value: "2": min value 2 is greater than max value 1'
    assert answer.causes == [("spec.limits[0].min[cpu]", "FieldValueInvalid", text)]


def test_a_pod_of_another_namespace(held, pod_room, name):
    """What one namespace bounds is free in another."""
    limit(held, item(**BOUNDS))
    made = pod_room.make("pods", nowhere(pod(name, container("a:1"))))
    assert resources_of(made) == [{}]


def test_two_limit_ranges(held, name):
    """Each fills in by itself what is still open, and each measures all."""
    limit(held, item(defaultRequest={"cpu": "100m"}), name="one")
    limit(held, item(defaultRequest={"memory": "1Mi"}, max={"memory": "1Gi"}), name="two")
    both = [{"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"memory": "1Gi"}}]
    body = nowhere(pod(name, asking()))
    made = known(held, "pods", body, lambda answer: resources_of(answer.ok) == both).json
    text = made["metadata"]["annotations"][NOTE]
    assert text in (
        "LimitRanger plugin set: cpu request for container main",
        "LimitRanger plugin set: memory request for container main; memory limit for container main",
    )
