"""What every active namespace has: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

The rule it keeps: both are there again after someone deleted them, and the certificate is put right after
someone changed it; in a namespace that is being deleted nothing is made. Sources:
pkg/controller/serviceaccount/serviceaccounts_controller.go, pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from copy import deepcopy

from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, is_deleting, name_of
from simcluster.controllers.pod_control import is_namespace_terminating
from simcluster.errors import AlreadyExists, Forbidden
from simcluster.store import Object

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


class ServiceAccounts:
    """Keeps the two objects in each namespace; `ca_certificate` is PEM text."""

    def __init__(self, context: Context, *, ca_certificate: str) -> None:
        self._registry = context.registry
        self._ca_certificate = ca_certificate
        self._namespaces = context.informers.of("namespaces")
        self._accounts = context.informers.of("serviceaccounts")
        self._config_maps = context.informers.of("configmaps")
        self.loop = ControlLoop("serviceaccount", context, self.sync)
        self._namespaces.handle(self._on_namespace)
        self._accounts.handle(self._on_content)
        self._config_maps.handle(self._on_content)

    def sync(self, key: Name) -> None:
        """Make what one namespace lacks; the key's name is the namespace's."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace):
            return
        if self._accounts.get((key[1], ACCOUNT)) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(ACCOUNT, key[1])}
            self._create("serviceaccounts", key[1], account)
        self._keep_root_ca(key[1])

    def _keep_root_ca(self, namespace: str) -> None:
        data = {"ca.crt": self._ca_certificate}
        current = self._config_maps.get((namespace, ROOT_CA))
        if current is None:
            metadata = _metadata(ROOT_CA, namespace) | {
                "annotations": {"kubernetes.io/description": _DESCRIPTION}
            }
            config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            self._create("configmaps", namespace, config_map)
        elif current.get("data") != data:
            copy = deepcopy(current) | {"data": data}
            self._registry.update("configmaps", namespace, ROOT_CA, copy)

    def _create(self, resource: str, namespace: str, obj: Object) -> None:
        try:
            self._registry.create(resource, namespace, obj)
        except AlreadyExists:
            return
        except Forbidden as error:
            if not is_namespace_terminating(error):
                raise

    def _on_namespace(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.queue.add(name_of(new))

    def _on_content(self, old: Object | None, new: Object | None) -> None:
        changed = new if new is not None else old
        if changed is not None and name_of(changed)[1] in (ACCOUNT, ROOT_CA):
            self.loop.queue.add(("", name_of(changed)[0]))


def _metadata(name: str, namespace: str) -> Object:
    return {"name": name, "namespace": namespace}
