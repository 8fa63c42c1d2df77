"""The sample format: what is read, what is refused, and that code and published schema agree."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SampleError
from harness.samples import CODES, Sample, from_document, parse, to_document

GOOD: dict[str, Any] = {
    "v": 1,
    "variant": "pool",
    "seq": 17,
    "sent_at": 1764000000.123,
    "latency_s": 0.0012,
    "code": "OK",
    "pod": "greeter-1",
    "peer": "10.244.0.7:50051",
}
SCHEMA = json.loads((resources.files("harness") / "schema" / "sample-v1.json").read_text(encoding="utf-8"))
samples = st.builds(
    Sample,
    variant=st.text(min_size=1),
    seq=st.integers(min_value=0),
    sent_at=st.floats(min_value=1, max_value=1e12),
    latency_s=st.floats(min_value=0, max_value=1e6),
    code=st.sampled_from(sorted(CODES)),
    pod=st.none() | st.text(),
    peer=st.none() | st.text(),
    detail=st.none() | st.text(),
)
# As JSON has them: a schema says nothing about infinity.
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just([])
)


def test_a_line_as_clients_print_it() -> None:
    """A line of the documented form becomes a sample with just its values."""
    sample = parse(json.dumps(GOOD))

    assert Sample("pool", 17, 1764000000.123, 0.0012, "OK", "greeter-1", "10.244.0.7:50051") == sample
    assert sample.is_ok
    assert pytest.approx(sample.ended_at) == 1764000000.1242


@given(samples)
def test_what_is_written_is_read_back(sample: Sample) -> None:
    """Every sample survives its JSON form unchanged, and that form fits the schema."""
    document = json.loads(json.dumps(to_document(sample)))

    jsonschema.validate(document, SCHEMA)
    assert sample == from_document(document)


@given(st.sampled_from(sorted(GOOD)), anything)
def test_code_and_schema_agree(field: str, value: Any) -> None:
    """Whatever stands in a field, the code refuses it if and only if the published schema does."""
    document = {**GOOD, field: value}

    is_valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    try:
        from_document(document)
    except SampleError:
        assert not is_valid
    else:
        assert is_valid


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_field_is_missing(field: str) -> None:
    """A sample without one of its fields is refused by the field's name."""
    with pytest.raises(SampleError, match=rf"^missing: {field}$"):
        from_document({key: value for key, value in GOOD.items() if key != field})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON: "),
        ("[1]", "a JSON object was expected, not list [1]"),
        (json.dumps({**GOOD, "v": 2}), "version 2 is not known; this harness reads version 1"),
        (json.dumps({**GOOD, "code": "FINE"}), "code 'FINE' is not the name of a gRPC status"),
        (json.dumps({**GOOD, "variant": ""}), "variant: a text was expected, not str ''"),
        (json.dumps({**GOOD, "seq": -1}), "seq: a whole number from 0 was expected, not int -1"),
        (json.dumps({**GOOD, "seq": True}), "seq: a whole number from 0 was expected, not bool True"),
        (json.dumps({**GOOD, "sent_at": 0}), "sent_at: 0 is too small"),
        (json.dumps({**GOOD, "latency_s": "1"}), "latency_s: a number was expected, not str '1'"),
        (json.dumps({**GOOD, "latency_s": float("nan")}), "latency_s: a number was expected, not float nan"),
        (json.dumps({**GOOD, "latency_s": float("inf")}), "latency_s: a number was expected, not float inf"),
        (json.dumps({**GOOD, "sent_at": 10**400}), "sent_at: a number was expected, not int 1000"),
        (json.dumps({**GOOD, "pod": 7}), "pod: a text or null was expected, not int 7"),
    ],
)
def test_a_line_that_is_no_sample(line: str, message: str) -> None:
    """Each thing that can be wrong with a line is refused in its own words."""
    with pytest.raises(SampleError) as refused:
        parse(line)

    assert str(refused.value).startswith(message)


def test_reading_samples_is_cheap() -> None:
    """The module needs nothing but the standard library, so that any client image can use it."""
    code = "import harness.samples, sys; print([m for m in ('pytest', 'yaml', 'aiohttp', 'grpc') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
