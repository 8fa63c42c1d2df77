"""What lists and watches ask for, and the words in which a real server (v1.36.3) refuses what makes no sense."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.apiserver.continuing import NEWEST, read_token, write_token
from simcluster.apiserver.list_options import ListOptions, read_list_options
from simcluster.errors import BadRequest, StatusError

MATCH = "resourceVersionMatch"
LACKS_REVISION = f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided"
WITH_TOKEN = f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided"
FOR_LIST = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
WITHOUT_INITIAL = f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless sendInitialEvents is provided"
NEEDS_MATCH = f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"


def read(query: str, *, watch: bool = False) -> ListOptions:
    return read_list_options(dict(parse_qsl(query, keep_blank_values=True)), "configmaps", watch=watch)


def refuse(query: str, *, watch: bool = False) -> StatusError:
    with pytest.raises(StatusError) as caught:
        read(query, watch=watch)
    return caught.value


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("resourceVersionMatch=Exact", [LACKS_REVISION]),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            [f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"'],
        ),
        (
            "resourceVersionMatch=x",
            [
                LACKS_REVISION,
                f'{MATCH}: Unsupported value: "x": supported values: "Exact", "NotOlderThan", ""',
            ],
        ),
        ("continue=abc&resourceVersionMatch=Exact&resourceVersion=5", [WITH_TOKEN]),
        ("sendInitialEvents=false", [FOR_LIST]),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", [LACKS_REVISION, FOR_LIST]),
    ],
)
def test_a_list_says_all_that_is_wrong_at_once(query: str, faults: list[str]) -> None:
    """422 of ListOptions, in the order of the real server."""
    error = refuse(query)
    listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"

    assert (error.code, error.message) == (422, f'ListOptions.meta.k8s.io "" is invalid: {listed}')
    assert error.details["group"] == "meta.k8s.io"


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        (
            "resourceVersion=1&resourceVersionMatch=Exact",
            [WITHOUT_INITIAL, f'{MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"'],
        ),
        ("resourceVersionMatch=NotOlderThan", [WITHOUT_INITIAL]),
        ("sendInitialEvents=true", [NEEDS_MATCH]),
        # Without a revision it is as if initial events were asked for, and they go with no token.
        ("continue=abc", [WITH_TOKEN]),
    ],
)
def test_a_watch_has_rules_of_its_own(query: str, faults: list[str]) -> None:
    """As above, for watches."""
    listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"

    assert refuse(query, watch=True).message == f'ListOptions.meta.k8s.io "" is invalid: {listed}'


def test_a_revision_that_is_no_number_is_the_client_s_fault_in_a_list_alone() -> None:
    """400 for a list; a watch finds it too late and says 500, without a reason."""
    text = 'resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax'
    listed, watched = refuse("resourceVersion=x"), refuse("resourceVersion=x", watch=True)

    assert (listed.code, listed.message) == (400, f"invalid resource version: {text}")
    assert (watched.code, watched.reason, watched.message) == (500, "", text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("resourceVersion=0", True),
        ("resourceVersion=5", False),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", False),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=5", True),
    ],
)
def test_what_a_watch_begins_with(query: str, expected: bool) -> None:
    """Without a revision, or with 0, it begins with what is there; else only if that is asked for."""
    assert read(query, watch=True).initial_events is expected


@pytest.mark.parametrize(
    ("said", "expected"), [("1", True), ("", True), ("x", True), ("0", False), ("False", False)]
)
def test_flags_are_read_as_a_real_server_reads_them(said: str, expected: bool) -> None:
    """All but 0 and false is true."""
    assert read(f"allowWatchBookmarks={said}").bookmarks is expected


@given(st.integers(1), st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1))
def test_a_token_is_read_as_it_was_written(revision: int, name: str) -> None:
    """Revision and key, whatever they are."""
    revision %= 2**53
    start = f"/{name}\0"

    assert read_token(write_token(revision + 1, start)) == (revision + 1, start)
    assert read_token(write_token(NEWEST, start))[0] < 0


def encode(**held: Any) -> str:
    import base64
    import json

    return base64.urlsafe_b64encode(json.dumps(held).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("!!", "illegal base64 data at input byte 0"),
        ("abc", "invalid character 'i' looking for beginning of value"),
        ("e30", "server does not recognize this encoded version "),
        (encode(v="meta.k8s.io/v2"), "server does not recognize this encoded version meta.k8s.io/v2"),
        (
            encode(v="meta.k8s.io/v1", rv=0, start="a"),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (encode(v="meta.k8s.io/v1", rv=1), "encoded start key empty (version meta.k8s.io/v1)"),
        (encode(v="meta.k8s.io/v1", rv=1, start="../x"), "../x"),
    ],
)
def test_a_token_that_is_none_is_refused_in_the_real_words(token: str, why: str) -> None:
    """400, and nothing outside the collection can be reached by one."""
    with pytest.raises(BadRequest) as caught:
        read_token(token)

    assert caught.value.message == f"invalid continue token: continue key is not valid: {why}"


@given(st.text(max_size=60))
def test_no_token_breaks_the_reader(token: str) -> None:
    """Whatever is sent is read or refused."""
    try:
        read_token(token)
    except BadRequest:
        return
