"""Lists: selectors, pages, resource versions."""

import base64
import json

import pytest
from rig.objects import config_map, container, nowhere, pod, service
from rig.room import new_name


@pytest.fixture(scope="module")
def shelf(room):
    """A label value, and three ConfigMaps that carry it: a, b and c."""
    label = new_name("shelf")
    for letter, more in {"a": {"tier": "one"}, "b": {"tier": "two"}, "c": {}}.items():
        room.make("configmaps", config_map(f"{letter}-{label}", labels={"shelf": label} | more))
    return label


def names(answer):
    """The first letters of the objects in a list."""
    return "".join(each["metadata"]["name"][0] for each in answer.ok["items"])


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=one", "a"),
        ("tier==one", "a"),
        ("tier!=one", "bc"),
        ("tier in (one,two)", "ab"),
        ("tier notin (one)", "bc"),
        ("tier", "ab"),
        ("!tier", "c"),
        ("tier=", ""),
        ("tier=one,tier=two", ""),
        ("tier in (one, two),tier!=two", "a"),
    ],
)
def test_label_selectors(room, shelf, selector, found):
    """What a label selector finds: an absent key is unequal to every value."""
    assert names(room.get("configmaps", labelSelector=f"shelf={shelf},{selector}")) == found


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "found 'b' expected: '('"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ],
)
def test_broken_label_selectors(room, selector, text):
    """A selector that can not be read is a bad request that says where."""
    code, reason, message = room.get("configmaps", labelSelector=selector).error
    assert (code, reason) == (400, "BadRequest")
    assert text in message


@pytest.mark.parametrize(
    ("selector", "found"),
    [("metadata.name=b-{}", "b"), ("metadata.name!=b-{}", "ac"), ("metadata.name=nobody", "")],
    ids=["equal", "unequal", "none"],
)
def test_names_as_field_selectors(room, shelf, selector, found):
    """Every kind can be chosen by its name."""
    answer = room.get("configmaps", labelSelector=f"shelf={shelf}", fieldSelector=selector.format(shelf))
    assert names(answer) == found


FIELDS = {
    "pods": [
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName", "spec.host",
    ],
    "services": ["spec.clusterIP", "spec.type"],
    "secrets": ["type"],
    "events": [
        "involvedObject.kind", "involvedObject.name", "involvedObject.namespace", "involvedObject.uid", "reason",
        "reportingComponent", "source", "type",
    ],
    "jobs": ["status.successful"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "field"), [(key, each) for key, many in FIELDS.items() for each in many]
)
def test_fields_that_can_be_selected(room, resource, field):
    """A field that the kind offers is accepted, and nothing has this value."""
    assert room.get(resource, fieldSelector=f"{field}=x-no-such-value").ok["items"] == []


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        ("pods", "spec.nothing"),
        ("configmaps", "data"),
        ("deployments", "spec.replicas"),
        ("services", "metadata.uid"),
    ],
)
def test_fields_that_can_not_be_selected(room, resource, field):
    """Any other field is a bad request."""
    code, reason, message = room.get(resource, fieldSelector=f"{field}=x").error
    assert (code, reason) == (400, "BadRequest")
    assert message.endswith(
        (
            f"field label not supported: {field}",
            f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"',
        )
    )


def test_pods_by_phase_and_node(pod_room, name):
    """A pod that no scheduler takes is Pending, and on no node."""
    pod_room.make("pods", nowhere(pod(name, container(pod_room.image), labels={"case": name})))
    chosen = {"labelSelector": f"case={name}"}
    assert (
        len(pod_room.get("pods", fieldSelector="status.phase=Pending,spec.nodeName=", **chosen).ok["items"])
        == 1
    )
    assert pod_room.get("pods", fieldSelector="status.phase!=Pending", **chosen).ok["items"] == []


def test_services_by_type(room, name):
    """Services can be chosen by what they are."""
    room.make("services", service(name, None, type="ExternalName", externalName="example.com"))
    found = room.get("services", fieldSelector=f"spec.type=ExternalName,metadata.name={name}").ok["items"]
    assert [each["metadata"]["name"] for each in found] == [name]


def test_namespaces_by_phase(api, room):
    """Namespaces can be chosen by phase."""
    found = api.get("/api/v1/namespaces", fieldSelector=f"status.phase=Active,metadata.name={room.name}").ok
    assert len(found["items"]) == 1


def test_a_list_names_its_kind(room):
    """A list is of its own kind; its items carry neither kind nor version."""
    listing = room.get("configmaps").ok
    assert (listing["kind"], listing["apiVersion"]) == ("ConfigMapList", "v1")
    assert not any({"kind", "apiVersion"} & set(each) for each in listing["items"])


def test_an_empty_list_has_items(room):
    """A list of nothing has an empty array."""
    listing = room.get("secrets", labelSelector="no=body").ok
    assert listing["items"] == []
    assert int(listing["metadata"]["resourceVersion"]) > 0


def test_lists_across_namespaces(api, room, shelf):
    """A namespaced collection can be listed for all namespaces at once."""
    answer = api.get("/api/v1/configmaps", labelSelector=f"shelf={shelf}")
    assert names(answer) == "abc"
    assert {each["metadata"]["namespace"] for each in answer.ok["items"]} == {room.name}


def test_a_list_of_no_namespace(api):
    """The collection of a namespace that does not exist is empty."""
    assert api.get("/api/v1/namespaces/no-such-namespace/pods").ok["items"] == []


def test_pages(room, shelf):
    """Pages of one list follow by token, with the version of the first; the last one has no token."""
    chosen = {"labelSelector": f"shelf={shelf}", "limit": 2}
    first = room.get("configmaps", **chosen)
    second = room.get("configmaps", **chosen, **{"continue": first.ok["metadata"]["continue"]})
    assert (names(first), names(second)) == ("ab", "c")
    assert first.ok["metadata"]["resourceVersion"] == second.ok["metadata"]["resourceVersion"]
    assert "continue" not in second.ok["metadata"]


def test_pages_do_not_see_later_writes(own_room):
    """What is created after the first page is on none of the next."""
    for name in ("a", "b", "d"):
        own_room.make("secrets", {"metadata": {"name": name}})
    first = own_room.get("secrets", limit=2)
    own_room.make("secrets", {"metadata": {"name": "c"}})
    second = own_room.get("secrets", limit=2, **{"continue": first.ok["metadata"]["continue"]})
    assert (names(first), names(second)) == ("ab", "d")


def test_remaining_items_without_a_selector(own_room):
    """How many are left is said."""
    for name in ("a", "b", "c"):
        own_room.make("secrets", {"metadata": {"name": name}})
    assert own_room.get("secrets", limit=1).ok["metadata"]["remainingItemCount"] == 2


def test_remaining_items_with_a_selector(room, shelf):
    """With a selector, how many are left is not said."""
    assert (
        "remainingItemCount"
        not in room.get("configmaps", labelSelector=f"shelf={shelf}", limit=1).ok["metadata"]
    )


def test_a_token_is_readable(own_room):
    """A token is JSON in base 64: the list's version, and where to go on."""
    for name in ("a", "b"):
        own_room.make("secrets", {"metadata": {"name": name}})
    metadata = own_room.get("secrets", limit=1).ok["metadata"]
    token = metadata["continue"]
    found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert (found["v"], str(found["rv"])) == ("meta.k8s.io/v1", metadata["resourceVersion"])
    assert found["start"].rstrip("\0").endswith("a")


def test_a_broken_token(room):
    """A token that is none is a bad request."""
    code, reason, message = room.get("configmaps", limit=1, **{"continue": "nonsense"}).error
    assert (code, reason) == (400, "BadRequest")
    assert message.startswith("invalid continue token: continue key is not valid: ")


def test_a_token_with_a_version(room, shelf):
    """A token goes with no version of one's own."""
    token = room.get("configmaps", labelSelector=f"shelf={shelf}", limit=1).ok["metadata"]["continue"]
    answer = room.get("configmaps", limit=1, resourceVersion="1", **{"continue": token})
    assert answer.error == (
        400,
        "BadRequest",
        "specifying resource version is not allowed when using continue",
    )


LIST_OPTIONS = [
    ({"resourceVersion": "0", "resourceVersionMatch": "Exact"},
     'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    ({"resourceVersionMatch": "Exact"},
     "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ({"resourceVersion": "5", "resourceVersionMatch": "Nearly"},
     'resourceVersionMatch: Unsupported value: "Nearly": supported values: "Exact", "NotOlderThan", ""'),
    ({"sendInitialEvents": "true"}, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"), LIST_OPTIONS, ids=["exact-0", "match-alone", "unknown-match", "initial-events"]
)
def test_list_options_that_do_not_go(room, options, text):
    """Options that do not go together are refused, with the one that is in the way."""
    code, reason, message = room.get("configmaps", **options).error
    assert (code, reason, message.endswith(text)) == (422, "Invalid", True), message


@pytest.mark.parametrize("version", ["x", "-1", "1.5"])
def test_a_version_that_is_no_number(room, version):
    """A resource version that is no number is a bad request."""
    text = (
        f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
    )
    expected = (400, "BadRequest", f"invalid resource version: {text}")
    assert room.get("configmaps", resourceVersion=version).error == expected


def test_a_limit_that_is_no_number(room):
    """A limit that is no number is a bad request."""
    expected = (400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax')
    assert room.get("configmaps", limit="x").error == expected


def test_a_field_selector_that_can_not_be_read(room):
    """A field selector without an operator is a bad request."""
    expected = (400, "BadRequest", "invalid selector: 'a'; can't understand 'a'")
    assert room.get("configmaps", fieldSelector="a").error == expected


def test_a_version_of_the_past_exactly(room, name):
    """The state at one version can be had, by Exact."""
    made = room.make("configmaps", config_map(name, {"a": "old"}))
    room.patch("configmaps", name, "merge", {"data": {"a": "new"}})
    chosen = {
        "fieldSelector": f"metadata.name={name}",
        "resourceVersion": made["metadata"]["resourceVersion"],
    }
    exact = room.get("configmaps", resourceVersionMatch="Exact", **chosen).ok
    fresh = room.get("configmaps", resourceVersionMatch="NotOlderThan", **chosen).ok
    assert [each["items"][0]["data"]["a"] for each in (exact, fresh)] == ["old", "new"]
    assert exact["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_version_of_the_future(room):
    """A version that is not there yet is waited for, then refused as a time-out that says so."""
    now = int(room.get("configmaps").ok["metadata"]["resourceVersion"])
    answer = room.get("configmaps", resourceVersion=str(now + 1_000_000))
    code, reason, message = answer.error
    assert (code, reason) == (504, "Timeout")
    assert message.startswith(f"Timeout: Too large resource version: {now + 1_000_000}, current: ")
    details = answer.json["details"]
    assert (details["retryAfterSeconds"], details["causes"][0]["reason"]) == (1, "ResourceVersionTooLarge")


def test_versions_rise_across_kinds(room, name):
    """There is one counter: a later write of another kind has a higher version."""
    first = room.make("configmaps", config_map(name))
    second = room.make("secrets", {"metadata": {"name": name}})
    third = room.make("serviceaccounts", {"metadata": {"name": name}})
    versions = [int(each["metadata"]["resourceVersion"]) for each in (first, second, third)]
    assert versions == sorted(set(versions))


def test_lists_are_ordered_by_name(own_room):
    """A list is ordered by name, not by age."""
    for name in ("m", "b", "z"):
        own_room.make("secrets", {"metadata": {"name": name}})
    assert names(own_room.get("secrets")) == "bmz"


def test_an_object_of_the_future(room):
    """One object, too, is not to be had at a version that is not there yet."""
    version = int(room.get("configmaps").ok["metadata"]["resourceVersion"]) + 1_000_000
    code, reason, message = room.get("configmaps", "x", resourceVersion=str(version)).error
    assert (code, reason) == (504, "Timeout")
    assert message.startswith(f"Timeout: Too large resource version: {version}, current: ")


def test_an_absent_object(room):
    """What is not there is NotFound, with its kind and name in the details."""
    answer = room.get("configmaps", "nobody")
    assert answer.error == (404, "NotFound", 'configmaps "nobody" not found')
    assert answer.json["details"] == {"name": "nobody", "kind": "configmaps"}


def test_an_absent_object_of_a_group(room):
    """The group of what is not there is named."""
    answer = room.get("deployments", "nobody")
    assert answer.error == (404, "NotFound", 'deployments.apps "nobody" not found')
    assert answer.json["details"] == {"name": "nobody", "group": "apps", "kind": "deployments"}


def test_head_and_pretty(room, name):
    """`pretty` asks for lines and indents."""
    room.make("configmaps", config_map(name))
    answer = room.get("configmaps", name, pretty="true")
    assert answer.text.startswith('{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",')
