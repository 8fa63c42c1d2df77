"""What somebody would grant and has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.authorizer import User
from simcluster.errors import Forbidden, NotFound
from simcluster.escalation import check_grant

RBAC = "rbac.authorization.k8s.io"
USER = User("u", ("g",))
Object = Mapping[str, Any]
_SOME = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2)
_RULES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"apiGroups": _SOME, "resources": _SOME, "verbs": _SOME}, optional={"resourceNames": _SOME}
        ),
        st.fixed_dictionaries({"nonResourceURLs": st.just(["/a", "/b*"]), "verbs": _SOME}),
    ),
    max_size=3,
)


class Held:
    """The user holds these rules, everywhere."""

    def __init__(self, *rules: Object) -> None:
        self.held: Object = {"rules": rules}
        self.others: dict[str, Object] = {}

    def role(self, namespace: str, name: str) -> Object | None:
        return self.others.get(name)

    def cluster_role(self, name: str) -> Object | None:
        return self.held if name == "held" else self.others.get(name)

    def role_bindings(self, namespace: str) -> list[Object]:
        return []

    def cluster_role_bindings(self) -> list[Object]:
        subjects = [{"kind": "User", "name": "u"}]
        return [
            {
                "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": "held"},
                "subjects": subjects,
            }
        ]


def role(*rules: Object, **more: Any) -> Object:
    return {"metadata": {"name": "r", "namespace": "n"}, "rules": list(rules)} | more


def rule(groups: str, resources: str, verbs: str, *names: str) -> Object:
    named = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": groups.split(","), "resources": resources.split(), "verbs": verbs.split()} | named


PODS = rule("", "pods secrets", "get list")


@given(_RULES)
def test_who_holds_some_rules_may_grant_them(rules: list[Object]) -> None:
    """Whatever they are."""
    check_grant(USER, f"roles.{RBAC}", None, role(*rules), Held(*rules))


@given(_RULES)
def test_who_holds_nothing_may_grant_nothing(rules: list[Object]) -> None:
    """But a role that gives nothing."""
    if not rules:
        check_grant(USER, f"roles.{RBAC}", None, role(), Held())
        return
    with pytest.raises(Forbidden, match="not currently held"):
        check_grant(USER, f"roles.{RBAC}", None, role(*rules), Held())


def test_what_is_missing_is_said_in_a_real_servers_words() -> None:
    """Right by right, the verbs of one together."""
    wanted = role(PODS, rule("apps", "deployments", "*", "x"), {"nonResourceURLs": ["/x"], "verbs": ["get"]})
    with pytest.raises(Forbidden) as caught:
        check_grant(USER, f"roles.{RBAC}", None, wanted, Held(rule("", "secrets", "list")))

    assert caught.value.message == (
        f'roles.{RBAC} "r" is forbidden: user "u" (groups=["g"]) is attempting to grant RBAC permissions not '
        "currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}\n'
        '{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["x"], Verbs:["*"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}'
    )


def test_one_named_object_is_less_than_all() -> None:
    """Held by name, it can be granted by that name only."""
    held = Held(rule("", "pods", "get", "a"))
    check_grant(USER, f"roles.{RBAC}", None, role(rule("", "pods", "get", "a")), held)

    for wanted in (rule("", "pods", "get"), rule("", "pods", "get", "b")):
        with pytest.raises(Forbidden):
            check_grant(USER, f"roles.{RBAC}", None, role(wanted), held)


def test_an_unchanged_role_is_not_asked_about() -> None:
    """A label can be changed by who could not have made the role."""
    old = role(PODS)
    check_grant(USER, f"roles.{RBAC}", old, role(PODS), Held())


def test_the_verb_escalate_lifts_it_for_roles() -> None:
    """As cluster administrators have it."""
    check_grant(USER, f"roles.{RBAC}", None, role(PODS), Held(rule(RBAC, "roles", "escalate")))
    check_grant(User("u", ("system:masters",)), f"roles.{RBAC}", None, role(PODS), Held())


def test_a_role_that_gathers_needs_everything() -> None:
    """aggregationRule may bring in any right."""
    gathering = role(aggregationRule={"clusterRoleSelectors": []})
    with pytest.raises(Forbidden, match="must have cluster-admin privileges to use the aggregationRule"):
        check_grant(USER, f"clusterroles.{RBAC}", None, gathering, Held(PODS))

    everything = ({"nonResourceURLs": ["*"], "verbs": ["*"]}, rule("*", "*", "*"))
    check_grant(USER, f"clusterroles.{RBAC}", None, gathering, Held(*everything))


def test_a_binding_needs_the_rights_of_its_role_or_the_verb_bind() -> None:
    """And the role has to be there."""
    binding = role(roleRef={"kind": "ClusterRole", "name": "pods"})
    kind = f"rolebindings.{RBAC}"
    for held, is_allowed in (
        (PODS, True),
        (rule(RBAC, "clusterroles", "bind", "pods"), True),
        (rule("", "pods", "get"), False),
    ):
        roles = Held(held)
        roles.others["pods"] = role(PODS)
        if is_allowed:
            check_grant(USER, kind, None, binding, roles)
        else:
            with pytest.raises(Forbidden, match=r'Resources:\["pods"\], Verbs:\["list"\]'):
                check_grant(USER, kind, None, binding, roles)
    with pytest.raises(NotFound, match=f'{kind} "pods" not found'):
        check_grant(USER, kind, None, binding, Held())
