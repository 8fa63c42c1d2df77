"""Ingresses, as objects: nobody serves them."""

import pytest
from rig.room import new_name

BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
OLD = "kubernetes.io/ingress.class"


def ingress(name, spec=None, **metadata):
    """An Ingress; by default one with a backend and nothing else."""
    return {
        "metadata": {"name": name} | metadata,
        "spec": {"defaultBackend": BACKEND} if spec is None else spec,
    }


def path(**more):
    """A spec with one path."""
    return {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND} | more]}}]}


def unclassed(made):
    """The spec without the class that the cluster may have given it."""
    return {key: value for key, value in made["spec"].items() if key != "ingressClassName"}


def test_what_it_begins_with(room, name):
    """A status of its own and generation 1, whatever its creator says."""
    body = ingress(name) | {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    made = room.make("ingresses", body)
    assert (made["status"], made["metadata"]["generation"]) == ({"loadBalancer": {}}, 1)
    assert unclassed(made) == {"defaultBackend": BACKEND}


TAKEN = {
    "host-alone": {"rules": [{"host": "a.b"}]},
    "wildcard": {"rules": [{"host": "*.b.c"}]},
    "no-path": {"rules": [{"http": {"paths": [{"pathType": "ImplementationSpecific", "backend": BACKEND}]}}]},
    "resource": path(backend={"resource": {"apiGroup": "x.y", "kind": "X", "name": "y"}}),
    "tls": {"defaultBackend": BACKEND, "tls": [{"hosts": ["a.b"], "secretName": "s"}]},
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_taken(room, name, case):
    """What is allowed is stored as it was sent."""
    assert unclassed(room.create("ingresses", ingress(name, TAKEN[case]), dryRun="All").ok) == TAKEN[case]


PLACE = "spec.rules[0].http.paths[0]"
REFUSED = {
    "nothing": ({}, "spec", "either `defaultBackend` or `rules` must be specified"),
    "no-paths": ({"rules": [{"http": {"paths": []}}]}, "spec.rules[0].http.paths", "Required value"),
    "no-type": (path(pathType=None), f"{PLACE}.pathType", "Required value: pathType must be specified"),
    "type": (
        path(pathType="Foo"),
        f"{PLACE}.pathType",
        'supported values: "Exact", "ImplementationSpecific", "Prefix"',
    ),
    "relative": (path(path="x"), f"{PLACE}.path", "must be an absolute path"),
    "slashes": (path(path="/a//b"), f"{PLACE}.path", "must not contain '//'"),
    "host-address": (
        {"rules": [{"host": "1.2.3.4"}]},
        "spec.rules[0].host",
        "must be a DNS name, not an IP address",
    ),
    "wildcard-inside": (
        {"rules": [{"host": "a.*.c"}]},
        "spec.rules[0].host",
        "a wildcard DNS-1123 subdomain must start with '*.'",
    ),
    "no-backend": (path(backend={}), f"{PLACE}.backend", "resource or service backend is required"),
    "no-port": (
        path(backend={"service": {"name": "web"}}),
        f"{PLACE}.backend",
        "port name or number is required",
    ),
    "port": (
        path(backend={"service": {"name": "web", "port": {"number": 99999}}}),
        f"{PLACE}.backend.service.port.number",
        "must be between 1 and 65535, inclusive",
    ),
    "tls-host": (
        {"defaultBackend": BACKEND, "tls": [{"hosts": ["A_b"]}]},
        "spec.tls[0].hosts[0]",
        "a lowercase RFC 1123 subdomain",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(room, name, case):
    """What is not, with field and text."""
    spec, field, text = REFUSED[case]
    answer = room.create("ingresses", ingress(name, spec), dryRun="All")
    assert answer.status == 422
    [(where, _reason, message)] = answer.causes
    assert (where, text in message) == (field, True), message


def test_a_class_said_in_two_ways(room, name):
    """The old annotation may not say another class than the field."""
    wanted = ingress(name, {"defaultBackend": BACKEND, "ingressClassName": "x"}, annotations={OLD: "y"})
    text = 'Invalid value: "y": must match `ingressClassName` when both are specified'
    assert room.create("ingresses", wanted).causes == [(f"annotations.{OLD}", "FieldValueInvalid", text)]


@pytest.fixture
def default_class(api):
    """A class that is the default."""
    given = {"ingressclass.kubernetes.io/is-default-class": "true"}
    made = api.post(
        CLASSES,
        {
            "metadata": {"name": new_name("conformance"), "annotations": given},
            "spec": {"controller": "example.com/none"},
        },
    ).ok["metadata"]["name"]
    yield made
    api.delete(f"{CLASSES}/{made}")


def test_the_default_class(room, name, default_class):
    """One that says no class gets the default, unless the annotation says one; later ones stay as they are."""
    found = None
    for _ in range(100):  # what admission knows of classes follows them
        found = room.create("ingresses", ingress(name), dryRun="All").ok["spec"].get("ingressClassName")
        if found == default_class:
            break
    assert found == default_class
    other = room.create("ingresses", ingress(name, annotations={OLD: "y"}), dryRun="All").ok
    assert "ingressClassName" not in other["spec"]


STATUSES = [
    ({"ip": "1.2.3.4"}, None, ""),
    ({"hostname": "a.b"}, None, ""),
    ({"ip": "x"}, "ip", "must be a valid IP address"),
    ({"hostname": "1.2.3.4"}, "hostname", "must be a DNS name, not an IP address"),
]


@pytest.mark.parametrize(("given", "field", "text"), STATUSES, ids=["ip", "name", "no-ip", "no-name"])
def test_its_status(room, name, given, field, text):
    """Addresses are written through /status, and looked at; the generation stays."""
    room.make("ingresses", ingress(name))
    status = {"status": {"loadBalancer": {"ingress": [given]}}}
    answer = room.patch("ingresses", name, "merge", status, "status")
    if field is None:
        assert (answer.ok["status"], answer.ok["metadata"]["generation"]) == (status["status"], 1)
    else:
        [(where, _reason, message)] = answer.causes
        assert (where, text in message) == (f"status.loadBalancer.ingress[0].{field}", True)


def test_a_change_counts(room, name):
    """A change of its spec is a generation."""
    room.make("ingresses", ingress(name))
    patch = {"spec": {"ingressClassName": "x"}}
    assert room.patch("ingresses", name, "merge", patch).ok["metadata"]["generation"] == 2
