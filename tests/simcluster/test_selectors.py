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


@pytest.mark.parametrize(
    "text", ["a b", "a in b", "a in (b", "a in (b c)", "=a", "a=b,", "a=b c", "a=/", "a!b", "(a)"]
)
def test_a_label_selector_that_makes_no_sense_is_refused(text: str) -> None:
    """400, and the text begins as a real server's does."""
    with pytest.raises(BadRequest, match=r"^unable to parse requirement: "):
        parse_labels(text)


def test_the_refusal_of_two_words_is_worded_as_the_real_one() -> None:
    """The whole text, as v1.36.3 gives it."""
    with pytest.raises(BadRequest) as caught:
        parse_labels("a b")

    assert (
        caught.value.message
        == "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
    )


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


def test_a_field_that_a_kind_does_not_offer_is_refused() -> None:
    """400 with the real text, never a list of nothing."""
    with pytest.raises(BadRequest, match=r"^field label not supported: spec.foo$"):
        parse_fields("spec.foo=x", "pods")
    with pytest.raises(BadRequest, match=r"^invalid selector: 'spec.foo'; can't understand 'spec.foo'$"):
        parse_fields("spec.foo", "pods")


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
