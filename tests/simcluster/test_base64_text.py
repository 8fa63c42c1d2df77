"""Base64 as the API reads it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.schema import Report, decode, load
from simcluster.schema.base64_text import find_fault
from simcluster.schema.decoding import Malformed


@given(st.binary(max_size=20))
def test_what_was_encoded_is_base64(data: bytes) -> None:
    """With line breaks, too."""
    text = base64.b64encode(data).decode()

    assert find_fault(text) is None
    assert find_fault("\r\n".join(text)) is None


@given(st.text(alphabet="Aa+/=-\n", max_size=9))
def test_whatever_passes_can_be_decoded(text: str) -> None:
    """Python's own strict decoder takes all that is accepted here."""
    if find_fault(text) is None:
        base64.b64decode(text.replace("\n", ""), validate=True)


@pytest.mark.parametrize(
    ("text", "at"),
    [("a", 0), ("aaaaa", 4), ("a-", 1), ("=", 0), ("aa=", 3), ("aa=a", 2), ("aa==a", 4), ("aa\na", 1)],
)
def test_the_fault_is_where_go_sees_it(text: str, at: int) -> None:
    """As kube-apiserver v1.36.3 answered."""
    assert find_fault(text) == at


def test_a_secret_that_is_not_base64_is_refused() -> None:
    """With Go's text, at the first field."""
    type_ = load().resources["secrets"].type

    with pytest.raises(Malformed, match="illegal base64 data at input byte 1"):
        decode(type_, {"data": {"a": "x-y"}}, Report())
