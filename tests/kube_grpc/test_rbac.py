"""The Role that a pool needs, as text and from the command line."""

import yaml
from pytest import CaptureFixture, mark, raises  # noqa: PT013  # short names for a short file

from kube_grpc.__main__ import main
from kube_grpc.rbac import write_role


def test_the_role_is_the_least_that_works() -> None:
    """list and watch of EndpointSlices in one namespace, bound to the service account that the API server
    named.
    """
    role, binding = yaml.safe_load_all(write_role("shop", "system:serviceaccount:web:client"))

    assert role["kind"] == "Role"
    assert role["metadata"]["namespace"] == "shop"
    assert role["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    ]
    assert binding["metadata"]["namespace"] == "shop"
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": role["metadata"]["name"],
    }
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "client", "namespace": "web"}]


@mark.parametrize(
    ("subject", "expected"),
    [
        (None, {"kind": "ServiceAccount", "name": "default", "namespace": "shop"}),
        ("jane", {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}),
        ("o'neil: x", {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "o'neil: x"}),
    ],
)
def test_whom_it_is_bound_to(subject: str | None, expected: dict[str, str]) -> None:
    """A person is a User, quoted safely; nobody named is the namespace's default service account."""
    _, binding = yaml.safe_load_all(write_role("shop", subject))

    assert binding["subjects"] == [expected]


def test_roles_from_the_command_line(capsys: CaptureFixture[str]) -> None:
    """One Role and binding for each namespace, whatever shape the Services are given in."""
    code = main(
        [
            "rbac",
            "greeter.shop.svc.cluster.local:50051",
            "b.shop",
            "c",
            "-n",
            "web",
            "--service-account",
            "ops:x",
        ]
    )

    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert code == 0
    assert [(item["kind"], item["metadata"]["namespace"]) for item in documents] == [
        ("Role", "shop"),
        ("RoleBinding", "shop"),
        ("Role", "web"),
        ("RoleBinding", "web"),
    ]
    assert documents[1]["subjects"] == [{"kind": "ServiceAccount", "name": "x", "namespace": "ops"}]


@mark.parametrize(
    ("arguments", "text"),
    [
        (["rbac", "10.0.0.1"], '"0" stands where "svc" is expected'),
        (["rbac", "c"], "has no namespace"),
        (
            ["rbac", "c.d", "--service-account", "A b"],
            '--service-account "A b": allowed: NAME or NAMESPACE:NAME',
        ),
    ],
)
def test_a_wrong_command_line(arguments: list[str], text: str, capsys: CaptureFixture[str]) -> None:
    """It ends with code 2 and the reason."""
    with raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert text in capsys.readouterr().err
