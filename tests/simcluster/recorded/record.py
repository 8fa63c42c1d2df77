"""Writes what a real API server answers to the requests of this folder: `record.py http://127.0.0.1:8001`.

The rule it keeps: each case begins with nothing but its own namespace, and answers are freed of what differs from run
to run. The address is that of a `kubectl proxy` to a server without controllers.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
# Ask a server: (method, path, content type, body) to (code, body, warning header).
Ask = Callable[[str, str, str, bytes | None], tuple[int, Any, str | None]]
_TYPES = {
    "apply": "application/apply-patch+yaml",
    "yaml": "application/yaml",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_CHANGING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\b(127|10)\.\d+\.\d+\.\d+\b(?!/)"), "ADDRESS"),
    (re.compile(r"\b20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
)


def read_cases(topic: str) -> dict[str, Any]:
    """Return the cases of a topic: each a step, or a list of them."""
    cases: dict[str, Any] = yaml.safe_load((FOLDER / f"{topic}.yaml").read_text(encoding="utf-8"))
    return cases


def topics() -> list[str]:
    """Return what there are requests for."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def play(ask: Ask, case: Any, namespace: str) -> list[Any]:
    """Return what a server answers to the steps of a case; what they made is gone afterwards."""
    steps = case if isinstance(case, list) else [case]
    made: list[str] = []
    said = []
    for step in steps:
        path = step["path"].replace("NS", namespace)
        method = step.get("method", "POST")
        body = step.get("body", step.get("text"))
        sent = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        sent = None if sent is None else sent.replace(b"NS", namespace.encode())
        code, answer, warning = ask(method, path, _TYPES.get(step.get("type", ""), "application/json"), sent)
        if code == 201:
            bare = path.partition("?")[0]
            made.append(f"{bare}/{answer['metadata']['name']}" if method == "POST" else bare)
        said.append(simplify([code, answer] + ([warning] if warning else []), namespace))
    for path in reversed(made):
        ask("PATCH", path, _TYPES["merge"], b'{"metadata":{"finalizers":null}}')
        ask("DELETE", f"{path}?gracePeriodSeconds=0&propagationPolicy=Background", "", None)
    return said if isinstance(case, list) else said[0]


def simplify(answer: Any, namespace: str) -> Any:
    """Return an answer without what differs from run to run."""
    text = json.dumps(_drop(answer), sort_keys=True).replace(namespace, "NS")
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return json.loads(text)


# What the simulation leaves out because it has no controller that would take it away again.
_PROTECTIONS = (
    "kubernetes.io/pvc-protection",
    "kubernetes.io/pv-protection",
    "kubernetes.io/vac-protection",
)


# The patched object in a refusal: its keys are in the order of Go's encoder, and its sets of fields have instants.
_ECHO = re.compile(r'(patch: )?Invalid value: "\{.*\}": ', re.DOTALL)


# An object that Go shows with the names of its own fields, and what changed of a spec as a diff of such.
_GO = re.compile(r'(Invalid|Unsupported|Duplicate) value: (\{"[A-Z].*?\}|\{"labels".*?\})(: |$|,)', re.DOTALL)


_DIFFERENCE = re.compile(r"\n(@@.*)?\]?$", re.DOTALL)


def _drop(value: Any) -> Any:
    if isinstance(value, str):
        value = _ECHO.sub("patch: Invalid value: PATCHED: ", value)
        return _DIFFERENCE.sub("", _GO.sub(r"\1 value: GO\3", value))
    if isinstance(value, list):
        return [_drop(each) for each in value]
    if not isinstance(value, dict):
        return value
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and "uid" in metadata:
        kept = {key: metadata[key] for key in metadata if key not in ("resourceVersion", "managedFields")}
        kept["finalizers"] = [each for each in kept.get("finalizers", ()) if each not in _PROTECTIONS]
        value = {**value, "metadata": kept}
    if value.get("kind") == "Status" and value.get("apiVersion") == "v1":
        value = {key: value[key] for key in ("code", "reason", "message", "details") if key in value}
    return {key: _drop(each) for key, each in value.items()}


def _ask_over_http(address: str) -> Ask:
    def ask(method: str, path: str, kind: str, body: bytes | None) -> tuple[int, Any, str | None]:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request(method, path, body, {"Content-Type": kind, "User-Agent": "recorder/1"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text), answer.getheader("Warning")

    return ask


def main() -> None:
    """Record all topics, or those named after the address."""
    ask = _ask_over_http(sys.argv[1].removeprefix("http://"))
    for topic in sys.argv[2:] or topics():
        said = {}
        for index, (name, case) in enumerate(read_cases(topic).items()):
            namespace = f"recorded-{topic.replace('_', '-')}-{index:03}"
            ask(
                "POST",
                "/api/v1/namespaces",
                "application/json",
                json.dumps({"metadata": {"name": namespace}}).encode(),
            )
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            ask("POST", account, "application/json", b'{"metadata":{"name":"default"}}')
            said[name] = play(ask, case, namespace)
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in said.items())
        (FOLDER / f"{topic}.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
