"""Histories on disk."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HistoryError
from harness.history import (
    BadLine,
    Call,
    Endpoint,
    History,
    Note,
    PodSeen,
    Said,
    SliceSeen,
    StepDone,
    from_lines,
    to_lines,
)
from harness.samples import CODES, Sample

texts, instants, flags = st.text(max_size=20), st.floats(min_value=1, max_value=4e9), st.booleans()
maybe = st.none() | texts
records = st.one_of(
    st.builds(
        Call,
        at=instants,
        client=texts,
        sample=st.builds(
            Sample,
            variant=st.text(min_size=1, max_size=5),
            seq=st.integers(min_value=0),
            sent_at=instants,
            latency_s=st.floats(min_value=0, max_value=9),
            code=st.sampled_from(sorted(CODES)),
            pod=maybe,
            peer=maybe,
            detail=maybe,
        ),
    ),
    st.builds(BadLine, at=instants, client=texts, reason=texts, text=texts),
    st.builds(Said, at=instants, client=texts, text=texts),
    st.builds(
        StepDone,
        at=instants,
        done_at=instants,
        number=st.integers(0, 99),
        verb=texts,
        text=texts,
        phase=maybe,
        pods=st.lists(texts, max_size=3).map(tuple),
        struck_at=st.none() | instants,
    ),
    st.builds(
        SliceSeen,
        at=instants,
        service=texts,
        name=texts,
        is_deleted=flags,
        endpoints=st.lists(st.builds(Endpoint, maybe, texts, flags, flags, flags), max_size=3).map(tuple),
    ),
    st.builds(PodSeen, instants, texts, maybe, maybe, texts, flags, flags, flags, st.integers(0, 9)),
    st.builds(Note, instants, texts),
)
histories = st.builds(
    History,
    scenario=texts,
    path=texts,
    text=texts,
    backend=texts,
    kubernetes=texts,
    records=st.lists(records, max_size=8).map(tuple),
    began_at=st.none() | instants,
    ended_at=st.none() | instants,
    failure=maybe,
    variants=st.lists(texts, max_size=3).map(tuple),
)
HEADER = '{"kind":"history","schema":1,"scenario":"s","path":"s.yaml","text":"","backend":"sim","kubernetes":"v1.36"}'


@given(st.lists(histories, max_size=3))
def test_what_is_written_is_read_back(told: list[History]) -> None:
    """Any number of histories, one after the other, come back from their lines unchanged."""
    lines = [line for history in told for line in to_lines(history)]

    assert told == from_lines(lines)


def test_the_writer_was_killed_in_a_line() -> None:
    """A last line that was cut off is left out and noted; what came before it counts."""
    found = from_lines([HEADER, '{"kind":"note","at":5,"text":"a"}', '{"kind":"note","a'])

    assert [Note(5, "a"), Note(5, "line 3 of the history was cut off")] == list(found[0].records)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{", HEADER], "line 1: not JSON"),
        (["[]"], "line 1: an object with a `kind` was expected"),
        (
            ['{"kind":"note","at":1,"text":""}'],
            "line 1: a record before any header; is this a whole history.jsonl?",
        ),
        (['{"kind":"history","schema":9}'], "line 1: schema 9 is not known; this harness reads schema 1"),
        (
            [HEADER.replace('"text":""', '"text":null,"variants":7,"began_at":"x"')],
            "line 1: the header's text, began_at, variants can not be what a run has written",
        ),
        (
            [HEADER, '{"kind":"note","at":"x","text":""}'],
            "line 2: a note record that can not be read: at is 'x'",
        ),
        (["[" * 100_000, HEADER], "line 1: not JSON"),
        ([HEADER, '{"kind":"note"}'], "line 2: a note record that can not be read: "),
        ([HEADER, '{"kind":"dance"}'], "line 2: a dance record that can not be read: 'dance'"),
    ],
)
def test_a_file_that_is_no_history(lines: list[str], message: str) -> None:
    """What can not be read is refused with its line."""
    with pytest.raises(HistoryError) as refused:
        from_lines(lines)

    assert str(refused.value).startswith(message)


def test_lines_are_json_objects_with_a_kind() -> None:
    """Other programs can tell the records apart."""
    history = History("s", "s.yaml", "", "sim", "v1.36", (Note(1, "x"),))

    assert [json.loads(line)["kind"] for line in to_lines(history)] == ["history", "note"]
