"""How pods end."""

from rig.objects import FOREVER, container, nowhere, pod


def make(room, name, script=FOREVER, grace=30, **more):
    """A pod that runs."""
    spec = more.pop("spec", {})
    room.make(
        "pods", pod(name, container(room.image, script, **more), terminationGracePeriodSeconds=grace, **spec)
    )
    return room.until(
        "pods",
        name,
        lambda each: (
            each["status"].get("phase") == "Running"
            and each["status"].get("containerStatuses", [{}])[0].get("state", {}).get("running")
            and each
        ),
    )


def end(room, name, **options):
    """Delete a pod and watch its phases to the end."""
    version = room.get("pods", limit=1).ok["metadata"]["resourceVersion"]
    with room.watch("pods", resourceVersion=version, fieldSelector=f"metadata.name={name}") as events:
        room.delete("pods", name, options or None)
        seen = []
        for event in events:
            seen.append(event)
            if event["type"] == "DELETED":
                return seen
    raise AssertionError("it did not go")


def final(events):
    """How the container ended, as the last state that was seen says."""
    return events[-1]["object"]["status"]["containerStatuses"][0]["state"]["terminated"]


def test_sigterm_is_the_first(pod_room, name):
    """A container is asked by SIGTERM."""
    make(pod_room, name, "trap 'exit 42' TERM; sleep 1000000 & wait")
    assert final(end(pod_room, name))["exitCode"] == 42


def test_its_last_phase(pod_room, name):
    """The end is written before the pod goes: a good end is Succeeded."""
    make(pod_room, name)
    events = end(pod_room, name)
    assert events[-1]["object"]["status"]["phase"] == "Succeeded"
    assert [each["type"] for each in events][-1] == "DELETED"


def test_its_last_phase_after_a_failure(pod_room, name):
    """A bad end is Failed."""
    make(pod_room, name, "trap 'exit 1' TERM; sleep 1000000 & wait")
    assert end(pod_room, name)[-1]["object"]["status"]["phase"] == "Failed"


def test_sigkill_is_the_last(pod_room, name):
    """Who does not go within the grace is killed."""
    make(pod_room, name, "trap : TERM; while :; do sleep 1000000 & wait; done", grace=1)
    assert final(end(pod_room, name))["exitCode"] == 137


def test_a_signal_of_ones_own(pod_room, name):
    """stopSignal is behind a feature gate that is closed: the field is dropped."""
    one = container("a:1", lifecycle={"stopSignal": "SIGUSR1"})
    made = pod_room.make("pods", nowhere(pod(name, one, os={"name": "linux"})))
    assert "lifecycle" not in made["spec"]["containers"][0]


def test_marks_come_before_the_end(pod_room, name):
    """The first that is seen is the mark, with the pod still running."""
    make(pod_room, name)
    first = end(pod_room, name)[0]
    assert (first["type"], first["object"]["status"]["phase"]) == ("MODIFIED", "Running")
    assert first["object"]["metadata"]["deletionGracePeriodSeconds"] == 30


def test_a_hook_before_the_end(pod_room, name):
    """A preStop hook runs before SIGTERM."""
    hook = {
        "preStop": {
            "exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1 2>/dev/null || true; sleep 1"]}
        }
    }
    script = "trap 'exit 44' TERM; sleep 1000000 & wait"
    make(pod_room, name, script, lifecycle=hook)
    assert final(end(pod_room, name))["exitCode"] == 44


def test_a_hook_that_sleeps(pod_room, name):
    """A preStop hook may be a sleep."""
    make(pod_room, name, lifecycle={"preStop": {"sleep": {"seconds": 1}}})
    assert final(end(pod_room, name))["exitCode"] == 0


def test_a_hook_that_takes_too_long(pod_room, name):
    """A hook that takes the whole grace leaves two seconds more."""
    hook = {"preStop": {"exec": {"command": ["sleep", "1000"]}}}
    make(pod_room, name, "trap 'exit 45' TERM; sleep 1000000 & wait", grace=1, lifecycle=hook)
    assert final(end(pod_room, name))["exitCode"] in (45, 137)


def test_a_hook_that_fails(pod_room, name):
    """A hook that fails is told, and the end goes on."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "exit 9"]}}}
    make(pod_room, name, lifecycle=hook)
    assert final(end(pod_room, name))["exitCode"] == 0

    def find(items):
        return [
            each
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == "FailedPreStopHook"
        ]

    assert pod_room.until_all("events", find)


def test_the_grace_of_the_request(pod_room, name):
    """The grace of the deletion counts, not that of the spec."""
    make(pod_room, name, "trap : TERM; while :; do sleep 1000000 & wait; done", grace=1000)
    assert final(end(pod_room, name, gracePeriodSeconds=1))["exitCode"] == 137


def test_no_grace_is_no_object(pod_room, name):
    """With a grace of zero the object is gone at once."""
    make(pod_room, name)
    events = end(pod_room, name, gracePeriodSeconds=0)
    assert [each["type"] for each in events] in (["DELETED"], ["MODIFIED", "DELETED"])


def test_killing_is_told(pod_room, name):
    """An Event says that a container is being stopped."""
    make(pod_room, name)
    end(pod_room, name)

    def find(items):
        return [
            each["message"]
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == "Killing"
        ]

    assert pod_room.until_all("events", find) == ["Stopping container main"]


def test_process_one_ignores(pod_room, name):
    """A program that does not handle SIGTERM does not hear it: it is process 1 of its container."""
    make(pod_room, name, "exec sleep 1000000", grace=2)
    assert final(end(pod_room, name))["exitCode"] == 137


def test_readiness_goes_on(pod_room, name):
    """A pod that is ending is still probed for readiness, and not for liveness."""
    probe = {"exec": {"command": ["sh", "-c", "exit 0"]}, "periodSeconds": 1}
    make(pod_room, name, "trap : TERM; while :; do sleep 1000000 & wait; done", grace=3, readinessProbe=probe)
    pod_room.until(
        "pods",
        name,
        lambda each: any(
            one["type"] == "Ready" and one["status"] == "True" for one in each["status"]["conditions"]
        ),
    )
    events = end(pod_room, name)
    marked = [each["object"] for each in events if "deletionTimestamp" in each["object"]["metadata"]]
    assert any(
        one["type"] == "Ready" and one["status"] == "True" for one in marked[0]["status"]["conditions"]
    )


def test_sidecars_end_last(pod_room, name):
    """A sidecar is asked after the others have gone."""
    side = container(pod_room.image, name="side", restartPolicy="Always")
    make(pod_room, name, "trap 'sleep 1; exit 0' TERM; sleep 1000000 & wait", spec={"initContainers": [side]})
    status = end(pod_room, name)[-1]["object"]["status"]
    main = status["containerStatuses"][0]["state"]["terminated"]
    beside = status["initContainerStatuses"][0]["state"]["terminated"]
    assert main["finishedAt"] <= beside["finishedAt"]
