"""Discovery and OpenAPI documents."""

from __future__ import annotations

import json

from api_process import Plain


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
