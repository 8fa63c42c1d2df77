"""Links that come back through a proxy."""

import pytest

from simcluster.apiserver.rewriting import rewrite_link, rewrite_page

BEFORE = "/api/v1/namespaces/default/pods/web/proxy"
LINKS = [
    ("/a?x=1#y", f"{BEFORE}/a?x=1#y"),
    ("https://here:6443/a", f"https://here:6443{BEFORE}/a"),
    ("https://there/a", "https://there/a"),
    ("//there/a", "//there/a"),
    ("a/b", "a/b"),
    ("#top", "#top"),
    ("", ""),
    (f"{BEFORE}/a", f"{BEFORE}/a"),
    ("mailto:x@y", "mailto:x@y"),
    ("http://[bad/", "http://[bad/"),
]


@pytest.mark.parametrize(("link", "expected"), LINKS)
def test_a_link_leads_through_the_proxy_if_it_leads_to_the_place(link: str, expected: str) -> None:
    """A path from the root, or the host that the client named; anything else stays."""
    assert rewrite_link(link, "here:6443", BEFORE) == expected


PAGES = [
    ('<a href="/x">', f'<a href="{BEFORE}/x">'),
    ("<A HREF='/x'>", f"<A HREF='{BEFORE}/x'>"),
    ("<img alt=/x src=/x>", f"<img alt=/x src={BEFORE}/x>"),
    ("/x <b>/x</b>", "/x <b>/x</b>"),
    ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
    ("<script src='/x'>'<a href=\"/y\">'</script>", f"<script src='{BEFORE}/x'>'<a href=\"/y\">'</script>"),
    ("<a data-href='/x'>", "<a data-href='/x'>"),
]


@pytest.mark.parametrize(("page", "expected"), PAGES)
def test_a_page_has_its_links_rewritten_and_nothing_else(page: str, expected: str) -> None:
    """Attributes that are links, in tags; not text, comments or scripts."""
    assert rewrite_page(page, "here", BEFORE) == expected
