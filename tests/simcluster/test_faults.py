"""A cluster broken on purpose, over its admin interface, with real clients that live through it."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dnslib
import kubernetes.client
import kubernetes.config
import pytest
from kubernetes.informer import SharedInformer

import simcluster
from simcluster.faults.remote import FaultRefused, Faults

Core = kubernetes.client.CoreV1Api
COUNT = iter(range(10_000))
POD = (
    "import os, socket; s = socket.create_server((os.environ['POD_IP'], 7000)); "
    "c, _ = s.accept(); c.recv(1); c.send(b'x')"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """One cluster for all; each test ends what it began."""
    with simcluster.Cluster({"python:1": "python -c"}, seed=3) as running:
        yield running


def connect(kubeconfig: Path) -> Core:
    return Core(kubernetes.config.new_client_from_config(str(kubeconfig)))


@pytest.fixture(scope="module")
def public(cluster: simcluster.Cluster) -> Core:
    """A client like any other, which suffers."""
    api = connect(cluster.kubeconfig)
    # Of its own it would try again for long, and hide what is to be seen.
    api.api_client.configuration.retries = False
    api.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return api


@pytest.fixture(scope="module")
def owner(cluster: simcluster.Cluster) -> Core:
    """A client at the owner's door."""
    return connect(cluster.owner_kubeconfig)


@pytest.fixture
def namespace(owner: Core) -> str:
    """A namespace of this test's own."""
    name = f"t{next(COUNT)}"
    owner.create_namespace({"metadata": {"name": name}})
    return name


@pytest.fixture(autouse=True)
def nothing_left(cluster: simcluster.Cluster) -> Iterator[None]:
    """No fault holds when a test is over."""
    yield
    assert cluster.faults.list() == []


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """The condition's value, once it is true; other processes tell nobody when that is."""
    deadline_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline_at, what
        threading.Event().wait(0.02)
    return found


def put(core: Core, namespace: str, name: str, **data: str) -> Any:
    return core.create_namespaced_config_map(namespace, {"metadata": {"name": name}, "data": data})


def mine(names: Any) -> set[str]:
    return {name for name in names if name != "kube-root-ca.crt"}


class Watcher:
    """The lines of one watch as they come, read by a thread; `ended` says how it ended."""

    def __init__(self, cluster: simcluster.Cluster, core: Core, path: str) -> None:
        configuration = core.api_client.configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
        url = urllib.parse.urlsplit(configuration.host)
        self._connection = http.client.HTTPSConnection(url.hostname, url.port, context=context)
        self.lines: list[dict[str, Any]] = []
        self.ended: str | None = None
        self._connection.request("GET", path)
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._answer:
                self.lines.append(json.loads(line))
            self.ended = "end"
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.ended = type(error).__name__

    def names(self) -> list[str]:
        return [each["object"]["metadata"].get("name", each["type"]) for each in self.lines]

    def close(self) -> None:
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # it has ended
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()


@pytest.fixture
def watcher(cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str) -> Iterator[Watcher]:
    """A watch of the ConfigMaps of the namespace that begins with nothing."""
    version = owner.list_namespaced_config_map(namespace).metadata.resource_version
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={version}"
    found = Watcher(cluster, public, path)
    yield found
    found.close()


# --- The API away


def begin_away(how: str) -> Callable[[Faults, Core, str], Any]:
    return lambda faults, _core, _namespace: faults.api_away(how=how)  # type: ignore[arg-type]


def begin_expiry(faults: Faults, _core: Core, _namespace: str) -> Any:
    faults.compact()
    faults.watch_cut("expire")
    return None


API_FAULTS: dict[str, Callable[[Faults, Core, str], Any]] = {
    "refused": begin_away("refuse"),
    "cut": begin_away("cut"),
    "slow": lambda faults, _core, _namespace: faults.api_latency(0.1, resources=["configmaps"]),
    "busy": lambda faults, _core, _namespace: faults.api_refuse(resources=["configmaps"]),
    "watches ended": lambda faults, _core, _namespace: faults.watch_cut("end"),
    "watches broken off": lambda faults, _core, _namespace: faults.watch_cut("reset"),
    "watches stalled": lambda faults, _core, _namespace: faults.watch_stall(),
    "events twice": lambda faults, _core, _namespace: faults.events_repeat(3),
    "events late": lambda faults, _core, _namespace: faults.events_late(0.05),
    "history forgotten": begin_expiry,
}


@pytest.mark.parametrize("name", API_FAULTS)
def test_an_informer_lives_through_it_and_ends_up_with_what_is_there(
    cluster: simcluster.Cluster, owner: Core, namespace: str, name: str
) -> None:
    """The `kubernetes` client's own informer: changes before, during and after the fault are all in its cache."""
    put(owner, namespace, "gone")
    put(owner, namespace, "stays")
    informer = SharedInformer(connect(cluster.kubeconfig).list_namespaced_config_map, namespace=namespace)
    informer.start()
    try:
        until(lambda: len(informer.cache.list_keys()) >= 2, "the informer has not begun")
        begun = API_FAULTS[name](cluster.faults, owner, namespace)
        put(owner, namespace, "during")
        owner.delete_namespaced_config_map("gone", namespace)
        owner.patch_namespaced_config_map("stays", namespace, {"data": {"n": "2"}})
        if begun is not None:
            threading.Event().wait(0.3)
            begun.undo()
        put(owner, namespace, "after")

        def is_consistent() -> bool:
            listed = owner.list_namespaced_config_map(namespace).items
            there = {each.metadata.name: each.metadata.resource_version for each in listed}
            held = {each.metadata.name: each.metadata.resource_version for each in informer.cache.list()}
            return held == there

        until(is_consistent, f"the informer holds {informer.cache.list_keys()}")
    finally:
        informer.stop()


@pytest.mark.parametrize("how", ["refuse", "cut"])
def test_the_api_is_away_for_everybody_but_the_owner(
    cluster: simcluster.Cluster, public: Core, owner: Core, watcher: Watcher, how: Any
) -> None:
    """New connections are refused, or cut; those that were there are gone; the owner notices nothing."""
    url = urllib.parse.urlsplit(public.api_client.configuration.host)
    with cluster.faults.api_away(how=how):
        until(lambda: watcher.ended, "the watch was not broken off")
        if how == "refuse":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((url.hostname, url.port), timeout=5)
        else:
            reached = socket.create_connection((url.hostname, url.port), timeout=5)
            with reached, contextlib.suppress(ConnectionResetError):
                assert reached.recv(1) == b""
        assert owner.list_namespace().items
    assert public.list_namespace().items


def test_an_api_that_is_away_can_not_go_away(cluster: simcluster.Cluster) -> None:
    """The second is refused and changes nothing; the first ends as it would."""
    with cluster.faults.api_away(), pytest.raises(FaultRefused, match="the API is away already"):
        cluster.faults.api_away()


# --- Requests


def test_latency_holds_for_its_scope_alone(cluster: simcluster.Cluster, public: Core, namespace: str) -> None:
    """A list of what is named is late; another verb, and another resource, are not hit."""

    def measure(ask: Callable[[], Any]) -> float:
        began_at = time.monotonic()
        ask()
        return time.monotonic() - began_at

    with cluster.faults.api_latency(1.5, verbs=["list"], resources=["configmaps"]):
        late_s = measure(lambda: public.list_namespaced_config_map(namespace))
        others_s = [
            measure(lambda: public.list_namespaced_secret(namespace)),
            measure(lambda: put(public, namespace, "a")),
        ]
    assert late_s >= 1.5 > max(others_s)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_refusals_look_as_the_server_s_own(
    cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str, code: Any
) -> None:
    """429 in plain text with Retry-After and the headers of priority and fairness, the others as a Status."""
    with (
        cluster.faults.api_refuse(code=code, retry_after_s=7, resources=["configmaps"]),
        pytest.raises(kubernetes.client.ApiException) as caught,
    ):
        public.list_namespaced_config_map(namespace)
    error = caught.value
    assert error.status == code
    if code == 429:
        assert error.body == "Too many requests, please try again later.\n"
        assert error.headers["Retry-After"] == "7"
        assert {"X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"} <= {
            name.title() for name in error.headers
        }
    else:
        assert json.loads(error.body)["code"] == code
    assert public.list_namespaced_config_map(namespace).items is not None


def test_a_fault_of_one_user_leaves_others_alone(
    cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str
) -> None:
    """By name of the user; and the owner, although the same user, at his own door."""
    with cluster.faults.api_refuse(users=["kubernetes-admin"]):
        with pytest.raises(kubernetes.client.ApiException):
            public.list_namespace()
        assert owner.list_namespace().items
    with cluster.faults.api_refuse(users=["somebody-else"]):
        assert public.list_namespace().items


# --- Watches


def test_a_stalled_watch_gets_nothing_and_then_what_it_missed(
    cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str, watcher: Watcher
) -> None:
    """No byte and no end while it holds; a watch that begins meanwhile works; afterwards nothing was lost."""
    with cluster.faults.watch_stall():
        put(owner, namespace, "a")
        version = owner.list_namespaced_config_map(namespace).metadata.resource_version
        path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={version}"
        other = Watcher(cluster, public, path)
        put(owner, namespace, "b")
        until(lambda: other.names() == ["b"], "the new watch got nothing")
        other.close()
        assert (watcher.lines, watcher.ended) == ([], None)
    until(lambda: watcher.names() == ["a", "b"], "what was missed did not come")


def test_watches_that_begin_can_be_stalled_too(
    cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str
) -> None:
    """With `new`, a client that begins again is no better off."""
    put(owner, namespace, "a")
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    with cluster.faults.watch_stall(new=True):
        found = Watcher(cluster, public, path)
        owner.list_namespace()
        assert (found.lines, found.ended) == ([], None)
    until(lambda: "a" in found.names(), "it did not go on")
    found.close()


@pytest.mark.parametrize(
    ("how", "ends"), [("end", {"end"}), ("reset", {"end", "IncompleteRead", "SSLEOFError"})]
)
def test_watches_are_cut(
    cluster: simcluster.Cluster, watcher: Watcher, owner: Core, namespace: str, how: Any, ends: set[str]
) -> None:
    """As a server ends them, or in the midst; what had come is not lost."""
    put(owner, namespace, "a")
    until(lambda: watcher.names() == ["a"], "the watch got nothing")
    cluster.faults.watch_cut(how)
    assert until(lambda: watcher.ended, "the watch goes on") in ends
    assert watcher.names() == ["a"]


def test_watches_expire(cluster: simcluster.Cluster, watcher: Watcher) -> None:
    """The last event is an ERROR of 410."""
    cluster.faults.watch_cut("expire")
    until(lambda: watcher.ended, "the watch goes on")
    [event] = watcher.lines
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_of_other_things_is_not_cut(
    cluster: simcluster.Cluster, watcher: Watcher, owner: Core, namespace: str
) -> None:
    """A scope is kept to."""
    cluster.faults.watch_cut(resources=["pods"])
    put(owner, namespace, "a")
    until(lambda: watcher.names() == ["a"], "the watch got nothing")
    assert watcher.ended is None


def test_events_come_several_times_or_late(
    cluster: simcluster.Cluster, watcher: Watcher, owner: Core, namespace: str
) -> None:
    """Each event three times, in its place; then one that keeps its client waiting."""
    with cluster.faults.events_repeat(3):
        put(owner, namespace, "a")
        put(owner, namespace, "b")
        until(lambda: len(watcher.lines) == 6, "not six events")
    assert watcher.names() == ["a"] * 3 + ["b"] * 3
    with cluster.faults.events_late(1.5):
        put(owner, namespace, "c")
        written_at = time.monotonic()
        until(lambda: "c" in watcher.names(), "it never came")
        assert time.monotonic() - written_at >= 1.4


def test_compaction_forgets_the_past(
    cluster: simcluster.Cluster, public: Core, owner: Core, namespace: str
) -> None:
    """A watch from before is Expired, a page of a list cannot be continued as it was."""
    before = put(owner, namespace, "a").metadata.resource_version
    put(owner, namespace, "b")
    token = public.list_namespaced_config_map(namespace, limit=1).metadata._continue
    put(owner, namespace, "c")
    cluster.faults.compact()
    found = Watcher(
        cluster, public, f"/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={before}"
    )
    until(lambda: found.ended, "the watch goes on")
    assert found.lines[0]["object"]["code"] == 410
    with pytest.raises(kubernetes.client.ApiException) as caught:
        public.list_namespaced_config_map(namespace, limit=1, _continue=token)
    assert caught.value.status == 410


# --- Pods, nodes, slices, names


def start_pods(owner: Core, namespace: str, count: int) -> list[Any]:
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    container = {"name": "c", "image": "python:1", "args": [POD], "env": env}
    for index in range(count):
        spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
        body = {"metadata": {"name": f"p{index}", "labels": {"app": "p"}}, "spec": spec}
        owner.create_namespaced_pod(namespace, body)

    def running() -> Any:
        pods = owner.list_namespaced_pod(namespace).items
        return pods if all(each.status.phase == "Running" for each in pods) else None

    return list(until(running, "the pods do not run"))


def answers(connection: socket.socket, wait_s: float) -> bytes | None:
    """What is answered; None for silence, which is not the end."""
    connection.settimeout(wait_s)
    try:
        return connection.recv(1)
    except TimeoutError:
        return None


@pytest.mark.parametrize("what", ["pod", "node"])
def test_a_frozen_pod_or_node_is_silent_and_thaws(
    cluster: simcluster.Cluster, owner: Core, namespace: str, what: str
) -> None:
    """Its connections get neither answer nor end, until it thaws."""
    [pod] = start_pods(owner, namespace, 1)

    def reach() -> socket.socket | None:
        try:
            return socket.create_connection((pod.status.pod_ip, 7000), timeout=5)
        except ConnectionRefusedError:
            return None

    connection = until(reach, "the pod does not listen")
    node = pod.spec.node_name
    faults = cluster.faults
    with faults.freeze_pod(namespace, "p0") if what == "pod" else faults.freeze_node(node):
        threading.Event().wait(0.1)  # a signal takes a moment
        connection.send(b"?")
        assert answers(connection, 0.5) is None
    assert answers(connection, 20) == b"x"
    connection.close()


def test_what_can_not_be_frozen_is_refused(cluster: simcluster.Cluster) -> None:
    """With what there is, where that helps."""
    with pytest.raises(FaultRefused, match=r'unknown node "n9"\n  known nodes: simcluster-node'):
        cluster.faults.freeze_node("n9")
    with pytest.raises(FaultRefused, match="pod default/nobody: there is none"):
        cluster.faults.freeze_pod("default", "nobody")
    with (
        cluster.faults.freeze_node("simcluster-node"),
        pytest.raises(FaultRefused, match="is frozen already"),
    ):
        cluster.faults.freeze_node("simcluster-node")


def slices_of(kubeconfig: Path, namespace: str) -> list[Any]:
    api = kubernetes.client.DiscoveryV1Api(kubernetes.config.new_client_from_config(str(kubeconfig)))
    return list(api.list_namespaced_endpoint_slice(namespace).items)


def test_slices_are_reshuffled_without_a_change_of_endpoints(
    cluster: simcluster.Cluster, owner: Core, namespace: str
) -> None:
    """Other names and sizes, the same addresses; and the controller leaves it so."""
    spec = {"selector": {"app": "p"}, "clusterIP": "None", "ports": [{"port": 7000}]}
    owner.create_namespaced_service(namespace, {"metadata": {"name": "s"}, "spec": spec})
    pods = start_pods(owner, namespace, 4)
    addresses = {each.status.pod_ip for each in pods}

    def look() -> tuple[set[str], list[str], list[int]]:
        slices = slices_of(cluster.owner_kubeconfig, namespace)
        ends = [each.endpoints or [] for each in slices]
        return (
            {name for each in slices for name in [each.metadata.name]},
            [address for each in ends for end in each for address in end.addresses],
            sorted(len(each) for each in ends),
        )

    until(lambda: set(look()[1]) == addresses, "the slices do not have all pods")
    before = look()[0]
    cluster.faults.reshuffle_slices(namespace, "s", size=1)
    names, found, sizes = look()
    assert (sorted(found), sizes) == (sorted(addresses), [1, 1, 1, 1])
    assert not names & before
    with pytest.raises(FaultRefused, match="size: 9 is more than the cluster's slices hold"):
        cluster.faults.reshuffle_slices(namespace, "s", size=9)
    with pytest.raises(FaultRefused, match="has no EndpointSlices"):
        cluster.faults.reshuffle_slices(namespace, "other")


TERM = (
    "import os, signal, time; signal.signal(15, lambda *_: os.write(1, b'term\\n')); os.write(1, b'up\\n')\n"
    "while True: time.sleep(60)"
)


@pytest.mark.parametrize("first", ["endpoint", "sigterm"])
def test_the_termination_race_is_won_as_it_is_told_to(
    cluster: simcluster.Cluster, owner: Core, namespace: str, first: Any
) -> None:
    """The winner is seen while the loser, far behind, is not there yet."""
    spec = {"selector": {"app": "p"}, "clusterIP": "None", "ports": [{"port": 7000}]}
    owner.create_namespaced_service(namespace, {"metadata": {"name": "s"}, "spec": spec})
    container = {"name": "c", "image": "python:1", "args": [TERM]}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 30}
    owner.create_namespaced_pod(namespace, {"metadata": {"name": "p", "labels": {"app": "p"}}, "spec": pod})

    def is_ready() -> bool:
        slices = slices_of(cluster.owner_kubeconfig, namespace)
        return any(end.conditions.ready for each in slices for end in each.endpoints or [])

    def is_told() -> bool:
        return "term" in owner.read_namespaced_pod_log("p", namespace)

    until(
        lambda: is_ready() and "up" in owner.read_namespaced_pod_log("p", namespace), "the pod is not ready"
    )
    with cluster.faults.termination_order(first, by_s=20):
        owner.delete_namespaced_pod("p", namespace)
        if first == "endpoint":
            until(lambda: not is_ready(), "the endpoint stays")
            assert not is_told()
        else:
            until(is_told, "no signal came")
            assert is_ready()
    owner.delete_namespaced_pod("p", namespace, grace_period_seconds=0)


def find_dns(owner: Core, cluster: simcluster.Cluster) -> tuple[str, int]:
    line = next(line for line in cluster.log.read_text().splitlines() if "DNS at" in line)
    host, _, port = line.rpartition(" ")[2].rpartition(":")
    return host, int(port)


def ask(server: tuple[str, int], name: str, wait_s: float = 10) -> tuple[int, set[str]] | None:
    """Code and addresses; None where there is no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(wait_s)
        sock.sendto(dnslib.DNSRecord.question(name).pack(), server)
        try:
            answer = dnslib.DNSRecord.parse(sock.recv(4096))
        except TimeoutError:
            return None
        return answer.header.rcode, {str(each.rdata) for each in answer.rr}


def test_names_fail_as_they_are_told_to(cluster: simcluster.Cluster, owner: Core, namespace: str) -> None:
    """SERVFAIL, NXDOMAIN, silence, or yesterday's answer, for the Service that is named and no other."""
    for name in ("s", "other"):
        spec = {"selector": {"app": "p"}, "clusterIP": "None", "ports": [{"port": 7000}]}
        owner.create_namespaced_service(namespace, {"metadata": {"name": name}, "spec": spec})
    [pod] = start_pods(owner, namespace, 1)
    server, name = find_dns(owner, cluster), f"s.{namespace}.svc.cluster.local"
    other = name.replace("s.", "other.", 1)
    good = (0, {pod.status.pod_ip})
    until(lambda: ask(server, name) == good and ask(server, other) == good, "the names are not there")
    hit = (f"s.{namespace}",)
    for how, code in (("servfail", 2), ("nxdomain", 3)):
        with cluster.faults.dns(how, services=hit):  # type: ignore[arg-type]
            assert ask(server, name) == (code, set())
            assert ask(server, other) == good
    with cluster.faults.dns("timeout", services=hit):
        assert ask(server, name, 0.5) is None
        assert ask(server, other) == good
    with cluster.faults.dns("stale", services=hit):
        owner.delete_namespaced_pod("p0", namespace)
        until(lambda: ask(server, other) == (3, set()), "the other name still has the pod")
        assert ask(server, name) == good
    assert ask(server, name) == (3, set())


# --- The admin interface


def test_a_fault_ends_after_its_time(cluster: simcluster.Cluster, public: Core) -> None:
    """By itself, and undoing it then does nothing."""
    begun = cluster.faults.api_refuse(for_s=0.2)
    with pytest.raises(kubernetes.client.ApiException):
        public.list_namespace()
    until(lambda: not cluster.faults.list(), "it did not end")
    assert public.list_namespace().items
    begun.undo()


def test_a_fault_ends_with_the_process_that_asked_for_it(cluster: simcluster.Cluster) -> None:
    """kill -9 of the caller is enough; one that is not held stays, until it is cleared."""
    script = (
        "import sys, pathlib, time; from simcluster.faults.remote import Faults\n"
        "faults = Faults(pathlib.Path(sys.argv[1])); faults.api_latency(0.0)\n"
        "faults.begin('events_repeat', held=False)\nprint('begun', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(cluster.kubeconfig.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"begun\n"
        assert [each["kind"] for each in cluster.faults.list()] == ["api_latency", "events_repeat"]
        caller.kill()
    until(lambda: [each["kind"] for each in cluster.faults.list()] == ["events_repeat"], "it did not end")
    cluster.faults.clear()


def test_the_interface_is_the_owner_s_alone(cluster: simcluster.Cluster) -> None:
    """Mode 0600, in a folder of mode 0700."""
    path = cluster.kubeconfig.parent / "admin.sock"
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o600, 0o700]


@pytest.mark.parametrize(
    ("kind", "fields", "refusal"),
    [
        ("nonsense", {}, r'unknown kind of fault "nonsense"\n  known kinds: api_away, '),
        ("api_away", {"hwo": "cut"}, "api_away: unknown field 'hwo'\n  known fields: how"),
        ("api_away", {"how": "x"}, "api_away: how: 'x' is not known\n  allowed: refuse, cut"),
        ("api_latency", {}, "api_latency: delay_s is missing"),
        ("api_latency", {"delay_s": -1}, "api_latency: delay_s: -1 is not allowed"),
        ("api_latency", {"delay_s": 1, "verbs": "list"}, "verbs: 'list' is not allowed\n  allowed: a list"),
        ("compact", {"for_s": 1}, "compact: for_s: it is done in a moment"),
        ("dns", {"services": ["x"]}, "dns: services: 'x' is not allowed\n  allowed: name.namespace"),
    ],
)
def test_a_fault_that_can_not_be_is_refused_with_what_could(
    cluster: simcluster.Cluster, kind: str, fields: dict[str, Any], refusal: str
) -> None:
    """Where it is wrong, what was said, what is allowed; and nothing holds."""
    with pytest.raises(FaultRefused, match=refusal):
        cluster.faults.begin(kind, **fields)


def test_a_person_breaks_a_cluster_from_the_prompt(cluster: simcluster.Cluster, public: Core) -> None:
    """It holds while the command runs and is undone with Ctrl-C; mistakes are told."""
    command = [sys.executable, "-m", "simcluster", "fault"]
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    with subprocess.Popen(
        [*command, "api_refuse", "retry_after=3s", "verbs=list,get"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "api_refuse holds, until Ctrl-C\n"
        [held] = cluster.faults.list()
        assert (held["retry_after_s"], held["verbs"]) == (3, ["list", "get"])
        running.send_signal(2)
        assert running.communicate(timeout=20)[0] == "undone\n"
    listed = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True, check=True)
    assert listed.stdout == ""
    wrong = subprocess.run(
        [*command, "api_latency", "delay=soon"], env=environment, capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stderr) == (
        2, "simcluster: delay_s: 'soon' is no duration\n  for example 300ms, 10s, 2m\n",
    )  # fmt: skip
