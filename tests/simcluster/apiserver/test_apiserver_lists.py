"""Lists over HTTP: pages, revisions, tables."""

from __future__ import annotations

import json
import threading

from api_process import Plain, Running, config_map, pod


def test_a_long_list_comes_in_pages_of_one_revision(plain: Plain, namespace: str) -> None:
    """What changes between two pages is not seen; the rest is counted."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abcde":
        plain.ask("POST", path, config_map(name))
    names, token, revisions = [], "", set()
    while True:
        page = plain.ask("GET", f"{path}?limit=2&continue={token}")[1]
        names += [each["metadata"]["name"] for each in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(names)
        plain.ask("DELETE", f"{path}/e")
        plain.ask("POST", path, config_map("cc"))

    assert (names, len(revisions)) == (list("abcde"), 1)
    assert "remainingItemCount" not in plain.ask("GET", f"{path}?limit=1&labelSelector=name")[1]["metadata"]


def test_a_page_whose_revision_is_gone_is_refused_with_a_token_to_go_on(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """410, and that token continues with what is there now."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "abc":
        plain.ask("POST", path, config_map(name))
    token = plain.ask("GET", f"{path}?limit=1")[1]["metadata"]["continue"]
    plain.ask("DELETE", f"{path}/b")
    cluster.call(lambda: cluster.registry.compact(cluster.registry.revision))
    code, status = plain.ask("GET", f"{path}?limit=1&continue={token}")

    assert (code, status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old")
    rest = plain.ask("GET", f"{path}?continue={status['metadata']['continue']}")[1]
    assert [each["metadata"]["name"] for each in rest["items"]] == ["c"]
    assert plain.ask("GET", f"{path}?continue=abc")[0] == 400


def test_a_list_of_many_objects_is_written_in_pieces(plain: Plain, namespace: str) -> None:
    """Nothing is lost or doubled where pieces meet, and who takes no plain JSON gets all of it in its form."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = [f"c-{number:03d}" for number in range(250)]
    for name in names:
        plain.ask("POST", path, config_map(name, text=name))
    for count, is_in_pieces in ((100, False), (101, True), (200, True), (250, True)):
        answer = plain.open("GET", f"{path}?limit={count}")
        listed = json.loads(answer.read())
        assert [each["data"]["text"] for each in listed["items"]] == names[:count]
        assert (answer.headers.get("Content-Length") is None) is is_in_pieces
    for form in ("?pretty=true", ""):
        accept = "application/yaml" if not form else "application/json"
        assert plain.open("GET", path + form, Accept=accept).read().count(b"f:text") == len(names)


def test_items_of_a_list_have_no_kind_as_on_a_real_server(plain: Plain) -> None:
    """The list says it once for all."""
    listed = plain.ask("GET", "/api/v1/namespaces")[1]

    assert (listed["kind"], listed["apiVersion"]) == ("NamespaceList", "v1")
    assert all(set(each) == {"metadata", "spec", "status"} for each in listed["items"])


def test_lists_of_the_past_and_the_future(cluster: Running, plain: Plain, namespace: str) -> None:
    """Exact gives a revision that is kept; one to come is waited for, then refused with 504."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = plain.ask("POST", path, config_map("a"))[1]["metadata"]["resourceVersion"]
    plain.ask("POST", path, config_map("b"))
    past = plain.ask("GET", f"{path}?resourceVersion={first}&resourceVersionMatch=Exact")[1]
    assert [each["metadata"]["name"] for each in past["items"]] == ["a"]

    coming = cluster.registry.revision + 1
    timer = threading.Timer(0.2, plain.ask, ("POST", path, config_map("c")))
    timer.start()
    assert len(plain.ask("GET", f"{path}?resourceVersion={coming}")[1]["items"]) == 3
    timer.join()
    answer = plain.open("GET", f"{path}?resourceVersion={coming + 99}")
    status = json.loads(answer.read())
    assert (answer.status, status["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
    assert answer.headers["Retry-After"] == "1"


def test_pages_of_a_named_revision_are_of_just_that_one(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """A limit makes a revision exact, 0 makes the limit void, and NotOlderThan pages what is there now."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = plain.ask("POST", path, config_map("a"))[1]["metadata"]["resourceVersion"]
    plain.ask("POST", path, config_map("b"))

    def names(query: str) -> list[str]:
        return [each["metadata"]["name"] for each in plain.ask("GET", f"{path}?{query}")[1]["items"]]

    assert names(f"limit=5&resourceVersion={first}") == ["a"]
    assert names(f"limit=5&resourceVersion={first}&resourceVersionMatch=NotOlderThan") == ["a", "b"]
    assert names("limit=1&resourceVersion=0") == ["a", "b"]
    token = plain.ask("GET", f"{path}?limit=1")[1]["metadata"]["continue"]
    code, refused = plain.ask("GET", f"{path}?continue={token}&resourceVersion={first}")
    assert (code, refused["message"]) == (
        400,
        "specifying resource version is not allowed when using continue",
    )
    assert names(f"continue={token}&resourceVersion=0") == ["b"]
    cluster.call(lambda: cluster.registry.compact(cluster.registry.revision))
    code, gone = plain.ask("GET", f"{path}?resourceVersion={first}&resourceVersionMatch=Exact")
    assert (code, gone["message"]) == (410, "The resourceVersion for the provided list is too old.")


def test_pages_over_all_namespaces_come_in_the_order_of_their_keys(plain: Plain) -> None:
    """`x-y/` sorts before `x/`, as it does in etcd, and no object is left out or comes twice."""
    for name in ("zz", "zz-a"):
        plain.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        for each in "ab":
            plain.ask("POST", f"/api/v1/namespaces/{name}/configmaps", config_map(each))
    found, token = [], ""
    while True:
        query = f"limit=1&labelSelector=name+in+(a,b)&continue={token}"
        page = plain.ask("GET", f"/api/v1/configmaps?{query}")[1]
        found += [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break

    mine = [each for each in found if each[0].startswith("zz")]
    assert mine == [("zz-a", "a"), ("zz-a", "b"), ("zz", "a"), ("zz", "b")]


def test_tables_have_the_columns_of_kubectl(plain: Plain, namespace: str) -> None:
    """Cells of a pod and of a kind without columns of its own; rows hold what is asked for."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    plain.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod())
    path = f"/api/v1/namespaces/{namespace}/pods"
    table = plain.ask("GET", path, Accept=accept)[1]

    assert table["kind"] == "Table"
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert (
        plain.ask("GET", f"{path}/p?includeObject=Object", Accept=accept)[1]["rows"][0]["object"]["kind"]
        == "Pod"
    )
    assert plain.ask("GET", f"{path}?includeObject=x", Accept=accept)[0] == 400
    roles = plain.ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", Accept=accept)[1]
    assert [column["name"] for column in roles["columnDefinitions"]] == ["Name", "Created At"]


def test_metadata_alone_can_be_asked_for(plain: Plain) -> None:
    """Of one object and of a list."""
    one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    many = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    assert set(plain.ask("GET", "/api/v1/namespaces/default", Accept=one)[1]) == {
        "kind",
        "apiVersion",
        "metadata",
    }
    listed = plain.ask("GET", "/api/v1/namespaces", Accept=many)[1]
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all(set(each) == {"kind", "apiVersion", "metadata"} for each in listed["items"])
