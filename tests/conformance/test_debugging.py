"""Ephemeral containers: what is put into a pod that runs."""

import pytest
from rig.objects import FOREVER, container, nowhere, pod

REFUSED = "cannot be set for an Ephemeral Container"


@pytest.fixture(scope="module")
def runner(pod_room):
    """A pod that runs."""
    one = container(pod_room.image, volumeMounts=[{"name": "space", "mountPath": "/space"}])
    volumes = [{"name": "space", "emptyDir": {}}]
    pod_room.make("pods", pod("runner", one, volumes=volumes, terminationGracePeriodSeconds=0))
    pod_room.until("pods", "runner", lambda each: each["status"]["phase"] == "Running")
    return "runner"


def debugger(room, name, script="true", **more):
    """An ephemeral container."""
    return container(room.image, script, name, **more)


def add(room, where, *containers, **query):
    """The answer to a patch that puts containers into a pod."""
    patch = {"spec": {"ephemeralContainers": list(containers)}}
    return room.patch("pods", where, "strategic", patch, "ephemeralcontainers", **query)


def until(room, where, name, kind):
    """Wait until an ephemeral container is in a state; return its status."""

    def find(each):
        statuses = each["status"].get("ephemeralContainerStatuses", [])
        return next((one for one in statuses if one["name"] == name and kind in one["state"]), None)

    return room.until("pods", where, find)


def test_one_runs_in_a_pod_that_runs(pod_room, runner, name):
    """It is started in the running pod, has a log and an exit code, and leaves the pod as it is."""
    before = pod_room.get("pods", runner).ok
    made = add(pod_room, runner, debugger(pod_room, name, "echo hello; exit 3")).ok
    assert made["metadata"]["generation"] == before["metadata"]["generation"] + 1
    ended = until(pod_room, runner, name, "terminated")
    assert (ended["state"]["terminated"]["exitCode"], ended["ready"], ended["restartCount"]) == (3, False, 0)
    assert "started" not in ended
    assert pod_room.get("pods", runner, "log", container=name).text == "hello\n"
    after = pod_room.get("pods", runner).ok["status"]
    assert after["phase"] == "Running"
    assert [each["restartCount"] for each in after["containerStatuses"]] == [0]


def test_defaults(pod_room, runner, name):
    """It is filled in as containers are."""
    added = add(pod_room, runner, {"name": name, "image": pod_room.image}, dryRun="All").ok
    found = next(each for each in added["spec"]["ephemeralContainers"] if each["name"] == name)
    assert found == {
        "name": name,
        "image": pod_room.image,
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def test_it_may_share_a_volume(pod_room, runner, name):
    """A volume of the pod may be mounted into it."""
    mounts = [{"name": "space", "mountPath": "/space"}]
    wanted = debugger(pod_room, name, "echo x > /space/x && cat /space/x", volumeMounts=mounts)
    assert add(pod_room, runner, wanted).status == 200
    assert until(pod_room, runner, name, "terminated")["state"]["terminated"]["exitCode"] == 0
    assert pod_room.get("pods", runner, "log", container=name).text == "x\n"


def test_one_ends_with_its_pod(own_pod_room, name):
    """A pod whose containers have ended is over, whatever its ephemeral containers do."""
    script = "until [ -f /space/go ]; do sleep 0.1; done"
    volume = {"volumeMounts": [{"name": "space", "mountPath": "/space"}]}
    one = container(own_pod_room.image, script, **volume)
    volumes = [{"name": "space", "emptyDir": {}}]
    own_pod_room.make("pods", pod(name, one, volumes=volumes, restartPolicy="Never"))
    own_pod_room.until("pods", name, lambda each: each["status"]["phase"] == "Running")
    assert (
        add(own_pod_room, name, debugger(own_pod_room, "d", f"touch /space/go; {FOREVER}", **volume)).status
        == 200
    )
    own_pod_room.until("pods", name, lambda each: each["status"]["phase"] == "Succeeded")


def test_an_image_that_is_not_there(pod_room, runner, name):
    """One whose image can not be had waits, and the pod goes on."""
    missing = {"name": name, "image": "nowhere.invalid/x:1"}
    assert add(pod_room, runner, missing).status == 200
    waits = until(pod_room, runner, name, "waiting")
    assert waits["state"]["waiting"]["reason"] in ("ContainerCreating", "ErrImagePull", "ImagePullBackOff")
    assert pod_room.get("pods", runner).ok["status"]["phase"] == "Running"


WRONG = [
    ({"name": "d", "image": ""}, "image", "Required value"),
    ({"name": "D!"}, "name", "Invalid value"),
    ({"name": "main"}, "name", 'Duplicate value: "main"'),
    ({"targetContainerName": "nobody"}, "targetContainerName", 'Not found: "nobody"'),
    ({"ports": [{"containerPort": 80}]}, "ports", REFUSED),
    ({"livenessProbe": {"tcpSocket": {"port": 1}}}, "livenessProbe", REFUSED),
    ({"readinessProbe": {"tcpSocket": {"port": 1}}}, "readinessProbe", REFUSED),
    ({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}, "lifecycle", REFUSED),
    ({"resources": {"requests": {"cpu": "1"}}}, "resources", REFUSED),
    ({"restartPolicy": "Always"}, "restartPolicy", REFUSED),
    ({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, "volumeMounts[0].name", 'Not found: "x"'),
    (
        {"volumeMounts": [{"name": "space", "mountPath": "/x", "subPath": "y"}]},
        "volumeMounts[0].subPath",
        REFUSED,
    ),
]


@pytest.fixture(scope="module")
def waiter(pod_room):
    """A pod that nobody schedules, without ephemeral containers."""
    volumes = [{"name": "space", "emptyDir": {}}]
    pod_room.make("pods", nowhere(pod("waiter", container(pod_room.image), volumes=volumes)))
    return "waiter"


@pytest.mark.parametrize(("given", "field", "text"), WRONG, ids=[each[1] for each in WRONG])
def test_what_is_refused(pod_room, waiter, given, field, text):
    """What no ephemeral container may be, each with its text."""
    wanted = {"name": "d", "image": pod_room.image} | given
    answer = add(pod_room, waiter, wanted, dryRun="All")
    assert answer.status == 422
    [(where, _reason, message)] = answer.causes
    assert where == f"spec.ephemeralContainers[0].{field}"
    assert text in message


def test_not_on_creation(pod_room, name):
    """A pod can not be created with one."""
    wanted = nowhere(pod(name, container(pod_room.image), ephemeralContainers=[debugger(pod_room, "d")]))
    assert pod_room.create("pods", wanted).causes == [
        ("spec.ephemeralContainers", "FieldValueForbidden", "Forbidden: cannot be set on create")
    ]


def test_not_by_the_pod_itself(pod_room, waiter):
    """The pod's own path does not take one."""
    answer = pod_room.patch(
        "pods", waiter, "strategic", {"spec": {"ephemeralContainers": [debugger(pod_room, "d")]}}
    )
    assert (answer.status, [each[0] for each in answer.causes]) == (422, ["spec"])


def test_none_is_taken_away_or_changed(pod_room, name):
    """What was put in stays as it is; more may be added."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image))))
    assert add(pod_room, name, debugger(pod_room, "a")).status == 200
    removed = [{"op": "remove", "path": "/spec/ephemeralContainers"}]
    answer = pod_room.patch("pods", name, "json", removed, "ephemeralcontainers")
    assert answer.causes == [
        (
            "spec.ephemeralContainers",
            "FieldValueForbidden",
            'Forbidden: existing ephemeral containers "a" may not be removed\n',
        )
    ]
    [(_field, _reason, message)] = add(pod_room, name, debugger(pod_room, "a", "false")).causes
    assert message.startswith('Forbidden: existing ephemeral containers "a" may not be changed\n')
    both = add(pod_room, name, debugger(pod_room, "b")).ok["spec"]["ephemeralContainers"]
    assert sorted(each["name"] for each in both) == ["a", "b"]


def test_nothing_else_is_taken(pod_room, waiter):
    """Whatever else is sent there changes nothing, and is no error."""
    before = pod_room.get("pods", waiter).ok
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}}
    after = pod_room.patch("pods", waiter, "strategic", patch, "ephemeralcontainers").ok
    assert (after["spec"], after["metadata"].get("labels")) == (before["spec"], None)


def test_reading_and_replacing(pod_room, name):
    """The subresource shows the whole pod, and takes it back."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image))))
    shown = pod_room.get("pods", name, "ephemeralcontainers").ok
    assert (shown["kind"], shown["metadata"]["name"]) == ("Pod", name)
    shown["spec"]["ephemeralContainers"] = [debugger(pod_room, "a")]
    replaced = pod_room.put("pods", name, shown, "ephemeralcontainers").ok
    assert [each["name"] for each in replaced["spec"]["ephemeralContainers"]] == ["a"]
    assert pod_room.put("pods", name, shown, "ephemeralcontainers").error[:2] == (409, "Conflict")
    owners = {(each["operation"], each.get("subresource")) for each in replaced["metadata"]["managedFields"]}
    assert ("Update", "ephemeralcontainers") in owners
