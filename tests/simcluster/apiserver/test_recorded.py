"""The simulation answers as a real API server did: requests in `recorded/*.yaml`, the real answers beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_process import Plain, Running, run_server
from registry_objects import Pool

sys.path.insert(0, str(Path(__file__).parents[1] / "recorded"))
from record import FOLDER, play, read_cases, simplify, topics

CASES = [(topic, name, case) for topic in topics() for name, case in read_cases(topic).items()]
ANSWERS = {topic: json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8")) for topic in topics()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Plain]]:
    """A server that gives out addresses, and a client of it."""
    with run_server(tmp_path_factory.mktemp("api")) as running:
        running.registry.addresses = Pool()
        yield running, Plain(running)


@pytest.mark.parametrize(
    ("topic", "name", "case"), CASES, ids=[f"{topic}-{name}" for topic, name, _ in CASES]
)
def test_an_answer_is_that_of_a_real_server(
    server: tuple[Running, Plain], topic: str, name: str, case: Any
) -> None:
    """Code, body and warnings, but for uids, instants, addresses and managedFields."""
    running, plain = server
    namespace = f"{topic}-{name}".replace("_", "-")
    running.call(running.registry.create, "namespaces", None, {"metadata": {"name": namespace}})
    running.call(running.registry.create, "serviceaccounts", namespace, {"metadata": {"name": "default"}})

    def ask(method: str, path: str, kind: str, body: bytes | None) -> tuple[int, Any, str | None]:
        answer = plain.open(method, path, body, Content_Type=kind, User_Agent="recorder/1")
        return answer.status, json.loads(answer.read()), answer.getheader("Warning")

    assert play(ask, case, namespace) == ANSWERS[topic][name]


def test_an_answer_that_differs_is_noticed() -> None:
    """What is left out of the comparison does not hide a field that a server fills in."""
    real = {"metadata": {"uid": "1", "resourceVersion": "1"}, "spec": {"replicas": 1}}
    ours = {"metadata": {"uid": "2", "resourceVersion": "2"}, "spec": {}}

    assert simplify(real, "n") != simplify(ours, "n")
