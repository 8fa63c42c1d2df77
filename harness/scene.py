"""What is on stage in one scenario.

Pods, deployments, slices and clients as last seen, and the record of all that was.

Rule: facts come in through `take_…` and `record`, each stamped once with the harness's wall clock; whoever
waits, waits for a condition over these facts and is woken by the next one, never by a timer. It talks to no
cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness.errors import StepError
from harness.history import BadLine, Call, Endpoint, PodSeen, Record, SliceSeen
from harness.samples import Sample

Object = dict[str, Any]
_SHOWN_CHARACTERS = 400
_HOPELESS = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"})
_CRASHES = 1
SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(slots=True)
class Client:
    """One client process: what has arrived from it."""

    name: str
    variant: str
    answered: int = 0
    calls: dict[int, float] = field(default_factory=dict)
    last_error: str | None = None
    _first: int = -1
    _next: int = 0  # from the first number to before this one, none is missing
    _whole_until: float = 0.0  # and the latest of these was sent then

    def add(self, number: int, sent_at: float) -> None:
        """A call has arrived."""
        self.calls[number] = sent_at
        if len(self.calls) == 1 or number < self._first:
            self._first = self._next = number
            self._whole_until = sent_at
        while self._next in self.calls:
            self._whole_until = max(self._whole_until, self.calls[self._next])
            self._next += 1

    def has_all_until(self, at: float) -> bool:
        """Whether every call sent until `at` has arrived.

        A later one has, and no number before it is missing.
        """
        return bool(self.calls) and self._whole_until > at


class Scene:
    """The state of one scenario's namespace, and its record.

    `now` is the wall clock, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.records: list[Record] = []
        self.pods: dict[str, Object] = {}
        self.deployments: dict[str, Object] = {}
        self.slices: dict[str, Object] = {}
        self.clients: dict[str, Client] = {}
        self._waiting: dict[asyncio.Event, bool] = {}

    def record(self, record: Record) -> None:
        """Add a fact to the history and wake whoever waits."""
        self.records.append(record)
        self.wake(is_call=isinstance(record, Call))

    def wake(self, *, is_call: bool = False) -> None:
        """Have every waiting condition looked at again; after a call, those that are about calls."""
        for event, of_calls in self._waiting.items():
            if of_calls or not is_call:
                event.set()

    async def until(
        self,
        is_met: Callable[[], bool],
        timeout_s: float,
        describe: Callable[[], str],
        *,
        of_calls: bool = True,
    ) -> None:
        """Return when the condition holds; `of_calls` False: calls, of which there are many, do not change it.

        Raises StepError with `describe()` when it did not within the time.
        """
        event = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                with self.listening(event, of_calls=of_calls):
                    while not is_met():
                        event.clear()
                        await event.wait()
        except TimeoutError:
            raise StepError(f"{describe()} (waited {timeout_s:g} s)") from None

    @contextmanager
    def listening(self, event: asyncio.Event, *, of_calls: bool = True) -> Iterator[None]:
        """While the block runs, the event is set by every new fact; by calls only if `of_calls`."""
        self._waiting[event] = of_calls
        try:
            yield
        finally:
            del self._waiting[event]

    def take_pod(self, found: Object, *, is_deleted: bool = False) -> None:
        """A pod as the watch shows it."""
        name = found["metadata"]["name"]
        if is_deleted:
            self.pods.pop(name, None)
        else:
            self.pods[name] = found
        status = found.get("status") or {}
        seen = PodSeen(
            at=self.now(),
            name=name,
            app=(found["metadata"].get("labels") or {}).get("app"),
            address=status.get("podIP"),
            phase=status.get("phase") or "Unknown",
            is_ready=is_ready(found),
            is_terminating="deletionTimestamp" in found["metadata"],
            is_deleted=is_deleted,
            restarts=restarts(found),
        )
        self.record(seen)

    def take_deployment(self, found: Object, *, is_deleted: bool = False) -> None:
        """A deployment as the watch shows it; kept, not recorded: its pods tell the story."""
        name = found["metadata"]["name"]
        if is_deleted:
            self.deployments.pop(name, None)
        else:
            self.deployments[name] = found
        self.wake()

    def take_slice(self, found: Object, *, is_deleted: bool = False) -> None:
        """An EndpointSlice as the watch shows it; one that belongs to no Service is passed over."""
        service = (found["metadata"].get("labels") or {}).get(SERVICE_LABEL)
        if service is None:
            return
        name = found["metadata"]["name"]
        if is_deleted:
            self.slices.pop(name, None)
        else:
            self.slices[name] = found
        endpoints = () if is_deleted else tuple(_endpoints(found))
        self.record(SliceSeen(self.now(), service, name, is_deleted, endpoints))

    def take_sample(self, client: str, sample: Sample, at: float) -> bool:
        """A sample of a client.

        False where it had arrived before (a log that was opened again repeats itself).
        """
        known = self.clients.setdefault(client, Client(client, sample.variant))
        if known.calls.get(sample.seq) == sample.sent_at:
            return False
        known.add(sample.seq, sample.sent_at)
        if sample.is_ok:
            known.answered += 1
        else:
            known.last_error = f"{sample.code} {sample.detail or ''}".strip()
        self.record(Call(at, client, sample))
        return True

    def take_bad_line(self, client: str, reason: str, text: str, at: float) -> None:
        """A line that is not a sample."""
        self.record(BadLine(at, client, reason, text[:500]))

    def pods_of(self, deployment: str) -> list[Object]:
        """The pods that a deployment selects, oldest first; names break ties."""
        found = self.deployments.get(deployment)
        if found is None:
            return []
        wanted = found["spec"]["selector"]["matchLabels"].items()
        chosen = [
            pod
            for pod in self.pods.values()
            if all((pod["metadata"].get("labels") or {}).get(key) == value for key, value in wanted)
        ]
        return sorted(chosen, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def slices_of(self, service: str) -> list[Object]:
        """The slices of a Service."""
        return [
            found for found in self.slices.values() if found["metadata"]["labels"][SERVICE_LABEL] == service
        ]

    def ready_endpoints(self, service: str) -> set[str]:
        """Names of the pods that are ready endpoints of a Service, over all its slices."""
        return {
            endpoint.pod
            for found in self.slices_of(service)
            for endpoint in _endpoints(found)
            if endpoint.is_ready and endpoint.pod is not None
        }

    def is_taken_up(self, deployment: str, generation: int) -> bool:
        """Whether the controller has begun with a `generation` of a deployment."""
        found = self.deployments.get(deployment)
        return found is not None and (found.get("status") or {}).get("observedGeneration", 0) >= generation

    def is_rolled_out(self, deployment: str, generation: int = 0) -> bool:
        """Whether a deployment is complete, as `kubectl rollout status` sees it, at `generation` or later."""
        found = self.deployments.get(deployment)
        if found is None or found["metadata"]["generation"] < generation:
            return False
        status, wanted = found.get("status") or {}, found["spec"]["replicas"]
        if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
            return False
        counts = [status.get(key) or 0 for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return counts == [wanted] * 3

    def is_settled(self, deployment: str, service: str) -> bool:
        """Whether a deployment is complete.

        None of its pods is going, and the Service's endpoints are just these pods.

        A Service without slices (deleted, or with no pod) is not waited for.
        """
        pods = self.pods_of(deployment)
        if (
            not self.is_rolled_out(deployment)
            or len(pods) != self.deployments[deployment]["spec"]["replicas"]
        ):
            return False
        if any("deletionTimestamp" in pod["metadata"] or not is_ready(pod) for pod in pods):
            return False
        if not self.slices_of(service):
            return True
        return self.ready_endpoints(service) == {pod["metadata"]["name"] for pod in pods}


def is_ready(pod: Object) -> bool:
    """Whether a pod's Ready condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def restarts(pod: Object) -> int:
    """How often containers of a pod were started again."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(each.get("restartCount", 0) for each in statuses)


def has_begun(pod: Object) -> bool:
    """Whether any container of a pod has been started: one that has not has no log."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return restarts(pod) > 0 or any(
        each.get("state", {}).keys() & {"running", "terminated"} for each in statuses
    )


def is_hopeless(pod: Object) -> bool:
    """Whether a pod waits for something that time does not bring.

    An image that is not there, a program that ends.
    """
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    for each in statuses:
        reason = ((each.get("state") or {}).get("waiting") or {}).get("reason")
        if reason in _HOPELESS or (reason == "CrashLoopBackOff" and each.get("restartCount", 0) >= _CRASHES):
            return True
    return False


def trouble(pods: Iterable[Object]) -> list[str]:
    """A line for each pod that is not ready: what its containers are waiting for or how they ended."""
    found = []
    for pod in pods:
        if is_ready(pod):
            continue
        status = pod.get("status") or {}
        reasons = [_reason(each) for each in status.get("containerStatuses") or []]
        told = ", ".join(reason for reason in reasons if reason) or "not ready yet"
        found.append(f"pod {pod['metadata']['name']}: {status.get('phase', 'Unknown')}: {told}")
    return found


def _reason(container: Object) -> str:
    state = container.get("state") or {}
    for kind in ("waiting", "terminated"):
        if kind in state:
            entry = state[kind]
            code = f" with exit code {entry['exitCode']}" if "exitCode" in entry else ""
            message = f" ({entry['message'].strip()[:_SHOWN_CHARACTERS]})" if entry.get("message") else ""
            before = (container.get("lastState") or {}).get("terminated") if kind == "waiting" else None
            ended = "" if before is None else f", ended with exit code {before['exitCode']}"
            return (
                f"{container['name']} {kind}{code}: {entry.get('reason', 'no reason given')}{ended}{message}"
            )
    return (
        "" if container.get("ready") else f"{container['name']} runs but its readiness probe has not passed"
    )


def _endpoints(found: Object) -> Iterable[Endpoint]:
    for entry in found.get("endpoints") or []:
        conditions = entry.get("conditions") or {}
        target = entry.get("targetRef") or {}
        ready, serving = conditions.get("ready"), conditions.get("serving")
        for address in entry.get("addresses") or []:
            yield Endpoint(
                pod=target.get("name"),
                address=address,
                is_ready=ready is not False,
                is_serving=serving is not False,
                is_terminating=conditions.get("terminating") is True,
            )
