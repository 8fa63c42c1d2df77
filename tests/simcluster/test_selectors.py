"""Selectors: what they match, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.errors import BadRequest
from simcluster.selectors import (
    EVERYTHING,
    Requirement,
    from_label_selector,
    matches_label_selector,
    parse,
    parse_fields,
    parse_labels,
)

LABELS = {"app": "greeter", "tier": "front", "n": "5"}


def matches(text: str, labels: dict[str, str] = LABELS) -> bool:
    return all(each.matches(labels) for each in parse_labels(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=greeter", True),
        ("app==greeter", True),
        ("app = greeter , tier != back", True),
        ("app=other", False),
        ("app!=greeter", False),
        ("absent!=x", True),
        ("absent=", False),
        ("app in (greeter,other)", True),
        ("app in (other)", False),
        ("app notin (other, third)", True),
        ("absent notin (other)", True),
        ("app", True),
        ("absent", False),
        ("!app", False),
        ("!absent", True),
        ("n>4,n<6", True),
        ("n>5", False),
        ("app>1", False),
        ("example.com/app=x", False),
    ],
)
def test_label_selectors_match_as_kubernetes_says(text: str, expected: bool) -> None:
    """Every operator, with and without the label; != and notin hold where it is absent."""
    assert matches(text) is expected


PREFIX = "unable to parse requirement: "
KEY = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a b", f"{PREFIX}found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a!b", f"{PREFIX}found '!', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", f"{PREFIX}found 'b' expected: '('"),
        ("a notin", f"{PREFIX}found '' expected: '('"),
        ("a in (b", f"{PREFIX}found '', expected: ',' or ')'"),
        ("a in (b c)", f"{PREFIX}found 'c', expected: ',' or ')'"),
        ("a=(b)", f"{PREFIX}found '(', expected: identifier"),
        ("a===b", f"{PREFIX}found '=', expected: identifier"),
        ("!!a", f"{PREFIX}found '!', expected: identifier"),
        ("!", f"{PREFIX}found '', expected: identifier"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("-a=b", f'{PREFIX}<nil>: Invalid value: "-a": name part {KEY}'),
        ("/a", f'{PREFIX}<nil>: Invalid value: "/a": prefix part must be non-empty'),
        ("a/", f'{PREFIX}<nil>: Invalid value: "a/": name part must be non-empty; name part {KEY}'),
        (
            "a/b/c=d",
            f'{PREFIX}<nil>: Invalid value: "a/b/c": a valid label key {KEY} with an optional DNS subdomain prefix and '
            "'/' (e.g. 'example.com/MyName')",
        ),
        ("x" * 64, f'{PREFIX}<nil>: Invalid value: "{"x" * 64}": name part must be no more than 63 bytes'),
        (
            "a=" + "x" * 64,
            f'{PREFIX}values[0][a]: Invalid value: "{"x" * 64}": must be no more than 63 bytes',
        ),
        (
            "a<x",
            f"{PREFIX}values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_a_label_selector_that_makes_no_sense_is_refused_in_the_real_words(text: str, refusal: str) -> None:
    """400, and the whole text, as v1.36.3 gives it."""
    with pytest.raises(BadRequest) as caught:
        parse_labels(text)

    assert caught.value.message == refusal


words = st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z")


@given(st.dictionaries(words, words, max_size=4), words, st.sets(words, min_size=1, max_size=3))
def test_notin_is_the_opposite_of_in(labels: dict[str, str], key: str, values: set[str]) -> None:
    """For any labels, exactly one of `in` and `notin` holds; likewise of `key` and `!key`."""
    listed = ",".join(sorted(values))

    assert matches(f"{key} in ({listed})", labels) is not matches(f"{key} notin ({listed})", labels)
    assert matches(key, labels) is not matches(f"!{key}", labels)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever is sent is read or refused."""
    try:
        parse_labels(text)
    except BadRequest:
        return


POD = {
    "metadata": {"name": "p", "namespace": "a"},
    "spec": {"nodeName": "n1"},
    "status": {"podIPs": [{"ip": "127.0.0.9"}], "phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("spec.nodeName=n1,status.phase=Running", True),
        ("spec.host=n1", True),
        ("spec.nodeName=", False),
        ("status.podIPs=127.0.0.9", True),
        ("spec.hostNetwork=false", True),
        ("status.nominatedNodeName=", True),
    ],
)
def test_field_selectors_of_pods(text: str, expected: bool) -> None:
    """Fields, aliases, and what an absent field reads as."""
    assert parse("", text, "pods").matches(POD) is expected


def test_events_are_selected_by_their_component() -> None:
    """`source` of an event is its source's component."""
    event = {"metadata": {"name": "e"}, "source": {"component": "kubelet"}, "involvedObject": {"name": "p"}}

    assert parse("", "source=kubelet,involvedObject.name=p", "events").matches(event)


@pytest.mark.parametrize(
    ("text", "resource", "refusal"),
    [
        ("spec.foo=x", "pods", "field label not supported: spec.foo"),
        ("spec.foo", "pods", "invalid selector: 'spec.foo'; can't understand 'spec.foo'"),
        ("metadata.namespace=a", "namespaces", "field label not supported: metadata.namespace"),
        ("x=y", "jobs.batch", 'field label "x" not supported for Job'),
        (
            "status.replicas=1",
            "replicasets.apps",
            '"status.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (
            "metadata.name =x",
            "configmaps",
            '"metadata.name " is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("metadata.name=a=b", "pods", "invalid field selector: unescaped character in value: 61"),
        ("metadata.name=\\a", "pods", "invalid field selector: invalid escape sequence: \\a"),
        ("metadata.name=a\\", "pods", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_field_selector_that_a_kind_does_not_take_is_refused(
    text: str, resource: str, refusal: str
) -> None:
    """400 with the real text, as v1.36.3 gives it, never a list of nothing."""
    with pytest.raises(BadRequest) as caught:
        parse_fields(text, resource)

    assert caught.value.message == refusal


def test_an_escaped_character_of_a_field_selector_is_data() -> None:
    """Commas and equal signs of a value are written with a backslash."""
    selector = parse("", "metadata.name=a\\,b\\=c", "pods")

    assert selector.matches({"metadata": {"name": "a,b=c"}})


def test_no_selector_matches_everything() -> None:
    """Two empty texts are the selector of everything, and known as such."""
    assert parse("", "", "pods") is EVERYTHING
    assert EVERYTHING.everything


def test_label_selector_objects_match_as_their_texts() -> None:
    """matchLabels and matchExpressions, each operator."""
    selector = {
        "matchLabels": {"app": "greeter"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]},
            {"key": "absent", "operator": "NotIn", "values": ["x"]},
            {"key": "n", "operator": "Exists"},
            {"key": "absent", "operator": "DoesNotExist"},
        ],
    }

    assert matches_label_selector(selector, LABELS)
    assert not matches_label_selector(selector, {**LABELS, "absent": "y"})
    assert from_label_selector({}) == ()
    assert from_label_selector({"matchLabels": {"a": "b"}}) == (Requirement("a", "in", frozenset({"b"})),)
    with pytest.raises(BadRequest, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})
