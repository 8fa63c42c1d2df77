"""The roles and bindings of the registry, as the authorizer reads them."""

from __future__ import annotations

from simcluster.registry import Object, Registry
from simcluster.store import Key

_GROUP = "rbac.authorization.k8s.io"


class RegistryRoles:
    """Implements `authorizer.Roles`."""

    def __init__(self, registry: Registry) -> None:
        self._store = registry.store

    def role(self, namespace: str, name: str) -> Object | None:
        """Return one Role, or None."""
        return self._get(f"roles.{_GROUP}", namespace, name)

    def cluster_role(self, name: str) -> Object | None:
        """Return one ClusterRole, or None."""
        return self._get(f"clusterroles.{_GROUP}", "", name)

    def role_bindings(self, namespace: str) -> list[Object]:
        """Return the RoleBindings of a namespace."""
        return [record.object for record in self._store.list(f"rolebindings.{_GROUP}", namespace)]

    def cluster_role_bindings(self) -> list[Object]:
        """Return all ClusterRoleBindings."""
        return [record.object for record in self._store.list(f"clusterrolebindings.{_GROUP}")]

    def _get(self, resource: str, namespace: str, name: str) -> Object | None:
        record = self._store.get(Key(resource, namespace, name))
        return None if record is None else record.object
