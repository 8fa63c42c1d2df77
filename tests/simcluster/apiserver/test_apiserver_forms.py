"""JSON, YAML and protobuf: each client is answered in a form that it takes, refusals and watches too."""

from __future__ import annotations

import json
from typing import Any

import yaml
from api_process import Plain, Running, config_map

from simcluster.schema import Protobuf, load

PROTOBUF = "application/vnd.kubernetes.protobuf"
CODEC = Protobuf(load())


def sent(name: str, **data: str) -> bytes:
    return CODEC.encode({"kind": "ConfigMap", "apiVersion": "v1", **config_map(name, **data)})


def read(plain: Plain, method: str, path: str, kind: str, body: bytes | None = None) -> tuple[int, Any]:
    """Ask as a client that knows nothing but protobuf."""
    answer = plain.open(method, path, body, Accept=PROTOBUF, Content_Type=PROTOBUF)
    text = answer.read()
    assert answer.headers["Content-Type"] == PROTOBUF
    return answer.status, CODEC.decode(text, kind)


def test_a_client_of_protobuf_alone_writes_and_reads(plain: Plain, namespace: str) -> None:
    """It creates, reads, lists and replaces in protobuf, and is refused in protobuf."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"

    status, created = read(plain, "POST", base, "ConfigMap", sent("a", x="1"))
    assert (status, created["data"]) == (201, {"x": "1"})
    assert read(plain, "PUT", f"{base}/a", "ConfigMap", sent("a", x="2"))[1]["data"] == {"x": "2"}
    listed = read(plain, "GET", base, "ConfigMapList")[1]
    assert [each["metadata"]["name"] for each in listed["items"]] == ["a"]
    status, missing = read(plain, "GET", f"{base}/b", "Status")
    assert (status, missing["code"], missing["details"]["kind"]) == (404, 404, "configmaps")
    assert plain.ask("GET", f"{base}/a")[1]["data"] == {"x": "2"}


def test_who_takes_json_too_is_given_json(plain: Plain, namespace: str) -> None:
    """As kubectl asks: protobuf first, JSON as well. A request in protobuf changes nothing about that."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    status, created = plain.ask(
        "POST", base, sent("a"), Content_Type=PROTOBUF, Accept=f"{PROTOBUF},application/json"
    )
    assert (status, created["metadata"]["name"]) == (201, "a")


def test_a_body_that_is_no_protobuf_is_refused(plain: Plain, namespace: str) -> None:
    """400, with what is wrong with it."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    status, refused = plain.ask("POST", base, b"k8s\0\xff", Content_Type=PROTOBUF)
    assert (status, refused["reason"]) == (400, "BadRequest")
    assert refused["message"].endswith("unexpected EOF (6b387300ff)")


def test_a_watch_in_protobuf_is_framed(plain: Plain, namespace: str, cluster: Running) -> None:
    """Each event comes after its length, in four bytes."""
    cluster.call(cluster.registry.create, "configmaps", namespace, config_map("a"))
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&timeoutSeconds=1"
    answer = plain.open("GET", path, Accept=f"{PROTOBUF};stream=watch")
    body = answer.read()
    assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    assert int.from_bytes(body[:4], "big") == len(body) - 4
    assert body[4:].startswith(b"\n\x05ADDED\x12")
    event = CODEC.decode(body[body.index(b"k8s\0") :], "ConfigMap")
    assert event["metadata"]["name"] == "a"


def test_deletion_options_are_read_from_protobuf(plain: Plain, namespace: str, bound_pod: str) -> None:
    """The grace period counts, as client-go sends it."""
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 7}
    path = f"/api/v1/namespaces/{namespace}/pods/{bound_pod}"
    _, pod = plain.ask("DELETE", path, CODEC.encode(options), Content_Type=PROTOBUF)
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 7


def test_yaml_and_pretty_json_are_written(plain: Plain) -> None:
    """YAML for objects and refusals; `?pretty` indents."""
    shown = plain.open("GET", "/api/v1/namespaces/default", Accept="application/yaml")
    assert shown.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(shown.read())["metadata"]["name"] == "default"
    refused = plain.open("GET", "/api/v1/namespaces/nope", Accept="application/yaml")
    assert yaml.safe_load(refused.read())["code"] == 404
    pretty = plain.open("GET", "/api/v1/namespaces/default?pretty=true").read().decode()
    assert pretty.startswith('{\n  "kind": "Namespace"')
    assert json.loads(pretty)["kind"] == "Namespace"


def test_who_takes_nothing_that_can_be_written_is_told_so(plain: Plain) -> None:
    """406 with the forms that there are; a watch has no YAML; a Table has no protobuf."""
    objects = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    wanted = [
        ("/api/v1/namespaces", f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io", objects),
        (
            "/api/v1/namespaces?watch=1",
            "application/yaml",
            "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
        ),
    ]
    for path, accept, available in wanted:
        answer = plain.open("GET", path, Accept=accept)
        body = answer.read()
        assert answer.status == 406
        assert f"only the following media types are accepted: {available}".encode() in body.replace(
            b"\n  ", b" "
        )
    status, refused = plain.ask("GET", "/api/v1/namespaces", Accept="text/html")
    assert (status, refused["reason"]) == (406, "NotAcceptable")
    assert refused["message"].startswith(f"406: Not Acceptable\n\nAvailable representations: {objects}, ")
