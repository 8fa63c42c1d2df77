"""Environment and command line of containers, images and quantities: pure."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.kubelet.environment import ConfigProblem, Surroundings, make_command, make_environment
from simcluster.kubelet.expansion import expand
from simcluster.kubelet.images import BindingError, Images, normalize, parse_binding
from simcluster.schema.quantities import divide, parse

POD: dict[str, Any] = {
    "metadata": {
        "name": "greeter-1", "namespace": "shop", "uid": "u-1",
        "labels": {"app": "greeter"}, "annotations": {"note": "x y"},
    },
    "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": [{"name": "c", "image": "i"}]},
}  # fmt: skip
OBJECTS = {
    ("configmaps", "cm"): {"data": {"a": "1", "b": "2"}},
    ("secrets", "s"): {
        "data": {"key": base64.b64encode(b"hidden").decode(), "raw": base64.b64encode(b"\xff").decode()}
    },
}
SERVICE = {
    "metadata": {"name": "my-db", "namespace": "shop"},
    "spec": {"clusterIP": "127.20.1.5", "ports": [{"name": "sql-x", "port": 5432, "protocol": "TCP"}]},
}


def around(*services: dict[str, Any]) -> Surroundings:
    return Surroundings(
        "127.20.128.1",
        "127.20.0.100",
        lambda kind, name: OBJECTS.get((kind, name)),
        services,
        {"cpu": "4", "memory": "2Ki"},
    )


def environment(*services: dict[str, Any], pod: dict[str, Any] = POD, **container: Any) -> dict[str, str]:
    return make_environment(pod, {"name": "c", "image": "i"} | container, around(*services))


def source(kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": "X", "valueFrom": {kind: fields}}]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"), ("x$(A)y$(B)", "x1y$(A)"), ("$(NO)", "$(NO)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"),
        ("$A", "$A"), ("$(A", "$(A"), ("$", "$"), ("$$", "$"), ("$()", "$()"), ("a$", "a$"),
    ],
)  # fmt: skip
def test_references_expand_as_in_kubernetes(text: str, expanded: str) -> None:
    """Known names are replaced once, unknown ones stay, two dollars are one."""
    assert expand(text, {"A": "1", "B": "$(A)"}) == expanded


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.text(alphabet="$()AB x"), st.dictionaries(st.sampled_from("AB"), st.text(alphabet="$()A"), max_size=2)
)
def test_text_without_dollars_is_never_changed(text: str, values: dict[str, str]) -> None:
    """Expansion touches nothing but references, for any text."""
    plain = text.replace("$", "")
    assert expand(plain, values) == plain
    assert expand(text.replace("$", "$$"), values) == text


def test_later_entries_see_earlier_ones() -> None:
    """`env` overrides `envFrom`, and refers to it, to what came before, and to Services."""
    found = environment(
        SERVICE,
        envFrom=[{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
        env=[
            {"name": "FIRST", "value": "$(P_a)$(SECOND)"}, {"name": "SECOND", "value": "$(FIRST)!"},
            {"name": "P_b", "value": "mine"}, {"name": "DB", "value": "$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)"},
            {"name": "EMPTY"},
        ],
    )  # fmt: skip
    assert (found["P_a"], found["P_b"], found["key"]) == ("1", "mine", "hidden")
    assert (found["FIRST"], found["SECOND"]) == ("1$(SECOND)", "1$(SECOND)!")
    assert (found["DB"], found["EMPTY"]) == ("127.20.1.5:5432", "")
    assert found["raw"].encode("utf-8", "surrogateescape") == b"\xff"


def test_variables_of_services() -> None:
    """All that the kubelet makes of a Service with a cluster IP; nothing of headless ones, or when links are off."""
    headless = {
        "metadata": {"name": "h", "namespace": "shop"},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    }
    assert environment(SERVICE, headless) == {
        "MY_DB_SERVICE_HOST": "127.20.1.5", "MY_DB_SERVICE_PORT": "5432", "MY_DB_SERVICE_PORT_SQL_X": "5432",
        "MY_DB_PORT": "tcp://127.20.1.5:5432", "MY_DB_PORT_5432_TCP": "tcp://127.20.1.5:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp", "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "127.20.1.5",
    }  # fmt: skip
    without = POD | {"spec": POD["spec"] | {"enableServiceLinks": False}}
    assert environment(SERVICE, pod=without) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "greeter-1"), ("metadata.namespace", "shop"), ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "greeter"), ("metadata.annotations['note']", "x y"), ("metadata.labels['no']", ""),
        ("spec.nodeName", "node"), ("spec.serviceAccountName", "sa"), ("status.podIP", "127.20.128.1"),
        ("status.podIPs", "127.20.128.1"), ("status.hostIP", "127.20.0.100"),
    ],
)  # fmt: skip
def test_downward_api(path: str, value: str) -> None:
    """Each field that a container can ask for."""
    assert environment(env=source("fieldRef", fieldPath=path)) == {"X": value}


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "2"), ("limits.cpu", "1m", "1500"), ("requests.memory", "1Mi", "65"),
        ("limits.memory", "1Ki", "2"), ("requests.cpu", "0", "0"),
    ],
)  # fmt: skip
def test_resources(resource: str, divisor: str | None, value: str) -> None:
    """Rounded up to the divisor; without a limit the node's capacity counts, without a request nothing."""
    resources = {"limits": {"cpu": "1500m"}, "requests": {"memory": "64.5Mi"}}
    asked: dict[str, Any] = {"resource": resource} | ({} if divisor is None else {"divisor": divisor})
    assert environment(resources=resources, env=source("resourceFieldRef", **asked)) == {"X": value}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"env": source("secretKeyRef", name="gone", key="k")}, 'secret "gone" not found'),
        ({"env": source("secretKeyRef", name="s", key="k")}, "couldn't find key k in Secret shop/s"),
        ({"env": source("configMapKeyRef", name="gone", key="k")}, 'configmap "gone" not found'),
        ({"env": source("configMapKeyRef", name="cm", key="k")}, "couldn't find key k in ConfigMap shop/cm"),
        ({"envFrom": [{"configMapRef": {"name": "gone"}}]}, 'configmap "gone" not found'),
        ({"envFrom": [{"secretRef": {"name": "gone"}}]}, 'secret "gone" not found'),
        (
            {"env": source("fieldRef", fieldPath="spec.x")},
            "failed to fetch field path spec.x: unsupported fieldPath: spec.x",
        ),
        (
            {"env": source("fileKeyRef", path="x")},
            "env X: valueFrom fileKeyRef is not supported by this cluster",
        ),
        (
            {"env": source("resourceFieldRef", resource="limits.cpu", containerName="no")},
            'container "no" not found',
        ),
    ],
)
def test_what_can_not_be_resolved(container: dict[str, Any], message: str) -> None:
    """The kubelet's words, which `kubectl describe` shows."""
    with pytest.raises(ConfigProblem) as problem:
        environment(**container)
    assert str(problem.value) == message


def test_optional_references_may_be_absent() -> None:
    """Negative control of the above: `optional` leaves the variable out."""
    env = source("secretKeyRef", name="gone", key="k", optional=True)
    env += source("configMapKeyRef", name="cm", key="k", optional=True)
    assert environment(env=env, envFrom=[{"secretRef": {"name": "gone", "optional": True}}]) == {}


def test_command_and_arguments() -> None:
    """`args` follow the image's command; `command` replaces it; both are expanded."""
    image = ("python", "-m", "app", "$(A)")
    assert make_command({"args": ["--x", "$(A)"]}, image, {"A": "1"}) == [
        "python",
        "-m",
        "app",
        "$(A)",
        "--x",
        "1",
    ]
    assert make_command({"command": ["sh", "$(A)"], "args": ["z"]}, image, {"A": "1"}) == ["sh", "1", "z"]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("greeter", "docker.io/library/greeter:latest"), ("greeter:dev", "docker.io/library/greeter:dev"),
        ("team/greeter", "docker.io/team/greeter:latest"), ("docker.io/greeter:1", "docker.io/library/greeter:1"),
        ("localhost:5000/g", "localhost:5000/g:latest"), ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
    ],
)  # fmt: skip
def test_image_names_are_what_a_runtime_makes_of_them(name: str, full: str) -> None:
    """Registry, repository and tag are filled in."""
    assert normalize(name) == full


def test_images_and_their_modules() -> None:
    """Bindings are found by any form of their name; Python modules are known for preloading."""
    images = Images.bind(
        [
            parse_binding("greeter:dev=python -m demo.server --x 'a b'"),
            ("cat", ("cat",)),
            ("u", ("python3", "-u", "-m", "m")),
        ]
    )
    assert images.find("docker.io/library/greeter:dev") == ("python", "-m", "demo.server", "--x", "a b")
    assert images.find("greeter:other") is None
    assert images.modules() == ["demo.server", "m"]
    assert images.has_python()
    assert images.explain_absence("nope") == (
        'failed to pull image "nope": docker.io/library/nope:latest: not found: a simulated cluster runs images that '
        "are bound to commands; known images: cat, greeter:dev, u; bind one with --image 'nope=COMMAND'"
    )
    assert Images.bind([], "mark NAME").explain_absence("nope").endswith("; known images: none; mark nope")


@pytest.mark.parametrize("text", ["greeter", "=x", "a=", "a='x"])
def test_binding_that_is_none(text: str) -> None:
    """The message repeats the text and shows what one looks like."""
    with pytest.raises(BindingError) as failure:
        parse_binding(text)
    assert str(failure.value).startswith(f'image "{text}": ')
    assert "NAME=COMMAND, for example 'greeter:dev=python -m demo_server.server'" in str(failure.value)


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("1.5", 1.5), ("2Gi", 2**31), ("1e3", 1000), ("3k", 3000)]
)
def test_quantities(text: str, number: float) -> None:
    """Decimal, binary and exponent forms."""
    assert parse(text) == number


@pytest.mark.parametrize("text", ["", "x", "1Q", "1 Gi", "--1"])
def test_texts_that_are_no_quantity(text: str) -> None:
    """The message says what one looks like."""
    with pytest.raises(ValueError, match=r"is not a quantity such as 250m, 1\.5 or 2Gi"):
        parse(text)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.integers(1, 10**6),
    st.sampled_from(["", "m", "k", "Ki", "Mi", "G"]),
    st.sampled_from(["1", "1m", "1k", "1Mi"]),
)
def test_division_rounds_up(number: int, suffix: str, divisor: str) -> None:
    """For any quantity: the result times the divisor is at least it, and less by one divisor is not."""
    value = parse(f"{number}{suffix}")
    result = int(divide(f"{number}{suffix}", divisor))
    assert (result - 1) * parse(divisor) < value <= result * parse(divisor)
