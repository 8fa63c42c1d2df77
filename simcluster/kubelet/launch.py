"""From a container's specification to its process: image, environment, command, working directory.

The rule it keeps: what can not be had yet is a `NotYet` with the waiting state that the kubelet would show;
nothing is started by halves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcluster.controllers.metadata import uid_of
from simcluster.errors import NotFound
from simcluster.kubelet import containers
from simcluster.kubelet.containers import PULL_FAILED, Container, Waiting
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
from simcluster.tokens import Bearer

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
START_ERROR = (
    "failed to create containerd task: failed to create shim task: unable to start container process"
)
_CONFIG_ERROR = "CreateContainerConfigError"
# As real API servers stretch the tokens of pods (--service-account-extend-token-expiration).
_TOKEN_S = 365 * 24 * 3600
_TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 -- a path


class NotYet(Exception):  # noqa: N818 -- no error: the container waits
    """The container can not be started now; `waiting` says why and until when."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.reason)
        self.waiting = waiting


def list_containers(pod: Object) -> list[Container]:
    """The pod's containers, none of them started; init containers and sidecars first."""
    found = []
    for each in pod["spec"].get("initContainers") or ():
        is_sidecar = each.get("restartPolicy") == "Always"
        found.append(Container(each["name"], "sidecar" if is_sidecar else "init"))
    return found + [Container(each["name"], "main") for each in pod["spec"]["containers"]]


def find_spec(pod: Object, name: str) -> Object:
    """The specification of one container."""
    every = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    spec: Object = next(each for each in every if each["name"] == name)
    return spec


def make_target(worker: PodWorker, name: str, instance: Instance) -> Target:
    """Where the probes of a container go."""
    version = ".".join(worker.host.version.lstrip("v").split(".")[:2])
    assert worker.address is not None  # noqa: S101 -- for mypy: nothing runs before the pod has an address
    return Target(worker.address, worker.spec(name), instance.run, version)


async def launch(worker: PodWorker, name: str) -> Instance:
    """Start one container; NotYet or StartFailed if it can not be."""
    spec, host = worker.spec(name), worker.host
    image_command = host.images.find(spec["image"])
    if image_command is None:
        raise _refuse_image(worker, name, spec)
    if worker.pulls.pop(name, None) is not None or not worker.containers[name].starts:
        worker.tell("Normal", "Pulled", f'Container image "{spec["image"]}" already present on machine', name)
    try:
        _refuse_volumes(worker.pod, spec)
        command = _make(worker, spec, image_command)
    except ConfigProblem as problem:
        worker.tell("Warning", "Failed", f"Error: {problem}", name)
        raise NotYet(Waiting(_CONFIG_ERROR, str(problem), host.clock(), is_blocked=True)) from problem
    worker.tell("Normal", "Created", f"Created container: {name}", name)
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
        return NotYet(Waiting("ErrImageNeverPull", text, now, is_blocked=True))
    tries = worker.pulls[name] = worker.pulls.get(name, 0) + 1
    text = host.images.explain_absence(spec["image"])
    worker.tell("Warning", "Failed", f"{PULL_FAILED}: {text}", name)
    # Images are backed off from as crashes are, but after the first failure already.
    wait_s = containers.backoff_s(tries + 1, host.profile)
    return NotYet(Waiting(PULL_FAILED, text, now, now + wait_s))


def _refuse_volumes(pod: Object, spec: Object) -> None:
    """ConfigProblem if a volume would have to be mounted.

    An emptyDir at the container's workingDir is what every pod has anyway: a private folder that it starts in.
    """
    empty = {each["name"] for each in pod["spec"].get("volumes") or () if "emptyDir" in each}
    others = [
        each["mountPath"]
        for each in spec.get("volumeMounts") or ()
        if each["mountPath"] != _TOKEN_MOUNT
        and not (each["name"] in empty and each["mountPath"] == spec.get("workingDir"))
    ]
    if others:
        raise ConfigProblem(
            f"volumeMounts {', '.join(others)}: pods of the loopback network are processes that share this machine's "
            "files, so nothing can be mounted, except an emptyDir at the container's workingDir; pass data by env, "
            "envFrom or args"
        )


def _make(worker: PodWorker, spec: Object, image_command: tuple[str, ...]) -> Command:
    """The command with its whole environment; ConfigProblem if it refers to what is not there."""
    host, pod, files = worker.host, worker.pod, worker.files
    metadata = pod["metadata"]
    services = [
        each for each in host.informers.of("services").list(metadata["namespace"]) if _is_linked(each)
    ]
    around = Surroundings(
        pod_ip="" if worker.address is None else worker.address,
        host_ip=host.place.address,
        lookup=lambda resource, name: _look_up(worker, resource, name),
        services=services,
        node_capacity=host.capacity,
    )
    base = host.environment(home=files.cwd, temporary=files.temporary, hostname=find_hostname(pod))
    if _grant_access(worker):
        base["KUBECONFIG"] = str(files.kubeconfig)
    found = make_environment(pod, spec, around)
    # Services are the cluster's doing, not the pod's: they do not count as declared.
    offered = service_variables(services)
    declared = {key: value for key, value in found.items() if offered.get(key) != value}
    environment = base | found
    # `workingDir` is a place in the image; a path of this machine that happens to be called so is none of the pod's.
    argv = make_command(spec, image_command, environment)
    return Command(
        argv,
        environment,
        declared,
        files.cwd,
        stdin=spec.get("stdin", False),
        tty=spec.get("tty", False),
        room=_furnish(worker),
        network=worker.network,
    )


def _furnish(worker: PodWorker) -> Room | None:
    """The room of the pod's processes; None if they share all that this machine has."""
    resolver, pod = worker.host.network.resolver, worker.pod
    if resolver is None or worker.address is None:
        return None
    mounts = (
        Mount(worker.files.write("hosts", make_hosts(pod, worker.address)), "/etc/hosts"),
        Mount(
            worker.files.write("resolv.conf", make_resolv_conf(pod, resolver, _read_machine())),
            "/etc/resolv.conf",
        ),
    )
    return Room(find_hostname(pod), str(worker.files.stage), mounts)


def _read_machine() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def _is_linked(service: Object) -> bool:
    """The API server's own Service is left out: pods are given its real address."""
    return (service["metadata"]["namespace"], service["metadata"]["name"]) != ("default", "kubernetes")


def _look_up(worker: PodWorker, resource: str, name: str) -> Object | None:
    return worker.host.informers.of(resource).get((worker.pod["metadata"]["namespace"], name))


def _grant_access(worker: PodWorker) -> bool:
    """Give the pod its service account's token; False if it does not want one. ConfigProblem without an
    account.
    """
    host, pod = worker.host, worker.pod
    metadata, name = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
    try:
        account = host.registry.get("serviceaccounts", metadata["namespace"], name)
    except NotFound as error:
        raise ConfigProblem(f'serviceaccount "{name}" not found') from error
    wanted = pod["spec"].get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is False:
        return False
    if not worker.files.kubeconfig.exists():
        bearer = Bearer(metadata["namespace"], name, uid_of(account), metadata["name"], uid_of(pod))
        token = host.tokens.mint(bearer, now=host.clock(), lasts_s=_TOKEN_S)
        worker.files.write_access(host.endpoint, token, metadata["namespace"])
    return True
