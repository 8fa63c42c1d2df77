"""Server-side apply over HTTP, and what every write says of who wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_process import Plain

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


def config(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, **more}


@pytest.fixture
def path(namespace: str) -> str:
    """Where the ConfigMap `c` is, or will be."""
    return f"/api/v1/namespaces/{namespace}/configmaps/c"


def test_an_object_is_applied_as_json_or_yaml(plain: Plain, path: str) -> None:
    """201 when it is new, 200 then; who applies with force takes the field."""
    body = json.dumps(config(data={"a": "1"})).encode()
    assert plain.ask("PATCH", f"{path}?fieldManager=me", body, Content_Type=APPLY)[0] == 201
    yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}\n"
    code, status = plain.ask("PATCH", f"{path}?fieldManager=you", yaml, Content_Type=APPLY)
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"][0]["field"] == ".data.a"

    code, obj = plain.ask("PATCH", f"{path}?fieldManager=you&force=true", yaml, Content_Type=APPLY)

    assert (code, obj["data"]) == (200, {"a": "2"})
    assert [each["manager"] for each in obj["metadata"]["managedFields"]] == ["you"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "fieldManager: Required value: is required for apply patch"),
        (f"?fieldManager={'x' * 129}", "fieldManager: Too long: may not be more than 128 bytes"),
        (
            "?fieldManager=a%07",
            'fieldManager: Invalid value: "a\\u0007": invalid character U+0007 (at position 1)',
        ),
        ("?fieldManager=a&dryRun=no", 'dryRun: Unsupported value: ["no"]: supported values: "All"'),
    ],
)
def test_options_of_an_apply_are_checked(plain: Plain, path: str, query: str, message: str) -> None:
    """Who applies must say who it is."""
    code, status = plain.ask("PATCH", path + query, json.dumps(config()).encode(), Content_Type=APPLY)

    assert (code, status["message"]) == (422, f'PatchOptions.meta.k8s.io "" is invalid: {message}')


def test_force_is_for_applying_only(plain: Plain, path: str) -> None:
    """A merge patch that asks for it is refused."""
    code, status = plain.ask("PATCH", f"{path}?force=true", b"{}", Content_Type=MERGE)

    assert (code, status["details"]["causes"][0]["message"]) == (
        422,
        "Forbidden: may not be specified for non-apply patch",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value"),
        (b"a: b: c", "error converting YAML to JSON: yaml: "),
        (b"\xff", "error converting YAML to JSON: yaml: "),
    ],
)
def test_what_is_no_object_can_not_be_applied(plain: Plain, path: str, body: bytes, message: str) -> None:
    """400 says that the YAML could not be decoded."""
    code, status = plain.ask("PATCH", f"{path}?fieldManager=me", body, Content_Type=APPLY)

    assert code == 400
    assert status["message"].startswith(f"error decoding YAML: {message}")


def test_a_patch_of_an_unknown_type_is_refused_in_few_words(plain: Plain, path: str) -> None:
    """As a real server, without the list of the known ones."""
    code, status = plain.ask("PATCH", path, b"{}", Content_Type="application/json")

    assert (code, status["message"], status["details"]) == (415, "415: Unsupported Media Type", {})


def test_who_writes_is_known_by_its_user_agent(plain: Plain, path: str) -> None:
    """Up to the first slash; `unknown` if there is none."""
    collection = path.removesuffix("/c")
    plain.ask("POST", collection, config(data={"a": "1"}), User_Agent="me/v1 (linux)")
    plain.ask("PATCH", path, b'{"data":{"b":"1"}}', Content_Type=MERGE, User_Agent="")
    _, obj = plain.ask("GET", path)

    assert {each["manager"] for each in obj["metadata"]["managedFields"]} == {"me", "unknown"}
