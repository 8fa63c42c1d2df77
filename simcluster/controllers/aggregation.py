"""ClusterRoles that gather the rules of others, by label: `aggregationRule`.

The rule it keeps: such a role has the rules of all that its selectors choose, in the order of their names, each once;
what somebody wrote into it by hand goes. Source: kubernetes pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from simcluster.controllers.loop import Context, ControlLoop
from simcluster.controllers.metadata import Name, labels_of, name_of
from simcluster.selectors import matches_label_selector

Object = dict[str, Any]
ROLES = "clusterroles.rbac.authorization.k8s.io"


def gather(role: Object, roles: Iterable[Object]) -> list[Object]:
    """Return the rules that a role has by its aggregationRule. Pure."""
    selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
    found: list[Object] = []
    for other in sorted(roles, key=lambda each: str(each["metadata"]["name"])):
        if other["metadata"]["name"] == role["metadata"]["name"]:
            continue
        if any(matches_label_selector(each, labels_of(other)) for each in selectors):
            found += [rule for rule in other.get("rules") or () if rule not in found]
    return found


class ClusterRoles:
    """Keeps the rules of each gathering ClusterRole."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._roles = context.informers.of(ROLES)
        self.loop = ControlLoop("clusterrole-aggregation", context, self.sync)
        self._roles.handle(self._on_role)

    def sync(self, key: Name) -> None:
        """Write the rules of one role, if they have changed."""
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = gather(role, self._roles.list())
        if rules != (role.get("rules") or []):
            self._registry.update(ROLES, None, key[1], deepcopy(role) | {"rules": rules})

    def _on_role(self, _old: Object | None, _new: Object | None) -> None:
        for role in self._roles.list():
            if role.get("aggregationRule"):
                self.loop.queue.add(name_of(role))
