"""On a whole (simulated) cluster: real pods, slices of two endpoints, rights that are checked, TLS to the API."""

import itertools
import shlex
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

import kube_grpc
import simcluster
from kube_grpc import hooks

PROGRAM = Path(__file__).with_name("echo_program.py")
SAY = "/test.Echo/Say"
WAIT_S = 60.0

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[simcluster.Cluster]:
    """A simulated cluster whose image echo:test is the Echo server."""
    with simcluster.Cluster(images={"echo:test": shlex.join([sys.executable, str(PROGRAM)])}) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(cluster: simcluster.Cluster) -> Iterator[client.ApiClient]:
    """An API client that may do everything."""
    api_client = config.new_client_from_config(str(cluster.kubeconfig))
    yield api_client
    api_client.close()


@pytest.fixture
def namespace(administrator: client.ApiClient) -> str:
    """A namespace with Deployment and Service echo, three pods."""
    name = f"echo-{next(_numbers)}"
    env = [
        {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for variable, path in (("POD_IP", "status.podIP"), ("POD_NAME", "metadata.name"))
    ]
    container = {
        "name": "echo",
        "image": "echo:test",
        "args": ["$(POD_IP):50051", "$(POD_NAME)"],
        "env": env,
        "readinessProbe": {"tcpSocket": {"port": 50051}, "periodSeconds": 1},
    }
    labels = {"app": "echo"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    client.CoreV1Api(administrator).create_namespace({"metadata": {"name": name}})
    client.AppsV1Api(administrator).create_namespaced_deployment(
        name, {"metadata": {"name": "echo"}, "spec": deployment}
    )
    make_service(administrator, name)
    return name


def make_service(administrator: client.ApiClient, namespace: str) -> None:
    spec = {"selector": {"app": "echo"}, "ports": [{"name": "grpc", "port": 80, "targetPort": 50051}]}
    client.CoreV1Api(administrator).create_namespaced_service(
        namespace, {"metadata": {"name": "echo"}, "spec": spec}
    )


def scale(administrator: client.ApiClient, namespace: str, replicas: int) -> None:
    body = {"spec": {"replicas": replicas}}
    client.AppsV1Api(administrator).patch_namespaced_deployment_scale("echo", namespace, body)


def who(channel: kube_grpc.Channel, calls: int) -> Counter[bytes]:
    say = channel.unary_unary(SAY)
    return Counter(say(b"x", timeout=WAIT_S, wait_for_ready=True).split(b":")[0] for _ in range(calls))


def wait_for_serving(channel: kube_grpc.Channel, log: Any, count: int) -> None:
    log.wait_until(lambda: sum(item.is_serving for item in channel.members()) == count)


@pytest.mark.parametrize("mode", ["watch", "poll"])
def test_pods_are_followed(
    mode: str, cluster: simcluster.Cluster, administrator: client.ApiClient, namespace: str, log: Any
) -> None:
    """Three pods in two slices, then five in three, then one: all serve their even share, and only they."""
    with kube_grpc.Channel(
        f"echo.{namespace}.svc.cluster.local:80",
        kubeconfig=str(cluster.kubeconfig),
        hook=log,
        mode=mode,
        refresh_interval_s=0.2,
    ) as channel:
        wait_for_serving(channel, log, 3)
        assert sorted(who(channel, 9).values()) == [3, 3, 3]

        scale(administrator, namespace, 5)
        wait_for_serving(channel, log, 5)
        assert sorted(who(channel, 10).values()) == [2] * 5

        scale(administrator, namespace, 1)
        wait_for_serving(channel, log, 1)
        assert list(who(channel, 4).values()) == [4]


def test_a_service_deleted_and_made_again(
    cluster: simcluster.Cluster, administrator: client.ApiClient, namespace: str, log: Any
) -> None:
    """All pods go on serving although both slices are collected; the new Service is followed again."""
    with kube_grpc.Channel(f"echo.{namespace}:grpc", kubeconfig=str(cluster.kubeconfig), hook=log) as channel:
        wait_for_serving(channel, log, 3)

        client.CoreV1Api(administrator).delete_namespaced_service("echo", namespace)
        wait_until_no_slices(administrator, namespace)
        assert sorted(who(channel, 9).values()) == [3, 3, 3]
        make_service(administrator, namespace)
        scale(administrator, namespace, 4)

        log.wait_until(
            lambda: sum(not item.is_orphaned and item.is_serving for item in channel.members()) == 4
        )
        assert sorted(who(channel, 8).values()) == [2] * 4


def wait_until_no_slices(administrator: client.ApiClient, namespace: str) -> None:
    """A watch, as for everything else that has to be waited for on a cluster."""
    api = client.DiscoveryV1Api(administrator)
    left = {item.metadata.name for item in api.list_namespaced_endpoint_slice(namespace).items}
    if not left:
        return
    from kubernetes import watch

    stream = watch.Watch()
    for event in stream.stream(api.list_namespaced_endpoint_slice, namespace, timeout_seconds=int(WAIT_S)):
        name = event["object"].metadata.name
        left = left - {name} if event["type"] == "DELETED" else left | {name}
        if not left:
            stream.stop()
    assert not left


def test_a_service_account_without_rights(
    cluster: simcluster.Cluster, administrator: client.ApiClient, namespace: str, log: Any, tmp_path: Path
) -> None:
    """The 403's own Role, applied as it is printed, is what was missing, and no more than that."""
    core = client.CoreV1Api(administrator)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "caller"}})
    token = core.create_namespaced_service_account_token("caller", namespace, {"spec": {}}).status.token
    kubeconfig = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    kubeconfig["users"] = [{"name": kubeconfig["users"][0]["name"], "user": {"token": token}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))

    with kube_grpc.Channel(
        f"echo.{namespace}:80", kubeconfig=str(tmp_path / "kubeconfig"), hook=log
    ) as channel:
        with pytest.raises(kube_grpc.NoMemberError) as caught:
            channel.unary_unary(SAY)(b"x", timeout=WAIT_S)
        (failed,) = log.wait_for(hooks.DiscoveryFailed)
        assert (
            f"system:serviceaccount:{namespace}:caller may not list endpointslices" in caught.value.details()
        )
        role = failed.error[failed.error.index("apiVersion: ") :]
        utils.create_from_yaml(administrator, yaml_objects=list(yaml.safe_load_all(role)))

        assert sum(who(channel, 3).values()) == 3


def test_closing_is_prompt(namespace: str, log: Any, cluster: simcluster.Cluster) -> None:
    """A watch over TLS that waits for events ends with the channel (the suite checks that no thread is left)."""
    with kube_grpc.Channel(f"echo.{namespace}:80", kubeconfig=str(cluster.kubeconfig), hook=log) as channel:
        wait_for_serving(channel, log, 3)
        closing = threading.Thread(target=channel.close)

        closing.start()
        closing.join(5)

        assert not closing.is_alive()
