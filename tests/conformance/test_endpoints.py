"""Endpoints and EndpointSlices."""

import pytest
from rig.objects import container, nowhere, pod, service

# It hears SIGTERM and stays.
STUBBORN = "trap : TERM; while :; do sleep 1000 & wait; done"
PORT = {"name": "http", "port": 80, "targetPort": 8080}


GATE = "example.com/open"


def make_pod(room, name, case, *, is_ready=True, labels=None, runs=True, **spec):
    """A pod that is ready when its case says so; its address. `runs` False: a pod on no node."""
    one = container(room.image, STUBBORN, ports=[{"name": "web", "containerPort": 9090}])
    body = pod(
        name, one, labels={"app": case} | (labels or {}), readinessGates=[{"conditionType": GATE}], **spec
    )
    if not runs:
        return room.make("pods", nowhere(body))
    room.make("pods", body)
    address = room.until(
        "pods", name, lambda each: each["status"]["phase"] == "Running" and each["status"].get("podIP")
    )
    if is_ready:
        turn(room, name, is_ready=True)
    return address


def turn(room, name, *, is_ready):
    """Make a pod ready, or not, and wait until it is."""
    status = "True" if is_ready else "False"
    body = {"status": {"conditions": [{"type": GATE, "status": status}]}}
    assert room.patch("pods", name, "strategic", body, "status").ok

    def holds(each):
        return [
            one for one in each["status"]["conditions"] if one["type"] == "Ready" and one["status"] == status
        ]

    room.until("pods", name, holds)


def finish(room, *names):
    """End pods at once."""
    for each in names:
        room.delete("pods", each, {"gracePeriodSeconds": 0})


def slices(room, name, holds):
    """The slices of a Service, once `holds` of them."""
    return room.until_all("endpointslices", holds, labelSelector=f"kubernetes.io/service-name={name}")


def endpoints(items):
    """Address → conditions, over all slices."""
    return {each["addresses"][0]: each["conditions"] for one in items for each in one["endpoints"] or []}


def settled(room, name, expected):
    """Wait until a Service's endpoints are these: address → (ready, serving, terminating)."""

    def holds(items):
        found = {
            key: (each.get("ready"), each.get("serving"), each.get("terminating"))
            for key, each in endpoints(items).items()
        }
        return bool(items) and found == expected and items

    return slices(room, name, holds)


def test_an_endpoint(pod_room, name):
    """A ready pod is an endpoint: ready, serving, not terminating, with its name and node."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    (endpoint,) = found["endpoints"]
    reference = endpoint["targetRef"]
    assert (reference["kind"], reference["name"], reference["namespace"]) == ("Pod", name, pod_room.name)
    assert reference["uid"] == pod_room.get("pods", name).ok["metadata"]["uid"]


def test_a_slice(pod_room, name):
    """A slice names its Service in labels, owner and name, and who manages it."""
    made = pod_room.make("services", service(name, {"app": name}, PORT))
    a1 = make_pod(pod_room, name, name)
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    metadata = found["metadata"]
    assert metadata["labels"] == {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert (metadata["generateName"], found["addressType"]) == (f"{name}-", "IPv4")
    (owner,) = metadata["ownerReferences"]
    assert owner == {
        "apiVersion": "v1",
        "kind": "Service",
        "name": name,
        "uid": made["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_when_it_was_triggered(pod_room, name):
    """A new slice says when what made it necessary had changed."""
    address = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    (found,) = settled(pod_room, name, {address: (True, True, False)})
    assert found["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"].endswith("Z")


def test_a_service_without_pods(pod_room, name):
    """A Service without pods has one slice without endpoints and ports."""
    pod_room.make("services", service(name, {"app": name}, PORT))
    (found,) = slices(pod_room, name, lambda items: items)
    assert (found["endpoints"], found["ports"]) == (None, None)


def test_a_service_without_a_selector(pod_room, name):
    """A Service without a selector gets no slices: others make them."""
    pod_room.make("services", service(name, None, PORT))
    pod_room.make("services", service(f"{name}-b", {"app": name}, PORT))
    slices(pod_room, f"{name}-b", lambda items: items)
    assert (
        pod_room.get("endpointslices", labelSelector=f"kubernetes.io/service-name={name}").ok["items"] == []
    )


def test_a_pod_that_is_not_ready(pod_room, name):
    """A pod that is not ready is there, and neither ready nor serving."""
    a1 = make_pod(pod_room, name, name, is_ready=False)
    pod_room.make("services", service(name, {"app": name}, PORT))
    settled(pod_room, name, {a1: (False, False, False)})


def test_a_pod_that_gets_ready(pod_room, name):
    """Readiness comes and goes."""
    a1 = make_pod(pod_room, name, name, is_ready=False)
    pod_room.make("services", service(name, {"app": name}, PORT))
    settled(pod_room, name, {a1: (False, False, False)})
    turn(pod_room, name, is_ready=True)
    settled(pod_room, name, {a1: (True, True, False)})
    turn(pod_room, name, is_ready=False)
    settled(pod_room, name, {a1: (False, False, False)})


@pytest.mark.parametrize("is_ready", [True, False], ids=["ready", "unready"])
def test_a_pod_that_terminates(pod_room, name, is_ready):
    """A pod that is being deleted is not ready; whether it serves is whether its probe passes."""
    a1 = make_pod(pod_room, name, name, is_ready=is_ready, terminationGracePeriodSeconds=30)
    pod_room.make("services", service(name, {"app": name}, PORT))
    settled(pod_room, name, {a1: (is_ready, is_ready, False)})
    pod_room.delete("pods", name)
    settled(pod_room, name, {a1: (False, is_ready, True)})
    finish(pod_room, name)
    slices(pod_room, name, lambda items: items and not endpoints(items))


def test_a_pod_that_ended(pod_room, name):
    """A pod that has ended is no endpoint, though it is there."""
    one = container(pod_room.image, "exit 0")
    pod_room.make("pods", pod(name, one, labels={"app": name}, restartPolicy="Never"))
    pod_room.until("pods", name, lambda each: each["status"]["phase"] == "Succeeded")
    address = make_pod(pod_room, f"{name}-b", name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    settled(pod_room, name, {address: (True, True, False)})


def test_a_pod_without_an_address(pod_room, name):
    """A pod without an address is no endpoint."""
    make_pod(pod_room, name, name, runs=False)
    a2 = make_pod(pod_room, f"{name}-b", name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    settled(pod_room, name, {a2: (True, True, False)})


def test_unready_addresses_can_be_published(pod_room, name):
    """publishNotReadyAddresses shows every pod as ready."""
    a1 = make_pod(pod_room, name, name, is_ready=False)
    pod_room.make("services", service(name, {"app": name}, PORT, publishNotReadyAddresses=True))
    settled(pod_room, name, {a1: (True, False, False)})


def test_labels_decide(pod_room, name):
    """A pod is an endpoint as long as its labels match."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name, "tier": "x"}, PORT))
    slices(pod_room, name, lambda items: items and not endpoints(items))
    pod_room.patch("pods", name, "merge", {"metadata": {"labels": {"tier": "x"}}})
    settled(pod_room, name, {a1: (True, True, False)})
    pod_room.patch("pods", name, "merge", {"metadata": {"labels": {"tier": None}}})
    slices(pod_room, name, lambda items: items and not endpoints(items))


def test_a_selector_that_changes(pod_room, name):
    """When the selector changes the endpoints do."""
    a1 = make_pod(pod_room, f"{name}-a", f"{name}-a")
    a2 = make_pod(pod_room, f"{name}-b", f"{name}-b")
    pod_room.make("services", service(name, {"app": f"{name}-a"}, PORT))
    settled(pod_room, name, {a1: (True, True, False)})
    pod_room.patch("services", name, "merge", {"spec": {"selector": {"app": f"{name}-b"}}})
    settled(pod_room, name, {a2: (True, True, False)})


def test_named_target_ports(pod_room, name):
    """A target port that is a name is looked up in the pod."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, {"port": 80, "targetPort": "web"}))
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    assert found["ports"] == [{"name": "", "port": 9090, "protocol": "TCP"}]


def test_several_ports(pod_room, name):
    """A slice has each port of the Service."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make(
        "services",
        service(name, {"app": name}, {"name": "a", "port": 1}, {"name": "b", "port": 2, "protocol": "UDP"}),
    )
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    assert sorted((each["name"], each["port"], each["protocol"]) for each in found["ports"]) == [
        ("a", 1, "TCP"),
        ("b", 2, "UDP"),
    ]


def test_application_protocols(pod_room, name):
    """appProtocol is handed on."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT | {"appProtocol": "kubernetes.io/h2c"}))
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    assert found["ports"][0]["appProtocol"] == "kubernetes.io/h2c"


def test_host_names(pod_room, name):
    """A pod whose subdomain is the Service has its host name in the slice."""
    a1 = make_pod(pod_room, name, name, hostname="first", subdomain=name)
    pod_room.make("services", service(name, {"app": name}, PORT, clusterIP="None"))
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    assert found["endpoints"][0]["hostname"] == "first"


def test_a_headless_service_is_marked(pod_room, name):
    """The slice of a headless Service is labelled so."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT, clusterIP="None"))
    (found,) = settled(pod_room, name, {a1: (True, True, False)})
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_a_pod_of_two_services(pod_room, name):
    """A pod can be an endpoint of several Services."""
    a1 = make_pod(pod_room, name, name)
    for each in ("a", "b"):
        pod_room.make("services", service(f"{name}-{each}", {"app": name}, PORT))
    for each in ("a", "b"):
        settled(pod_room, f"{name}-{each}", {a1: (True, True, False)})


def test_slices_go_with_their_service(pod_room, name):
    """When a Service goes its slices do."""
    pod_room.make("services", service(name, {"app": name}, PORT))
    slices(pod_room, name, lambda items: items)
    pod_room.delete("services", name)
    slices(pod_room, name, lambda items: not items)


def test_a_slice_that_is_deleted(pod_room, name):
    """A slice that somebody deletes is made again."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    (first,) = settled(pod_room, name, {a1: (True, True, False)})
    pod_room.delete("endpointslices", first["metadata"]["name"])
    slices(
        pod_room,
        name,
        lambda items: items and items[0]["metadata"]["uid"] != first["metadata"]["uid"] and endpoints(items),
    )


def test_a_slice_that_is_changed(pod_room, name):
    """A slice that somebody changes is put right."""
    a1 = make_pod(pod_room, name, name)
    pod_room.make("services", service(name, {"app": name}, PORT))
    (first,) = settled(pod_room, name, {a1: (True, True, False)})
    pod_room.patch(
        "endpointslices", first["metadata"]["name"], "merge", {"endpoints": [{"addresses": ["192.0.2.9"]}]}
    )
    settled(pod_room, name, {a1: (True, True, False)})


def legacy(room, name, holds):
    """The Endpoints of a Service, once `holds` of its subsets."""
    return room.until("endpoints", name, lambda each: holds(each.get("subsets", [])) and each)


def test_legacy_endpoints(pod_room, name):
    """The legacy Endpoints has ready and unready addresses, and the ports."""
    a1 = make_pod(pod_room, f"{name}-a", name)
    a2 = make_pod(pod_room, f"{name}-b", name, is_ready=False)
    pod_room.make("services", service(name, {"app": name}, PORT))
    found = legacy(
        pod_room,
        name,
        lambda subsets: (
            len(subsets) == 1 and subsets[0].get("addresses") and subsets[0].get("notReadyAddresses")
        ),
    )
    (subset,) = found["subsets"]
    assert [each["ip"] for each in subset["addresses"]] == [a1]
    assert [each["ip"] for each in subset["notReadyAddresses"]] == [a2]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"


def test_legacy_endpoints_of_nothing(pod_room, name):
    """A Service without pods has an Endpoints without subsets."""
    pod_room.make("services", service(name, {"app": name}, PORT))
    legacy(pod_room, name, lambda subsets: subsets == [])


def test_legacy_endpoints_leave_at_once(pod_room, name):
    """A pod that is being deleted is in no Endpoints any more."""
    make_pod(pod_room, name, name, terminationGracePeriodSeconds=30)
    pod_room.make("services", service(name, {"app": name}, PORT))
    legacy(pod_room, name, lambda subsets: len(subsets) == 1)
    pod_room.delete("pods", name)
    legacy(pod_room, name, lambda subsets: subsets == [])
    finish(pod_room, name)


def test_legacy_endpoints_are_deprecated(pod_room, name):
    """Who asks for Endpoints is warned."""
    assert (
        pod_room.get("endpoints").headers["Warning"]
        == '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    )


def test_mirrored_endpoints(pod_room, name):
    """The Endpoints that somebody makes for a Service without a selector is mirrored into a slice."""
    pod_room.make("services", service(name, None, {"port": 80}))
    pod_room.make(
        "endpoints",
        {
            "metadata": {"name": name},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}],
        },
    )
    (found,) = slices(pod_room, name, lambda items: endpoints(items) and items)
    assert list(endpoints([found])) == ["192.0.2.7"]
    assert (
        found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        == "endpointslicemirroring-controller.k8s.io"
    )


def test_the_service_of_the_api(api):
    """The API server is a Service, and has its endpoints."""
    found = api.get("/api/v1/namespaces/default/services/kubernetes").ok
    assert found["spec"]["ports"][0]["port"] == 443
    items = api.get(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        labelSelector="kubernetes.io/service-name=kubernetes",
    ).ok["items"]
    assert endpoints(items)
