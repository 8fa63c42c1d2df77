"""Requests that make no sense, thousands of them, against a running API server: it answers each of them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator

import pytest
from api_process import Plain, Running, run_server
from fuzz_connection import Connection, find_fault
from fuzz_requests import CATALOGUE, NAMESPACES, RESOURCES, make
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schema_check import find_faults

# The same requests each time; another seed, or more of them, by the environment.
SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "260"))
_EACH = 40
# Of kinds that nothing acts on only names, labels and types are checked (docs/fidelity.md).
_UNCHECKED = ("is not among the values", "required, and not there")
_SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # One server for all: an example that failed can not be made smaller by doing it again.
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with two namespaces to make a mess of."""
    with run_server(tmp_path_factory.mktemp("api")) as running:
        for name in NAMESPACES:
            running.call(running.registry.create, "namespaces", None, {"metadata": {"name": name}})
            running.call(running.registry.create, "serviceaccounts", name, {"metadata": {"name": "default"}})
        yield running


@pytest.fixture(scope="module")
def connections(cluster: Running) -> Iterator[list[Connection]]:
    """The administrator mostly, and somebody without a name."""
    plain = Plain(cluster)
    nobody = Plain(cluster, administrator=False)
    port = cluster.server.port
    made = [Connection(port, plain.context), Connection(port, nobody.context)]
    yield made
    for each in made:
        each.close()


def find_misfits(cluster: Running) -> list[str]:
    """What is stored and does not fit its schema, or its own place."""
    found = []
    for resource in RESOURCES:
        if not resource.stored:
            continue
        schema = {"$ref": resource.type.name}
        for record in cluster.call(cluster.registry.store.list, resource.name):
            obj = json.loads(record.encoded)
            metadata = obj["metadata"]
            where = f"{resource.name} {record.key.namespace}/{record.key.name}"
            faults = find_faults(obj, schema, CATALOGUE.schemas)
            found += [f"{where}{fault}" for fault in faults if not fault.endswith(_UNCHECKED)]
            if (metadata.get("namespace", ""), metadata["name"]) != (record.key.namespace, record.key.name):
                found.append(f"{where} says that it is {metadata.get('namespace')}/{metadata['name']}")
            if not metadata.get("uid") or not metadata.get("resourceVersion", "").isdigit():
                found.append(f"{where} lacks a uid or version: {metadata}")
    return found


def test_no_request_is_too_odd_for_an_answer(cluster: Running, connections: list[Connection]) -> None:
    """Over 10 000 requests, none of which gets a 500 or no answer; what is stored after them fits its schema."""
    administrator, nobody = connections

    @seed(SEED)
    @_SETTINGS
    @given(st.integers(0, 2**64 - 1))
    def send(number: int) -> None:
        chance = random.Random(number)
        for _ in range(_EACH):
            request = make(chance)
            connection = nobody if chance.random() < 0.03 else administrator
            try:
                code, body = connection.send(request)
            except TimeoutError:
                pytest.fail(f"no answer to {request} (made from {number})")
            fault = find_fault(code, body)
            assert not fault, f"{fault}\n{request}\nmade from {number}"

    send()
    answered = sum(each.answered for each in connections)
    assert find_misfits(cluster) == []
    assert answered > min(10_000, EXAMPLES * _EACH - 1)
    assert {200, 201, 400, 404, 405, 409, 415, 422} <= set(administrator.codes)
    # Public paths, and no more: what is not among those is 401 whether it is there or not.
    assert set(nobody.codes) <= {200, 400, 401, 404}
