"""Service-account tokens: only what this cluster signed, in time and for it, is believed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.tokens import ISSUER, Bearer, TokenError, TokenIssuer

ISSUERS = TokenIssuer()
BEARER = Bearer("shop", "pool", "uid-1", "client-1", "uid-2", "token-1")
NOW = 1_764_000_000.0


def test_what_is_minted_is_believed() -> None:
    """A fresh token says who it was made for."""
    assert ISSUERS.verify(ISSUERS.mint(BEARER, now=NOW), now=NOW)[0] == BEARER


@pytest.mark.parametrize(
    "bearer",
    [
        Bearer("shop", "pool", "uid-1", token_id="x", node="n1", node_uid="uid-3"),
        Bearer("shop", "pool", "uid-1", token_id="x", secret="s", secret_uid="uid-4"),
        Bearer("shop", "pool", "uid-1", "p", "uid-2", "x", node="gone"),
    ],
    ids=["node", "secret", "a pod on a node that is gone"],
)
def test_what_it_is_bound_to_is_told(bearer: Bearer) -> None:
    """A node, a secret, or a pod with its node, which may have no uid."""
    assert ISSUERS.verify(ISSUERS.mint(bearer, now=NOW), now=NOW)[0] == bearer


def test_user_and_groups_are_those_of_rbac() -> None:
    """The names by which bindings know a service account."""
    assert BEARER.user == "system:serviceaccount:shop:pool"
    assert BEARER.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")


def test_claims_are_those_of_a_real_token() -> None:
    """Clients that read the token themselves find subject, audience and pod where they look."""
    claims = json.loads(base64.urlsafe_b64decode(ISSUERS.mint(BEARER, now=NOW).split(".")[1] + "=="))

    assert claims["sub"] == BEARER.user
    assert claims["aud"] == [ISSUER]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["kubernetes.io"]["pod"] == {"name": "client-1", "uid": "uid-2"}


@pytest.mark.parametrize(
    ("later_s", "why"), [(-10, "is not valid yet"), (600, "has expired"), (10_000, "has expired")]
)
def test_out_of_its_time_it_is_refused(later_s: float, why: str) -> None:
    """From its making to its expiry, which is not part of it."""
    token = ISSUERS.mint(BEARER, now=NOW, lasts_s=600)

    with pytest.raises(TokenError, match=why):
        ISSUERS.verify(token, now=NOW + later_s)


def test_for_another_audience_it_is_refused() -> None:
    """A token made for a vault does not open the API."""
    token = ISSUERS.mint(BEARER, now=NOW, audiences=["vault"])

    with pytest.raises(TokenError, match=r"token audiences .* is invalid for the target audiences"):
        ISSUERS.verify(token, now=NOW)
    assert ISSUERS.verify(token, now=NOW, audiences=["vault", "x"]) == (BEARER, ["vault"])


def test_from_another_cluster_it_is_refused() -> None:
    """Each cluster has a key of its own."""
    with pytest.raises(TokenError, match="was not signed by this cluster"):
        ISSUERS.verify(TokenIssuer().mint(BEARER, now=NOW), now=NOW)


@given(st.integers(0, 10_000), st.sampled_from("abcXYZ019-_."))
def test_any_change_of_a_token_is_noticed(place: int, letter: str) -> None:
    """One letter changed anywhere, and it is refused (or it was that letter already)."""
    token = ISSUERS.mint(BEARER, now=NOW)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    # The last letter of a base64 text carries spare bits: two spellings of one signature.
    if changed.rpartition(".")[2][:-1] == token.rpartition(".")[2][:-1] and place == len(token) - 1:
        return
    if changed != token:
        with pytest.raises(TokenError):
            ISSUERS.verify(changed, now=NOW)


@given(st.text(max_size=60))
def test_nonsense_is_refused_with_a_reason(text: str) -> None:
    """No text makes the check crash, and the reason does not repeat it."""
    with pytest.raises(TokenError) as caught:
        ISSUERS.verify(text, now=NOW)
    assert len(text) < 8 or text not in str(caught.value)
