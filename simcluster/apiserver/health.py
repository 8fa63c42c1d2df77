"""Whether the server is well: `/healthz`, `/livez`, `/readyz`, and each of their checks by its own path. Pure.

The rule it keeps: the checks are those of things that there are here; whoever can ask is answered by a server that is
well, so all of them pass.

Source: k8s.io/apiserver pkg/server/healthz/healthz.go; names and texts measured on v1.36.3.
"""

from __future__ import annotations

from collections.abc import Sequence

_FIRST = ("ping", "log", "etcd")
_HOOKS = (
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/bootstrap-controller",
)
_USUAL = _FIRST + _HOOKS
_CHECKS = {
    "healthz": _USUAL,
    "livez": _USUAL,
    "readyz": (*_FIRST, "etcd-readiness", "informer-sync", *_HOOKS, "shutdown"),
}
ENDPOINTS = tuple(_CHECKS)


def is_health(path: str) -> bool:
    """Return whether a path asks for the server's health."""
    return path.split("/")[1] in ENDPOINTS


def check(path: str, excluded: Sequence[str], *, verbose: bool) -> str | None:
    """Return the text that answers a path such as `/livez` or `/livez/ping`; None if there is no such check."""
    _, endpoint, *rest = path.split("/")
    checks = _CHECKS[endpoint]
    if rest:
        return "ok" if "/".join(rest) in checks else None
    if not verbose:
        return "ok"
    lines = [f"[+]{each} {'excluded: ok' if each in excluded else 'ok'}" for each in checks]
    unknown = [each for each in excluded if each not in checks]
    if unknown:
        listed = ", ".join(f'"{each}"' for each in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    return "\n".join([*lines, f"{endpoint} check passed", ""])
