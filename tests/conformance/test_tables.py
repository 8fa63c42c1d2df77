"""Tables: what `kubectl get` shows."""

import pytest
from rig.objects import config_map, container, nowhere, pod, service, template, workload
from rig.room import new_name

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

COLUMNS = {
    "/api/v1/pods": "Name, Ready, Status, Restarts, Age, IP*, Node*, Nominated Node*, Readiness Gates*",
    "/api/v1/services": "Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector*",
    "/api/v1/nodes": "Name, Status, Roles, Age, Version, Internal-IP*, External-IP*, OS-Image*, Kernel-Version*, Container-Runtime*",
    "/api/v1/namespaces": "Name, Status, Age",
    "/api/v1/configmaps": "Name, Data, Age",
    "/api/v1/secrets": "Name, Type, Data, Age",
    "/api/v1/endpoints": "Name, Endpoints, Age",
    "/api/v1/events": "Last Seen, Type, Reason, Object, Subobject*, Source*, Message, First Seen*, Count*, Name*",
    "/api/v1/serviceaccounts": "Name, Age",
    "/api/v1/persistentvolumeclaims": "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode*",
    "/apis/apps/v1/deployments": "Name, Ready, Up-to-date, Available, Age, Containers*, Images*, Selector*",
    "/apis/apps/v1/replicasets": "Name, Desired, Current, Ready, Age, Containers*, Images*, Selector*",
    "/apis/apps/v1/statefulsets": "Name, Ready, Age, Containers*, Images*",
    "/apis/apps/v1/daemonsets": "Name, Desired, Current, Ready, Up-to-date, Available, Node Selector, Age, Containers*, Images*, Selector*",
    "/apis/batch/v1/jobs": "Name, Status, Completions, Duration, Age, Containers*, Images*, Selector*",
    "/apis/discovery.k8s.io/v1/endpointslices": "Name, AddressType, Ports, Endpoints, Age",
    "/apis/policy/v1/poddisruptionbudgets": "Name, Min Available, Max Unavailable, Allowed Disruptions, Age",
    "/apis/coordination.k8s.io/v1/leases": "Name, Holder, Age",
    "/apis/rbac.authorization.k8s.io/v1/roles": "Name, Created At",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings": "Name, Role, Age, Users*, Groups*, ServiceAccounts*",
    "/apis/networking.k8s.io/v1/ingresses": "Name, Class, Hosts, Address, Ports, Age",
    "/apis/apps/v1/controllerrevisions": "Name, Controller, Revision, Age",
}  # fmt: skip


def columns(api, path):
    """Name and priority of each column of a collection's Table."""
    table = api.get(path, headers={"Accept": TABLE}, limit=1).ok
    assert table["kind"] == "Table"
    return [each["name"] + ("*" if each["priority"] else "") for each in table["columnDefinitions"]]


@pytest.mark.parametrize("path", COLUMNS, ids=[path.rpartition("/")[2] for path in COLUMNS])
def test_columns(api, path):
    """The columns of a kind; a star marks those of `-o wide`."""
    assert ", ".join(columns(api, path)) == COLUMNS[path]


def cells(room, resource, name):
    """The cells of one object, by column."""
    table = room.get(resource, name, headers={"Accept": TABLE}).ok
    names = [each["name"] for each in table["columnDefinitions"]]
    (row,) = table["rows"]
    return dict(zip(names, row["cells"], strict=True))


def test_cells_of_a_config_map(room, name):
    """Data counts the keys."""
    room.make("configmaps", config_map(name, {"a": "1", "b": "2"}))
    found = cells(room, "configmaps", name)
    assert (found["Name"], found["Data"]) == (name, 2)
    assert found["Age"].endswith("s")


def test_cells_of_a_deployment(room, name):
    """A Deployment that nobody has looked at yet has none of what it wants."""
    pods = template(container(room.image, name="a"), labels={"app": name})
    room.make("deployments", workload("Deployment", name, pods, replicas=2, paused=True))
    found = cells(room, "deployments", name)
    assert (found["Ready"], found["Available"]) == ("0/2", 0)
    assert (found["Containers"], found["Images"], found["Selector"]) == ("a", room.image, f"app={name}")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "ClusterIP"}, ("ClusterIP", "<none>", "80/TCP")),
        ({"clusterIP": "None"}, ("ClusterIP", "<none>", "80/TCP")),
        ({"type": "ExternalName", "externalName": "example.com"}, ("ExternalName", "example.com", "80/TCP")),
        ({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2, "protocol": "UDP"}]}, ("ClusterIP", "<none>", "1/TCP,2/UDP")),
    ],
    ids=["cluster-ip", "headless", "external-name", "two-ports"],
)  # fmt: skip
def test_cells_of_services(room, name, spec, expected):
    """A Service's type, external address and ports."""
    room.make("services", service(name, {"app": name}, {"port": 80}, **spec))
    found = cells(room, "services", name)
    assert (found["Type"], found["External-IP"], found["Port(s)"]) == expected


def test_cells_of_a_pending_pod(pod_room, name):
    """A pod that no scheduler takes: 0 of its containers, Pending, nowhere."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image), container(pod_room.image, name="b"))))
    found = cells(pod_room, "pods", name)
    assert [found[key] for key in ("Ready", "Status", "Restarts", "IP", "Node")] == [
        "0/2", "Pending", "0", "<none>", "<none>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("include", "kind"), [("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
def test_included_objects(room, name, include, kind):
    """includeObject chooses what a row carries of its object."""
    room.make("configmaps", config_map(name))
    table = room.get("configmaps", name, headers={"Accept": TABLE}, includeObject=include).ok
    assert table["rows"][0]["object"]["kind"] == kind


def test_included_nothing(room, name):
    """includeObject=None leaves the objects out."""
    room.make("configmaps", config_map(name))
    table = room.get("configmaps", name, headers={"Accept": TABLE}, includeObject="None").ok
    assert table["rows"][0]["object"] is None


def test_default_is_metadata(room, name):
    """Without includeObject, a row carries its object's metadata."""
    room.make("configmaps", config_map(name))
    table = room.get("configmaps", name, headers={"Accept": TABLE}).ok
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["rows"][0]["object"]["metadata"]["name"] == name


def test_tables_have_pages(own_room):
    """A Table of a part of a list has its token."""
    for index in range(3):
        own_room.make("secrets", {"metadata": {"name": f"s{index}"}})
    table = own_room.get("secrets", headers={"Accept": TABLE}, limit=2).ok
    assert (len(table["rows"]), table["metadata"]["remainingItemCount"]) == (2, 1)
    rest = own_room.get(
        "secrets", headers={"Accept": TABLE}, limit=2, **{"continue": table["metadata"]["continue"]}
    ).ok
    assert [row["cells"][0] for row in rest["rows"]] == ["s2"]


def test_watched_tables_name_columns_once(room):
    """The first event of a watched Table has the columns, the next ones have none."""
    label = new_name("table")
    room.make("configmaps", config_map(new_name(), labels={"case": label}))
    room.make("configmaps", config_map(new_name(), labels={"case": label}))
    with room.watch("configmaps", headers={"Accept": TABLE}, labelSelector=f"case={label}") as events:
        first, second = events.next(), events.next()
    assert [len(each["object"]["rows"]) for each in (first, second)] == [1, 1]
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]


def test_unknown_table_version(api):
    """A Table of a version that is not there, and nothing else: not acceptable."""
    answer = api.get("/api/v1/namespaces", headers={"Accept": "application/json;as=Table;v=v9;g=meta.k8s.io"})
    assert answer.error[:2] == (406, "NotAcceptable")


def test_partial_metadata(room, name):
    """An object's metadata alone can be had."""
    room.make("configmaps", config_map(name, {"a": "1"}))
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    found = room.get("configmaps", name, headers={"Accept": accept}).ok
    assert (found["kind"], found["apiVersion"], "data" in found) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        False,
    )


def test_partial_metadata_list(room, name):
    """The metadata of a collection alone can be had."""
    room.make("configmaps", config_map(name, {"a": "1"}))
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    found = room.get("configmaps", headers={"Accept": accept}).ok
    assert found["kind"] == "PartialObjectMetadataList"
    assert not any("data" in each for each in found["items"])
