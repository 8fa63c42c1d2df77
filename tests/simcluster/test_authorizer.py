"""RBAC decides as a real cluster does; nothing is allowed that no rule allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.authorizer import Access, User, explain, is_allowed, rules_of


class Book:
    """Roles and bindings in plain lists."""

    def __init__(self) -> None:
        self.roles: dict[tuple[str, str], Any] = {}
        self.cluster_roles: dict[str, Any] = {}
        self.bound: dict[str, list[Any]] = {}
        self.cluster_bound: list[Any] = []

    def role(self, namespace: str, name: str) -> Any:
        return self.roles.get((namespace, name))

    def cluster_role(self, name: str) -> Any:
        return self.cluster_roles.get(name)

    def role_bindings(self, namespace: str) -> list[Any]:
        return self.bound.get(namespace, [])

    def cluster_role_bindings(self) -> list[Any]:
        return self.cluster_bound


READ_SLICES = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
POOL = User("system:serviceaccount:shop:pool", ("system:serviceaccounts", "system:authenticated"))
LIST_SLICES = Access("list", "discovery.k8s.io", "endpointslices", namespace="shop")


def bind(kind: str, name: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {"roleRef": {"kind": kind, "name": name}, "subjects": list(subjects)}


@pytest.fixture
def book() -> Book:
    book = Book()
    book.roles["shop", "reader"] = {"rules": [READ_SLICES]}
    book.bound["shop"] = [
        bind("Role", "reader", {"kind": "ServiceAccount", "name": "pool", "namespace": "shop"})
    ]
    return book


def test_a_bound_role_allows_what_it_says(book: Book) -> None:
    """A RoleBinding grants the verbs of its Role in its namespace."""
    assert is_allowed(POOL, LIST_SLICES, book)


@pytest.mark.parametrize(
    "access",
    [
        Access("create", "discovery.k8s.io", "endpointslices", namespace="shop"),
        Access("list", "", "endpointslices", namespace="shop"),
        Access("list", "discovery.k8s.io", "endpointslices", namespace="other"),
        Access("list", "discovery.k8s.io", "endpointslices"),
        Access("list", "discovery.k8s.io", "endpointslices", subresource="status", namespace="shop"),
        Access("list", path="/metrics"),
    ],
)
def test_anything_else_is_refused(book: Book, access: Access) -> None:
    """Another verb, group, namespace, scope, subresource or path is not covered."""
    assert not is_allowed(POOL, access, book)


def test_another_account_is_refused(book: Book) -> None:
    """A binding grants to its subjects and to nobody else."""
    assert not is_allowed(User("system:serviceaccount:shop:other"), LIST_SLICES, book)
    assert not is_allowed(User("system:serviceaccount:other:pool"), LIST_SLICES, book)


def test_a_subject_without_namespace_is_in_that_of_the_binding(book: Book) -> None:
    """ServiceAccount subjects default to the RoleBinding's namespace."""
    book.bound["shop"] = [bind("Role", "reader", {"kind": "ServiceAccount", "name": "pool"})]

    assert is_allowed(POOL, LIST_SLICES, book)


def test_a_cluster_role_bound_in_a_namespace_grants_there_only(book: Book) -> None:
    """RoleBinding to ClusterRole: the rules of the one, the scope of the other."""
    book.cluster_roles["view"] = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]}]}
    book.bound["shop"] = [bind("ClusterRole", "view", {"kind": "User", "name": "ann"})]

    assert is_allowed(User("ann"), Access("get", "", "pods", namespace="shop", name="x"), book)
    assert not is_allowed(User("ann"), Access("get", "", "pods", namespace="other", name="x"), book)
    assert not is_allowed(User("ann"), Access("get", "", "nodes", name="x"), book)


def test_a_cluster_role_binding_grants_everywhere(book: Book) -> None:
    """ClusterRoleBinding by group, at cluster scope and in every namespace."""
    book.cluster_roles["all"] = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    book.cluster_bound = [bind("ClusterRole", "all", {"kind": "Group", "name": "ops"})]

    assert is_allowed(User("ann", ("ops",)), Access("delete", "apps", "deployments", namespace="x"), book)
    assert is_allowed(User("ann", ("ops",)), Access("list", "", "nodes"), book)
    assert not is_allowed(User("ann"), Access("list", "", "nodes"), book)


def test_a_binding_to_a_missing_role_grants_nothing(book: Book) -> None:
    """A dangling roleRef is no error and no right."""
    book.roles.clear()

    assert not is_allowed(POOL, LIST_SLICES, book)


def test_masters_may_do_everything(book: Book) -> None:
    """system:masters needs no role."""
    assert is_allowed(User("root", ("system:masters",)), Access("delete", path="/anything"), book)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("greeter-tls", True), ("other", False), ("", False)],
    ids=["named", "other", "list"],
)
def test_resource_names_limit_to_those_names(book: Book, name: str, allowed: bool) -> None:
    """A rule with resourceNames needs the name in the request."""
    book.roles["shop", "reader"] = {
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["greeter-tls"], "verbs": ["get"]}
        ]
    }

    assert is_allowed(POOL, Access("get", "", "secrets", namespace="shop", name=name), book) is allowed


@pytest.mark.parametrize(
    ("resource", "subresource", "allowed"),
    [("pods/log", "log", True), ("*/log", "log", True), ("pods", "log", False), ("pods/log", "", False)],
)
def test_subresources_are_rights_of_their_own(
    resource: str, subresource: str, allowed: bool, book: Book
) -> None:
    """`pods` does not cover `pods/log`, nor the other way round."""
    book.roles["shop", "reader"] = {"rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]}

    assert is_allowed(POOL, Access("get", "", "pods", subresource, "shop", "x"), book) is allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [
        ("/metrics", "/metrics", True),
        ("/api/*", "/api/v1", True),
        ("/api/*", "/apis", False),
        ("*", "/x", True),
    ],
)
def test_paths_match_exactly_or_by_a_final_star(url: str, path: str, allowed: bool, book: Book) -> None:
    """nonResourceURLs: a star counts at the end only."""
    book.cluster_roles["paths"] = {"rules": [{"nonResourceURLs": [url], "verbs": ["get"]}]}
    book.cluster_bound = [bind("ClusterRole", "paths", {"kind": "User", "name": "ann"})]

    assert is_allowed(User("ann"), Access("get", path=path), book) is allowed


def test_refusals_are_worded_as_a_real_server_words_them() -> None:
    """The sentence that people search for."""
    assert explain(POOL, LIST_SLICES) == (
        'User "system:serviceaccount:shop:pool" cannot list resource "endpointslices" in API group '
        '"discovery.k8s.io" in the namespace "shop"'
    )
    assert explain(User("ann"), Access("get", "", "pods", "log")).endswith(
        'cannot get resource "pods/log" in API group "" at the cluster scope'
    )
    assert explain(User("ann"), Access("get", path="/x")) == 'User "ann" cannot get path "/x"'


words = st.sampled_from(["a", "b", "*"])


@given(st.lists(words), st.lists(words), st.lists(words), st.sampled_from("ab"), st.sampled_from("ab"))
def test_no_rule_allows_more_than_its_product(
    verbs: list[str], groups: list[str], resources: list[str], verb: str, other: str
) -> None:
    """Allowed exactly when verb, group and resource are each listed or starred."""
    book = Book()
    rule = {"verbs": verbs, "apiGroups": groups, "resources": resources}
    book.roles["shop", "reader"] = {"rules": [rule]}
    book.bound["shop"] = [bind("Role", "reader", {"kind": "User", "name": "ann"})]
    expected = all(
        {wanted, "*"} & set(listed) for wanted, listed in [(verb, verbs), (other, groups), (verb, resources)]
    )

    assert is_allowed(User("ann"), Access(verb, other, verb, namespace="shop"), book) is expected
    assert list(rules_of(User("ann"), "shop", book)) == [rule]
