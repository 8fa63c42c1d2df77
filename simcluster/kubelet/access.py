"""A pod's way to the API: the token of its service account, where it is to be found, and its renewal.

The rules it keeps: a pod that may have a token finds it, the authority and its namespace in one directory, as
in-cluster clients look for them, and a kubeconfig beside that says the same; the token lasts an hour and is
replaced when four fifths of that are over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcluster.errors import NotFound
from simcluster.kubelet.environment import ConfigProblem
from simcluster.kubelet.volume_files import write_files
from simcluster.kubelet.volumes import File
from simcluster.store import Key
from simcluster.tokens import Bearer

if TYPE_CHECKING:
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME = "kube-api-access"
# What admission asks for (plugin/pkg/admission/serviceaccount).
_LASTS_S = 3607
RENEWED_AT = 0.8  # of a token's time (pkg/kubelet/token/token_manager.go)
_MODE = 0o644


def find_account(worker: PodWorker) -> Object:
    """The pod's service account; ConfigProblem if there is none of that name."""
    name = worker.pod["spec"].get("serviceAccountName") or "default"
    try:
        return worker.host.registry.get("serviceaccounts", worker.pod["metadata"]["namespace"], name)
    except NotFound as error:
        raise ConfigProblem(f'serviceaccount "{name}" not found') from error


def mint_token(worker: PodWorker, seconds: int, audience: str | None = None) -> str:
    """A new token of the pod's service account, bound to the pod; ConfigProblem without an account."""
    host, pod = worker.host, worker.pod
    node = host.registry.store.get(Key("nodes", "", pod["spec"]["nodeName"]))
    bearer = Bearer.of_pod(find_account(worker), pod, None if node is None else node.object)
    if audience:
        return host.tokens.mint(bearer, now=host.clock(), lasts_s=seconds, audiences=[audience])
    return host.tokens.mint(bearer, now=host.clock(), lasts_s=seconds)


def grant(worker: PodWorker) -> bool:
    """Give the pod its token, if it has none yet; False if it does not want one. ConfigProblem without an
    account.
    """
    account = find_account(worker)
    wanted = worker.pod["spec"].get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is False:
        return False
    if not worker.files.kubeconfig.exists():
        _write(worker)
    return True


def _write(worker: PodWorker) -> None:
    host, namespace = worker.host, worker.pod["metadata"]["namespace"]
    token = mint_token(worker, _LASTS_S)
    worker.files.write_access(host.endpoint, token, namespace)
    texts = {"token": token.encode(), "ca.crt": host.endpoint["authority"], "namespace": namespace.encode()}
    directory = worker.files.volumes / VOLUME
    directory.mkdir(parents=True, exist_ok=True)
    write_files(directory, {name: File(data, _MODE) for name, data in texts.items()}, host.clock())
    worker.volumes.call_later(VOLUME, _LASTS_S * RENEWED_AT, lambda: _renew(worker))


def _renew(worker: PodWorker) -> None:
    try:
        _write(worker)
    except ConfigProblem as problem:
        worker.host.recorder.record(worker.pod, "Warning", "FailedMount", str(problem))
