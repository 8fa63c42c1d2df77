"""How the API server refuses for reasons of its own: too much to do, out of order. Pure.

Source: k8s.io/apiserver pkg/server/filters/priority-and-fairness.go.
"""

from __future__ import annotations

from aiohttp import web

from simcluster.apiserver.answers import answer_error
from simcluster.errors import StatusError
from simcluster.faults.requests import ApiRefuse

_BUSY = "Too many requests, please try again later.\n"
# Of the flow schema `global-default` and its priority level; a real server has made them up, too.
_LEVELS = {
    "X-Kubernetes-PF-FlowSchema-UID": "7a6b2f5e-0a4d-4f0e-9d0b-5f2c1f0c9a01",
    "X-Kubernetes-PF-PriorityLevel-UID": "0d1c7e44-6f5b-4a3c-8b7e-2f9a6f1d3b02",
}


def refuse(fault: ApiRefuse) -> web.Response:
    """Return the answer: 429 as priority and fairness gives it, or a Status of 500 or 503."""
    wait = {"Retry-After": str(fault.retry_after_s)}
    if fault.code == 429:
        headers = wait | _LEVELS | {"X-Content-Type-Options": "nosniff"}
        return web.Response(text=_BUSY, status=429, headers=headers)
    if fault.code == 503:
        error = StatusError(
            "the server is currently unable to handle the request", code=503, reason="ServiceUnavailable",
            details={"retryAfterSeconds": fault.retry_after_s},
        )  # fmt: skip
    else:
        error = StatusError("Internal error occurred: etcdserver: request timed out")
    return answer_error(error)
