"""From a container's specification to its process: image, environment, command, working directory.

The rule it keeps: what can not be had yet is a `NotYet` with the waiting state that the kubelet would show;
nothing is started by halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcluster.kubelet import access, containers
from simcluster.kubelet.containers import PULL_FAILED, Container, Waiting, specs_of
from simcluster.kubelet.environment import (
    ConfigProblem,
    Surroundings,
    make_command,
    make_environment,
    service_variables,
)
from simcluster.kubelet.instance import Command, Instance
from simcluster.kubelet.names import find_hostname, make_hosts, make_resolv_conf
from simcluster.kubelet.probes import Target
from simcluster.kubelet.rooms import Mount, Room

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
# Where the containers of each kind stand in a spec.
GROUPS = {
    "init": "initContainers",
    "sidecar": "initContainers",
    "main": "containers",
    "ephemeral": "ephemeralContainers",
}
START_ERROR = (
    "failed to create containerd task: failed to create shim task: unable to start container process"
)
_CONFIG_ERROR = "CreateContainerConfigError"


class NotYet(Exception):  # noqa: N818 -- no error: the container waits
    """The container can not be started now; `waiting` says why and until when."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.reason)
        self.waiting = waiting


def list_containers(pod: Object) -> list[Container]:
    """The pod's containers, none of them started; init containers and sidecars first, ephemeral ones last."""
    found = []
    for each in pod["spec"].get("initContainers") or ():
        is_sidecar = each.get("restartPolicy") == "Always"
        found.append(Container(each["name"], "sidecar" if is_sidecar else "init"))
    found += [Container(each["name"], "main") for each in pod["spec"]["containers"]]
    return found + [
        Container(each["name"], "ephemeral") for each in pod["spec"].get("ephemeralContainers") or ()
    ]


def find_spec(pod: Object, name: str) -> Object:
    """The specification of one container."""
    return specs_of(pod)[name]


def make_target(worker: PodWorker, name: str, instance: Instance) -> Target:
    """Where the probes of a container go."""
    version = ".".join(worker.host.version.lstrip("v").split(".")[:2])
    assert worker.address is not None  # noqa: S101 -- for mypy: nothing runs before the pod has an address
    delay_s = worker.host.profile.probe_connect_s
    return Target(worker.address, worker.spec(name), instance.run, version, delay_s)


async def launch(worker: PodWorker, name: str) -> Instance:
    """Start one container; NotYet or StartFailed if it can not be."""
    spec, host = worker.spec(name), worker.host
    image_command = host.images.find(spec["image"])
    if image_command is None:
        raise _refuse_image(worker, name, spec)
    if worker.pulls.pop(name, None) is not None or not worker.containers[name].starts:
        text = f'Container image "{spec["image"]}" already present on machine and can be accessed by the pod'
        worker.tell("Normal", "Pulled", text, name)
    try:
        await host.spawner.start()  # it knows whether anything can be mounted
        command = _make(worker, spec, image_command)
    except ConfigProblem as problem:
        worker.tell("Warning", "Failed", f"Error: {problem}", name)
        raise NotYet(Waiting(_CONFIG_ERROR, str(problem), host.clock(), is_blocked=True)) from problem
    worker.tell("Normal", "Created", "Container created", name)
    log = worker.files.open_log(name, worker.containers[name].starts, host.clock)
    try:
        return await Instance.start(host.spawner, command, log)
    except BaseException:
        log.close()
        raise


def _refuse_image(worker: PodWorker, name: str, spec: Object) -> NotYet:
    host, now = worker.host, worker.host.clock()
    if spec.get("imagePullPolicy") == "Never":
        text = f'Container image "{spec["image"]}" is not present with pull policy of Never'
        worker.tell("Warning", "ErrImageNeverPull", text, name)
        worker.tell("Warning", "Failed", "Error: ErrImageNeverPull", name)
        return NotYet(Waiting("ErrImageNeverPull", text, now, is_blocked=True))
    tries = worker.pulls[name] = worker.pulls.get(name, 0) + 1
    text = host.images.explain_absence(spec["image"])
    worker.tell("Normal", "Pulling", f'Pulling image "{spec["image"]}"', name)
    worker.tell("Warning", "Failed", f'Failed to pull image "{spec["image"]}": {text}', name)
    worker.tell("Warning", "Failed", f"Error: {PULL_FAILED}", name)
    # Images are backed off from as crashes are, but after the first failure already.
    wait_s = containers.backoff_s(tries + 1, host.profile)
    return NotYet(Waiting(PULL_FAILED, text, now, now + wait_s, image=spec["image"]))


def surround(worker: PodWorker) -> Surroundings:
    """What the pod's own object does not say."""
    host, namespace = worker.host, worker.pod["metadata"]["namespace"]
    return Surroundings(
        pod_ip="" if worker.address is None else worker.address,
        host_ip=host.place.address,
        lookup=lambda resource, name: host.informers.of(resource).get((namespace, name)),
        services=[each for each in host.informers.of("services").list(namespace) if _is_linked(each)],
        node_capacity=host.capacity,
    )


def _make(worker: PodWorker, spec: Object, image_command: tuple[str, ...]) -> Command:
    """The command with its whole environment; ConfigProblem if it refers to what is not there."""
    host, pod, files = worker.host, worker.pod, worker.files
    around = surround(worker)
    base = host.environment(home=files.cwd, temporary=files.temporary, hostname=find_hostname(pod))
    has_access = access.grant(worker)
    if has_access:
        base["KUBECONFIG"] = str(files.kubeconfig)
    found = make_environment(pod, spec, around)
    # Services are the cluster's doing, not the pod's: they do not count as declared.
    offered = service_variables(around.services)
    declared = {key: value for key, value in found.items() if offered.get(key) != value}
    environment = base | found
    argv = make_command(spec, image_command, environment)
    room = _furnish(worker, spec, environment, has_access=has_access)
    return Command(
        argv,
        environment,
        declared,
        _find_cwd(worker, spec, room),
        stdin=spec.get("stdin", False),
        tty=spec.get("tty", False),
        room=room,
        network=worker.network,
    )


def _find_cwd(worker: PodWorker, spec: Object, room: Room | None) -> Path:
    """The pod's own folder, unless the container is to work in what is mounted.

    Anywhere else `workingDir` is a place in the image; a path of this machine that happens to be called so is
    none of the pod's.
    """
    wanted = Path(spec.get("workingDir") or "")
    if room is not None and any(wanted.is_relative_to(mount.target) for mount in room.mounts):
        return wanted
    return worker.files.cwd


def _furnish(
    worker: PodWorker, spec: Object, environment: Mapping[str, str], *, has_access: bool
) -> Room | None:
    """The room of the container's processes; None if they share all that this machine has. ConfigProblem if
    something has to be mounted and can not be.
    """
    pod, resolver, obstacle = worker.pod, worker.host.network.resolver, worker.host.spawner.mount_obstacle
    if obstacle is not None:
        _refuse_mounts(pod, spec, obstacle)
        return None
    mounts = worker.volumes.mounts(spec, environment, has_access=has_access)
    if worker.address is not None and (resolver is not None or pod["spec"].get("hostAliases")):
        names = {"/etc/hosts": make_hosts(pod, worker.address)}
        if resolver is not None:
            names["/etc/resolv.conf"] = make_resolv_conf(pod, resolver, _read_machine())
        taken = {each.target for each in mounts}
        mounts += tuple(
            Mount(worker.files.write(Path(target).name, text), target)
            for target, text in names.items()
            if target not in taken
        )
    message_path = spec.get("terminationMessagePath", "")
    if message_path:
        mounts = (*mounts, Mount(worker.files.open_message(spec["name"]), message_path))
    hostname = None if worker.network is None else find_hostname(pod)
    return Room(hostname, str(worker.files.stage), mounts) if mounts else None


def _refuse_mounts(pod: Object, spec: Object, obstacle: str) -> None:
    """ConfigProblem if a volume would have to be mounted.

    An emptyDir at the container's workingDir is what every pod has anyway: a private folder that it starts in.
    """
    empty = {each["name"] for each in pod["spec"].get("volumes") or () if "emptyDir" in each}
    others = [
        each["mountPath"]
        for each in spec.get("volumeMounts") or ()
        if each["mountPath"] != access.MOUNT
        and not (each["name"] in empty and each["mountPath"] == spec.get("workingDir"))
    ]
    if others:
        raise ConfigProblem(
            f"volumeMounts {', '.join(others)}: nothing can be mounted on this machine ({obstacle}), except an "
            "emptyDir at the container's workingDir; pass data by env, envFrom or args"
        )


def _read_machine() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def _is_linked(service: Object) -> bool:
    """The API server's own Service is left out: pods are given its real address."""
    return (service["metadata"]["namespace"], service["metadata"]["name"]) != ("default", "kubernetes")
