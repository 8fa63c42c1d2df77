"""Links in what comes back through a proxy, made to lead through it again. Pure.

The rule it keeps: only links to the place itself are changed: those with a path from its root, and those that name the
host that the client named.

Source: k8s.io/apimachinery pkg/util/proxy/transport.go.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_LINKS = "action|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap"
# What begins an element; of a script or a style sheet, the whole: what is inside has no links.
_TAG = re.compile(r"<!--.*?-->|(<(script|style)\b[^>]*>)(.*?</\2)|<[a-z][^>]*>", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(rf"""(\s(?:{_LINKS})\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)


def rewrite_link(link: str, host: str, before: str) -> str:
    """Return a link; one to `host`, or to a path from the root, gets `before` in front of its path."""
    try:
        url = urlsplit(link)
    except ValueError:
        return link
    if url.netloc not in ("", host) or not url.path.startswith("/") or url.path.startswith(f"{before}/"):
        return link
    return urlunsplit(url._replace(path=before + url.path))


def rewrite_page(page: str, host: str, before: str) -> str:
    """Return an HTML page with its links rewritten."""

    def rewrite(found: re.Match[str]) -> str:
        begin, inside = found[1], found[3]
        if begin is not None:
            return _LINK.sub(replace, begin) + inside
        return found[0] if found[0].startswith("<!--") else _LINK.sub(replace, found[0])

    def replace(found: re.Match[str]) -> str:
        quote = found[2][0] if found[2][0] in "\"'" else ""
        link = found[2][1:-1] if quote else found[2]
        return f"{found[1]}{quote}{rewrite_link(link, host, before)}{quote}"

    return _TAG.sub(rewrite, page)
