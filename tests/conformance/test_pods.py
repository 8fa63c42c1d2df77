"""Pods and what a kubelet says of them."""

import re

import pytest
from rig.objects import container, pod


def make(room, name, *scripts, **spec):
    """A pod of one container a script; the first is called main."""
    names = ["main", "second", "third"]
    containers = [
        container(room.image, script, name=each) for each, script in zip(names, scripts, strict=False)
    ]
    return room.make("pods", pod(name, *containers, **spec))


def until(room, name, phase):
    """Wait for a phase."""
    return room.until("pods", name, lambda each: each["status"]["phase"] == phase and each)


def statuses(found, field="containerStatuses"):
    """Name → status of a pod's containers."""
    return {each["name"]: each for each in found["status"].get(field, [])}


def conditions(found):
    """Type → status."""
    return {each["type"]: each["status"] for each in found["status"]["conditions"]}


def ended(found, name="main"):
    """How a container ended."""
    return statuses(found)[name]["state"]["terminated"]


def log(room, name, **query):
    """A pod's log."""
    return room.get("pods", name, "log", **query).text


def test_a_pod_that_runs(pod_room, name):
    """A pod that runs has addresses, a start, and containers that run."""
    make(pod_room, name, "exec sleep 1000000", terminationGracePeriodSeconds=0)
    found = pod_room.until(
        "pods",
        name,
        lambda each: (
            conditions(each).get("Ready") == "True" and each if each["status"].get("conditions") else None
        ),
    )
    status = found["status"]
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIPs"] == [{"ip": status["hostIP"]}]
    assert status["startTime"].endswith("Z")
    main = statuses(found)["main"]
    assert (main["ready"], main["started"], main["restartCount"], list(main["state"])) == (
        True,
        True,
        0,
        ["running"],
    )
    assert main["containerID"].partition("://")[2]
    assert main["imageID"]


def test_conditions_of_a_ready_pod(pod_room, name):
    """A ready pod fulfils five conditions."""
    make(pod_room, name, "exec sleep 1000000", terminationGracePeriodSeconds=0)
    found = pod_room.until(
        "pods",
        name,
        lambda each: (
            conditions(each).get("Ready") == "True" and each if each["status"].get("conditions") else None
        ),
    )
    assert conditions(found) == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
def test_a_pod_that_ends(pod_room, name, code, phase, reason):
    """A pod that is not restarted has succeeded or failed, with the code of its container."""
    make(pod_room, name, f"exit {code}", restartPolicy="Never")
    found = until(pod_room, name, phase)
    end = ended(found)
    assert (end["exitCode"], end["reason"]) == (code, reason)
    assert {"startedAt", "finishedAt", "containerID"} <= set(end)
    assert (statuses(found)["main"]["ready"], statuses(found)["main"]["started"]) == (False, False)


def test_a_pod_that_ended_is_not_ready(pod_room, name):
    """A pod that has succeeded is initialized and not ready, and says why."""
    make(pod_room, name, "exit 0", restartPolicy="Never")
    found = until(pod_room, name, "Succeeded")
    said = {each["type"]: (each["status"], each.get("reason")) for each in found["status"]["conditions"]}
    assert said["Ready"] == said["ContainersReady"] == ("False", "PodCompleted")
    assert said["Initialized"] == ("True", "PodCompleted")


def test_a_signal_is_a_code(pod_room, name):
    """A container that a signal ends has 128 and the number as its code."""
    make(pod_room, name, "python3 -c 'import os; os.kill(os.getpid(), 9)'; exit $?", restartPolicy="Never")
    assert ended(until(pod_room, name, "Failed"))["exitCode"] == 137


def test_one_of_two_fails(pod_room, name):
    """A pod fails when one of its containers does, and all have ended."""
    make(pod_room, name, "exit 0", "exit 1", restartPolicy="Never")
    found = until(pod_room, name, "Failed")
    assert (ended(found)["exitCode"], ended(found, "second")["exitCode"]) == (0, 1)


def test_a_container_is_restarted(pod_room, name):
    """A container that ends is started again, and its last end is kept."""
    make(pod_room, name, "exit 5")
    found = pod_room.until(
        "pods", name, lambda each: statuses(each).get("main", {}).get("restartCount", 0) >= 1 and each
    )
    assert statuses(found)["main"]["lastState"]["terminated"]["exitCode"] == 5


def test_a_container_that_crashes_again(pod_room, name):
    """A container that ends again and again is waited with, and says so."""
    make(pod_room, name, "exit 5")
    waiting = pod_room.until(
        "pods",
        name,
        lambda each: (
            statuses(each).get("main", {}).get("state", {}).get("waiting", {}).get("reason")
            == "CrashLoopBackOff"
            and statuses(each)["main"]["state"]["waiting"]
        ),
    )
    assert re.match(
        rf"back-off [\d.]+s restarting failed container=main pod={name}_{pod_room.name}\(.*\)$",
        waiting["message"],
    )


def test_restart_on_failure(pod_room, name):
    """OnFailure restarts what failed and leaves what succeeded."""
    make(pod_room, name, "exit 0", "exit 1", restartPolicy="OnFailure")
    found = pod_room.until(
        "pods", name, lambda each: statuses(each).get("second", {}).get("restartCount", 0) >= 1 and each
    )
    assert (statuses(found)["main"]["restartCount"], found["status"]["phase"]) == (0, "Running")


def test_an_image_that_is_not_there(pod_room, name):
    """An image that can not be had keeps a pod Pending, and says so."""
    pod_room.make("pods", pod(name, container("localhost:1/no-such:image")))
    found = pod_room.until(
        "pods",
        name,
        lambda each: (
            statuses(each).get("main", {}).get("state", {}).get("waiting", {}).get("reason")
            in ("ErrImagePull", "ImagePullBackOff")
            and each
        ),
    )
    assert found["status"]["phase"] == "Pending"
    assert "localhost:1/no-such:image" in statuses(found)["main"]["state"]["waiting"]["message"]


def test_an_image_that_must_be_there(pod_room, name):
    """With the policy Never an image is not pulled."""
    pod_room.make("pods", pod(name, container("localhost:1/no-such:image", imagePullPolicy="Never")))
    waiting = pod_room.until(
        "pods",
        name,
        lambda each: (
            statuses(each).get("main", {}).get("state", {}).get("waiting", {}).get("reason")
            == "ErrImageNeverPull"
            and statuses(each)["main"]["state"]["waiting"]
        ),
    )
    assert (
        waiting["message"]
        == 'Container image "localhost:1/no-such:image" is not present with pull policy of Never'
    )


def test_a_command_that_is_not_there(pod_room, name):
    """A command that can not be started is a StartError with code 128."""
    pod_room.make(
        "pods",
        pod(
            name,
            {"name": "main", "image": pod_room.image, "command": ["/no/such/program"]},
            restartPolicy="Never",
        ),
    )
    end = ended(until(pod_room, name, "Failed"))
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "no such file or directory" in end["message"]


def test_a_secret_that_is_not_there(pod_room, name):
    """A container that needs what is not there waits, and starts when it comes."""
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": name, "key": "x"}}}]
    pod_room.make(
        "pods", pod(name, container(pod_room.image, 'test "$X" = 1', env=env), restartPolicy="Never")
    )
    waiting = pod_room.until(
        "pods",
        name,
        lambda each: (
            statuses(each).get("main", {}).get("state", {}).get("waiting", {}).get("reason")
            == "CreateContainerConfigError"
            and statuses(each)["main"]["state"]["waiting"]
        ),
    )
    assert waiting["message"] == f'configmap "{name}" not found'
    pod_room.make("configmaps", {"metadata": {"name": name}, "data": {"x": "1"}})
    until(pod_room, name, "Succeeded")


def test_init_containers(pod_room, name):
    """Init containers run one after the other, before the others."""
    first = container(pod_room.image, "exit 0", name="first")
    second = container(pod_room.image, "exit 0", name="last")
    make(pod_room, name, "exit 0", restartPolicy="Never", initContainers=[first, second])
    found = until(pod_room, name, "Succeeded")
    inits = statuses(found, "initContainerStatuses")
    assert [inits[each]["state"]["terminated"]["reason"] for each in ("first", "last")] == [
        "Completed",
        "Completed",
    ]
    assert (
        inits["first"]["state"]["terminated"]["finishedAt"]
        <= inits["last"]["state"]["terminated"]["startedAt"]
    )
    assert inits["last"]["state"]["terminated"]["finishedAt"] <= ended(found)["startedAt"]


def test_an_init_container_that_fails(pod_room, name):
    """When an init container fails the others never start."""
    make(
        pod_room,
        name,
        "exit 0",
        restartPolicy="Never",
        initContainers=[container(pod_room.image, "exit 7", name="first")],
    )
    found = until(pod_room, name, "Failed")
    assert statuses(found, "initContainerStatuses")["first"]["state"]["terminated"]["exitCode"] == 7
    assert statuses(found)["main"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert conditions(found)["Initialized"] == "False"


def test_a_sidecar(pod_room, name):
    """An init container that restarts always runs beside the others, and does not keep the pod."""
    side = container(pod_room.image, name="side", restartPolicy="Always")
    make(pod_room, name, "exit 0", restartPolicy="Never", initContainers=[side])
    found = until(pod_room, name, "Succeeded")
    assert "terminated" in statuses(found, "initContainerStatuses")["side"]["state"]


def test_a_deadline(pod_room, name):
    """A pod that runs longer than its deadline has failed."""
    make(pod_room, name, "exec sleep 1000000", activeDeadlineSeconds=1)
    found = until(pod_room, name, "Failed")
    assert (found["status"]["reason"], found["status"]["message"]) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )


VARIABLES = {
    "name": ({"fieldRef": {"fieldPath": "metadata.name"}}, "{name}"),
    "namespace": ({"fieldRef": {"fieldPath": "metadata.namespace"}}, "{room}"),
    "label": ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "x"),
    "annotation": ({"fieldRef": {"fieldPath": "metadata.annotations['note']"}}, "y"),
    "account": ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "default"),
    "limit": ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}, "500"),
    "config-map": ({"configMapKeyRef": {"name": "box", "key": "a"}}, "1"),
    "secret": ({"secretKeyRef": {"name": "safe", "key": "b"}}, "2"),
    "optional": ({"configMapKeyRef": {"name": "nothing", "key": "a", "optional": True}}, ""),
}


@pytest.fixture(scope="module")
def boxes(pod_room):
    """A ConfigMap and a Secret."""
    pod_room.make("configmaps", {"metadata": {"name": "box"}, "data": {"a": "1"}})
    pod_room.make("secrets", {"metadata": {"name": "safe"}, "stringData": {"b": "2"}})


def test_variables(pod_room, boxes, name):
    """Variables come from the pod, from its limits, from ConfigMaps and Secrets."""
    env = [
        {"name": key.replace("-", "_").upper(), "valueFrom": source} for key, (source, _) in VARIABLES.items()
    ]
    script = "\n".join(f'echo "{key}=${{{key.replace("-", "_").upper()}}}"' for key in VARIABLES)
    body = pod(
        name,
        container(pod_room.image, script, env=env, resources={"limits": {"cpu": "500m"}}),
        restartPolicy="Never",
        labels={"app": "x"},
    )
    body["metadata"]["annotations"] = {"note": "y"}
    pod_room.make("pods", body)
    until(pod_room, name, "Succeeded")
    expected = [
        f"{key}={value.format(name=name, room=pod_room.name)}" for key, (_, value) in VARIABLES.items()
    ]
    assert log(pod_room, name).splitlines() == expected


def test_variables_from_all_of_it(pod_room, boxes, name):
    """envFrom takes every key, with a prefix."""
    one = container(
        pod_room.image,
        'echo "$a $P_b"',
        envFrom=[{"configMapRef": {"name": "box"}}, {"prefix": "P_", "secretRef": {"name": "safe"}}],
    )
    pod_room.make("pods", pod(name, one, restartPolicy="Never"))
    until(pod_room, name, "Succeeded")
    assert log(pod_room, name) == "1 2\n"


def test_variables_in_variables(pod_room, name):
    """$(NAME) is what was defined before; $$ and what is not defined stay."""
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2 $(NOTHING) $$(A)"}]
    one = {"name": "main", "image": pod_room.image, "command": ["echo"], "args": ["$(B)"], "env": env}
    pod_room.make("pods", pod(name, one, restartPolicy="Never"))
    until(pod_room, name, "Succeeded")
    assert log(pod_room, name) == "12 $(NOTHING) $(A)\n"


def test_variables_of_services(pod_room, name):
    """Services of the namespace are variables; without links they are not."""
    pod_room.make(
        "services", {"metadata": {"name": name}, "spec": {"ports": [{"name": "web", "port": 1234}]}}
    )
    stem = name.upper().replace("-", "_")
    script = f'echo "${{{stem}_SERVICE_PORT}} ${{{stem}_SERVICE_PORT_WEB}} ${{{stem}_PORT_1234_TCP_PROTO}}"'
    address = pod_room.get("services", name).ok["spec"]["clusterIP"]
    make(
        pod_room, f"{name}-a", f'{script}; test "${{{stem}_SERVICE_HOST}}" = {address}', restartPolicy="Never"
    )
    make(pod_room, f"{name}-b", script, restartPolicy="Never", enableServiceLinks=False)
    until(pod_room, f"{name}-a", "Succeeded")
    until(pod_room, f"{name}-b", "Succeeded")
    assert [log(pod_room, f"{name}-{each}") for each in "ab"] == ["1234 1234 tcp\n", "  \n"]


def test_the_host_name(pod_room, name):
    """A pod's HOSTNAME is its name."""
    make(pod_room, name, 'echo "$HOSTNAME"', restartPolicy="Never")
    until(pod_room, name, "Succeeded")
    assert log(pod_room, name) == f"{name}\n"


def test_last_words(pod_room, name):
    """With FallbackToLogsOnError the end of the log is the message of a failure."""
    one = container(pod_room.image, "echo goodbye; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    pod_room.make("pods", pod(name, one, restartPolicy="Never"))
    assert ended(until(pod_room, name, "Failed"))["message"] == "goodbye\n"


def test_events_of_a_pod(pod_room, name):
    """A kubelet tells what it does."""
    make(pod_room, name, "exit 0", restartPolicy="Never")
    until(pod_room, name, "Succeeded")

    def find(items):
        said = {
            each["reason"]: each["message"]
            for each in items
            if each["involvedObject"]["name"] == name and each["source"].get("component") == "kubelet"
        }
        return {"Pulled", "Created", "Started"} <= set(said) and said

    said = pod_room.until_all("events", find)
    assert (said["Created"], said["Started"]) == ("Container created", "Container started")
    assert said["Pulled"].startswith(f'Container image "{pod_room.image}" already present on machine')


def test_hooks_after_the_start(pod_room, name):
    """A postStart hook that fails ends the container, and is told."""
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "exit 1"]}}}
    pod_room.make("pods", pod(name, container(pod_room.image, lifecycle=hook), restartPolicy="Never"))
    pod_room.until("pods", name, lambda each: each["status"]["phase"] in ("Succeeded", "Failed"))

    def find(items):
        return [
            each
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == "FailedPostStartHook"
        ]

    assert pod_room.until_all("events", find)


def test_generations_of_a_pod(pod_room, name):
    """A pod's generation is what its kubelet has seen."""
    make(pod_room, name, "exec sleep 1000000", terminationGracePeriodSeconds=0)
    found = until(pod_room, name, "Running")
    assert (found["metadata"]["generation"], found["status"]["observedGeneration"]) == (1, 1)


def test_a_node(api):
    """A node has addresses, capacity, a version and five conditions."""
    found = api.get("/api/v1/nodes").ok["items"][0]["status"]
    assert {"InternalIP", "Hostname"} <= {each["type"] for each in found["addresses"]}
    assert {"cpu", "memory", "pods"} <= set(found["capacity"]) & set(found["allocatable"])
    said = {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}
    assert said == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"), "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"), "Ready": ("True", "KubeletReady"),
    }  # fmt: skip


def test_a_lease_of_a_node(api):
    """A node renews a lease of forty seconds."""
    node = api.get("/api/v1/nodes").ok["items"][0]["metadata"]
    found = api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node['name']}").ok
    assert (found["spec"]["holderIdentity"], found["spec"]["leaseDurationSeconds"]) == (node["name"], 40)
    assert found["metadata"]["ownerReferences"][0]["uid"] == node["uid"]
