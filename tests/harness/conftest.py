"""Histories made by hand, for tests of what is pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.history import BadLine, Endpoint, History, PodSeen, Record, SliceSeen, StepDone
from harness.history import Call as CallRecord
from harness.samples import Sample

# What tests share lies beside them; in pytest's importlib mode no folder of tests is on the path by itself.
sys.path.insert(0, str(Path(__file__).parent))

BEGAN_AT = 1_000.0
TEXT = """\
variants: [{variants}]
steps: [{{wait: 1s}}]
expect: []
"""


class Story:
    """A history in the making. All instants are seconds after the load began."""

    def __init__(self, *variants: str, backend: str = "sim") -> None:
        self.variants, self.backend = variants, backend
        self.records: list[Record] = []
        self._seq: dict[str, int] = {}

    def ready(self, at: float, *pods: str, service: str = "greeter-clusterip", name: str = "one") -> None:
        """A slice of a Service holds just these ready endpoints."""
        endpoints = tuple(Endpoint(pod, f"10.0.0.{pod}", True, True, False) for pod in pods)
        self.records.append(SliceSeen(BEGAN_AT + at, service, name, False, endpoints))

    def terminating(self, at: float, pod: str, *others: str) -> None:
        """The slice of the target's Service holds a pod that is to end and serves on, and other ready ones."""
        going = Endpoint(pod, f"10.0.0.{pod}", False, True, True)
        endpoints = (going, *(Endpoint(other, f"10.0.0.{other}", True, True, False) for other in others))
        self.records.append(SliceSeen(BEGAN_AT + at, "greeter-clusterip", "one", False, endpoints))

    def slice_gone(self, at: float, *, service: str = "greeter-clusterip", name: str = "one") -> None:
        """A slice was deleted."""
        self.records.append(SliceSeen(BEGAN_AT + at, service, name, True, ()))

    def pod(self, at: float, name: str, address: str) -> None:
        """A pod has an address."""
        seen = PodSeen(BEGAN_AT + at, name, "greeter", address, "Running", True, False, False, 0)
        self.records.append(seen)

    def step(self, at: float, phase: str | None, *pods: str, struck_at: float | None = None) -> None:
        """A step began."""
        struck = None if struck_at is None else BEGAN_AT + struck_at
        self.records.append(StepDone(BEGAN_AT + at, BEGAN_AT + at, 1, "step", "a step", phase, pods, struck))

    def call(
        self,
        at: float,
        pod: str | None,
        *,
        code: str = "OK",
        variant: str | None = None,
        client: str = "client",
        peer: str | None = None,
        latency_s: float = 0.001,
        lag_s: float = 0.002,
    ) -> None:
        """A client sent a call and its line arrived."""
        seq = self._seq[client] = self._seq.get(client, -1) + 1
        sample = Sample(variant or self.variants[0], seq, BEGAN_AT + at, latency_s, code, pod, peer)
        self.records.append(CallRecord(BEGAN_AT + at + latency_s + lag_s, client, sample))

    def calls(self, counts: Mapping[str, int], *, begin: float = 0.01, end: float = 9.9, **more: str) -> None:
        """So many calls to each pod, in turn, evenly over a time."""
        turns = [(turn, pod) for pod, count in counts.items() for turn in range(count)]
        pods = [pod for _, pod in sorted(turns, key=lambda entry: entry[0])]
        for index, pod in enumerate(pods):
            self.call(begin + (end - begin) * index / max(len(pods), 1), pod, **more)  # type: ignore[arg-type]

    def skip_numbers(self, count: int, client: str = "client") -> None:
        """So many samples of a client are lost."""
        self._seq[client] = self._seq.get(client, -1) + count

    def bad_line(self, at: float, client: str = "client") -> None:
        """A broken sample."""
        self.records.append(BadLine(BEGAN_AT + at, client, "not JSON", "{"))

    def history(self, length_s: float = 10.0, text: str | None = None) -> History:
        """What has been told, with a load that lasted so long."""
        return History(
            scenario="story",
            path="story.yaml",
            text=TEXT.format(variants=", ".join(self.variants)) if text is None else text,
            backend=self.backend,
            kubernetes="v1.36",
            records=tuple(self.records),
            began_at=BEGAN_AT,
            ended_at=BEGAN_AT + length_s,
            variants=self.variants,
        )


@pytest.fixture
def story() -> type[Story]:
    """The maker of histories."""
    return Story


@pytest.fixture
def began_at() -> float:
    """When the load of every story began."""
    return BEGAN_AT


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for ledgers of this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "kube-grpc" / "leases"


@pytest.fixture
def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable
