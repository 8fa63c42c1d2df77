"""Discovery and OpenAPI documents."""

from __future__ import annotations

import json

import pytest
from api_process import Plain

from simcluster.schema.wire import fields


def test_discovery_is_told_in_both_forms(plain: Plain) -> None:
    """The aggregated one has an ETag that saves the second answer; both name the same resources."""
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    answer = plain.open("GET", "/apis", Accept=aggregated)
    groups = {each["metadata"]["name"]: each for each in json.loads(answer.read())["items"]}

    assert (
        answer.headers["Content-Type"]
        == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert plain.open("GET", "/apis", Accept=aggregated, If_None_Match=answer.headers["ETag"]).status == 304
    told = {each["resource"] for each in groups["apps"]["versions"][0]["resources"]}
    legacy = plain.ask("GET", "/apis/apps/v1")[1]
    assert told == {each["name"] for each in legacy["resources"] if "/" not in each["name"]}
    assert "deployments/scale" in {each["name"] for each in legacy["resources"]}
    assert [each["name"] for each in plain.ask("GET", "/apis")[1]["groups"]] == list(groups)
    assert plain.ask("GET", "/api")[1]["versions"] == ["v1"]
    assert plain.ask("GET", "/apis/apps")[1]["preferredVersion"]["groupVersion"] == "apps/v1"
    assert plain.ask("GET", "/apis/nope") == (404, "404 page not found\n")


def test_openapi_describes_each_group(plain: Plain) -> None:
    """Every document of the index can be had, and refers to nothing that it does not hold."""
    for where, entry in plain.ask("GET", "/openapi/v3")[1]["paths"].items():
        document = plain.ask("GET", entry["serverRelativeURL"])[1]
        schemas = document["components"]["schemas"]
        text = json.dumps(document)
        wanted = {each.partition('"')[0] for each in text.split('"$ref": "#/components/schemas/')[1:]}
        assert wanted <= set(schemas), where
    document = plain.ask("GET", "/openapi/v3/apis/apps/v1")[1]
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"dryRun", "fieldValidation", "force"} <= {each["name"] for each in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert "io.k8s.api.core.v1.Pod" in plain.ask("GET", "/openapi/v2")[1]["definitions"]
    assert plain.ask("GET", "/openapi/v3/apis/nope/v1")[0] == 404


def test_only_the_present_version_of_aggregated_discovery_is_told(plain: Plain) -> None:
    """Who asks for v2beta1 is given the old form, as v1.36 gives it; with nothing else to take, 406."""
    old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    assert plain.ask("GET", "/apis", Accept=f"{old},application/json")[1]["kind"] == "APIGroupList"
    assert plain.ask("GET", "/apis", Accept=old)[0] == 406
    newest = old.replace("v2beta1", "v2") + ";profile=nopeer"
    found = plain.ask("GET", "/api", Accept=f"{newest},{old},application/json")[1]
    assert found["kind"] == "APIGroupDiscoveryList"
    pods = next(each for each in found["items"][0]["versions"][0]["resources"] if each["resource"] == "pods")
    assert pods["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
    eviction = next(each for each in pods["subresources"] if each["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_openapi_documents_are_kept_by_their_hash(plain: Plain) -> None:
    """With the hash of the index they may be kept for ever; the ETag saves the second answer."""
    url = plain.ask("GET", "/openapi/v3")[1]["paths"]["apis/apps/v1"]["serverRelativeURL"]
    answer = plain.open("GET", url)
    etag = answer.headers["ETag"]
    assert answer.headers["Cache-Control"] == "public, immutable"
    assert etag == f'"{url.partition("?hash=")[2]}"'
    assert plain.open("GET", url, If_None_Match=etag).status == 304
    assert plain.open("GET", "/openapi/v3/apis/apps/v1").headers["Cache-Control"] == "no-cache, private"
    assert plain.open("GET", url, Accept="application/yaml").status == 406
    assert plain.open("GET", "/openapi/v2", Accept="text/html").status == 406


def test_openapi_v2_is_told_in_protobuf_too(plain: Plain) -> None:
    """As kubectl asks for it before it validates a List; the same definitions as in JSON."""
    wanted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = plain.open("GET", "/openapi/v2", Accept=wanted)
    assert answer.headers["Content-Type"] == wanted.replace("@", ".")
    document = {number: value for number, _, value in fields(answer.read())}
    assert document[1] == b"2.0"
    named = [value for _, _, value in fields(document[9])]
    names = {{number: value for number, _, value in fields(each)}[1].decode() for each in named}
    definitions = plain.ask("GET", "/openapi/v2", Accept="application/json")[1]["definitions"]
    assert names == set(definitions)
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == {
        "type": "string",
        "format": "int-or-string",
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/healthz", "ok"),
        ("/livez/ping", "ok"),
        ("/readyz/etcd?verbose", "ok"),
        ("/livez/nope", "404 page not found\n"),
        ("/livez/", "404 page not found\n"),
        (
            "/readyz?verbose&exclude=ping&exclude=nope",
            "[+]ping excluded: ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n"
            "[+]poststarthook/start-system-namespaces-controller ok\n[+]poststarthook/rbac/bootstrap-roles ok\n"
            "[+]poststarthook/bootstrap-controller ok\n[+]shutdown ok\n"
            'warn: some health checks cannot be excluded: no matches for "nope"\nreadyz check passed\n',
        ),
    ],
)
def test_health_is_told_check_by_check(plain: Plain, path: str, text: str) -> None:
    """`?verbose` lists the checks, each has its path, an unknown one is absent."""
    answer = plain.open("GET", path)
    assert (answer.status, answer.read().decode()) == (404 if "404" in text else 200, text)


def test_paths_without_resources_answer_as_the_real_ones(plain: Plain) -> None:
    """The index, the version, what is not there, and what takes no other method."""
    assert {"/api/v1", "/apis/apps", "/openapi/v3/apis/apps/v1", "/livez"} <= set(
        plain.ask("GET", "/")[1]["paths"]
    )
    assert plain.open("GET", "/version").read().startswith(b'{\n  "major": "1"')
    assert plain.ask("GET", "/version/x")[1]["reason"] == "NotFound"
    for path in ("/apis/apps/v2", "/api/v2"):
        assert plain.ask("GET", path)[1]["message"] == "the server could not find the requested resource"
    for path in ("/apis/nope", "/apis/nope/v1", "/metrics", "/nope"):
        assert plain.ask("GET", path) == (404, "404 page not found\n")
    for path in ("/version", "/apis/apps/v1", "/api/v1"):
        assert plain.ask("POST", path, {})[0] == 405
    for method in ("HEAD", "OPTIONS"):
        assert plain.open(method, "/api/v1/namespaces").status == 405
