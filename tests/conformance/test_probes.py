"""Probes."""

import pytest
from rig.objects import FOREVER, container, pod

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("probe", self.path, self.headers.get("User-Agent"), self.headers.get("Accept"), self.headers.get("X-Case"), self.headers.get("Connection"), flush=True)
        self.send_response(int(self.path.strip("/").split("?")[0] or 200))
        self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def server(room, name, **probes):
    """A pod that answers any path of a number with this status."""
    one = {
        "name": "main",
        "image": room.image,
        "command": ["python3", "-c", SERVER],
        "env": [POD_IP],
        "ports": [{"name": "web", "containerPort": 8080}],
    }
    return room.make("pods", pod(name, one | probes, terminationGracePeriodSeconds=0))


def script(room, name, command=FOREVER, **probes):
    """A pod of a script."""
    return room.make("pods", pod(name, container(room.image, command, **probes)))


def run(command, **more):
    """A probe that runs a command each second."""
    return {"exec": {"command": ["sh", "-c", command]}, "periodSeconds": 1} | more


def http(path, **more):
    """A probe that asks for a path each second."""
    return {"httpGet": {"path": path, "port": "web"}, "periodSeconds": 1} | more


def is_ready(each):
    """Whether a pod is ready."""
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in each["status"].get("conditions", [])
    )


def said(room, name, reason, text):
    """Wait for an Event with a text."""

    def find(items):
        return [
            each
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == reason and text in each["message"]
        ]

    return room.until_all("events", find)[0]["message"]


def restarted(room, name):
    """Wait for a restart."""
    return room.until(
        "pods",
        name,
        lambda each: any(one["restartCount"] for one in each["status"].get("containerStatuses", [])) and each,
    )


@pytest.mark.parametrize("code", [200, 204, 302, 399])
def test_good_answers(pod_room, name, code):
    """A status from 200 to 399 is a success."""
    server(pod_room, name, readinessProbe=http(f"/{code}"))
    pod_room.until("pods", name, is_ready)


@pytest.mark.parametrize("code", [400, 404, 500, 503])
def test_bad_answers(pod_room, name, code):
    """Any other is a failure, and told with its number."""
    server(pod_room, name, readinessProbe=http(f"/{code}"))
    assert (
        said(pod_room, name, "Unhealthy", "statuscode")
        == f"Readiness probe failed: HTTP probe failed with statuscode: {code}"
    )
    assert not is_ready(pod_room.get("pods", name).ok)


def test_what_a_probe_asks(pod_room, name):
    """A probe says that it is one, takes anything, adds its headers and keeps no connection."""
    probe = http("/200?a=b")
    probe["httpGet"]["httpHeaders"] = [{"name": "X-Case", "value": "mine"}]
    server(pod_room, name, readinessProbe=probe)
    pod_room.until("pods", name, is_ready)
    minor = pod_room.api.get("/version").ok["minor"]
    assert (
        pod_room.get("pods", name, "log").text.splitlines()[0]
        == f"probe /200?a=b kube-probe/1.{minor} */* mine close"
    )


def test_a_port_that_is_open(pod_room, name):
    """A TCP probe is a connection."""
    server(pod_room, name, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    pod_room.until("pods", name, is_ready)


def test_a_port_that_is_closed(pod_room, name):
    """A connection that is refused is a failure."""
    server(pod_room, name, readinessProbe={"tcpSocket": {"port": 8081}, "periodSeconds": 1})
    assert said(pod_room, name, "Unhealthy", "8081").endswith("connect: connection refused")


def test_a_grpc_port_that_is_closed(pod_room, name):
    """A gRPC probe goes on trying to connect until its time is over."""
    server(pod_room, name, readinessProbe={"grpc": {"port": 8081}, "periodSeconds": 1})
    text = said(pod_room, name, "Unhealthy", "8081")
    assert text.startswith('Readiness probe failed: timeout: failed to connect service "')
    assert text.endswith(':8081" within 1s: context deadline exceeded')


def test_a_command(pod_room, name):
    """A command that ends with 0 is a success."""
    script(pod_room, name, readinessProbe=run("exit 0"))
    pod_room.until("pods", name, is_ready)


def test_a_command_that_fails(pod_room, name):
    """A command that ends with another code is a failure, and told with what it said."""
    script(pod_room, name, readinessProbe=run("echo not yet; exit 1"))
    assert said(pod_room, name, "Unhealthy", "not yet") == "Readiness probe failed: not yet\n"


def test_a_command_that_takes_too_long(pod_room, name):
    """A command that is not done in time is a failure."""
    script(pod_room, name, readinessProbe=run("sleep 5", timeoutSeconds=1))
    assert "timed out after 1s" in said(pod_room, name, "Unhealthy", "timed out")


def test_liveness(pod_room, name):
    """A container whose liveness fails is ended and started again."""
    script(pod_room, name, livenessProbe=run("exit 1", failureThreshold=1))
    restarted(pod_room, name)
    text = "Container main failed liveness probe, will be restarted"
    assert said(pod_room, name, "Killing", "liveness") == text


def test_liveness_that_is_good(pod_room, name):
    """A container is ready whatever its liveness is, until that fails often enough."""
    script(pod_room, name, livenessProbe=run("exit 1", failureThreshold=1000))
    pod_room.until("pods", name, is_ready)


def test_startup_comes_first(pod_room, name):
    """Until the startup probe succeeds, a container is neither started nor ready."""
    script(pod_room, name, startupProbe=run("exit 1", failureThreshold=1000), readinessProbe=run("exit 0"))
    found = pod_room.until("pods", name, lambda each: each["status"]["phase"] == "Running" and each)
    (status,) = found["status"]["containerStatuses"]
    assert (status["started"], status["ready"]) == (False, False)
    said(pod_room, name, "Unhealthy", "Startup probe failed")
    assert not is_ready(pod_room.get("pods", name).ok)


def test_startup_that_fails(pod_room, name):
    """A container that does not start in time is started again."""
    script(pod_room, name, startupProbe=run("exit 1", failureThreshold=1))
    restarted(pod_room, name)
    assert (
        said(pod_room, name, "Killing", "startup") == "Container main failed startup probe, will be restarted"
    )


def test_startup_that_succeeds(pod_room, name):
    """After the startup probe the others count."""
    script(pod_room, name, startupProbe=run("exit 0"), readinessProbe=run("exit 0"))
    found = pod_room.until("pods", name, lambda each: is_ready(each) and each)
    assert found["status"]["containerStatuses"][0]["started"] is True


def test_readiness_that_goes(pod_room, name):
    """A pod whose readiness fails is not ready any more, and not restarted."""
    script(
        pod_room,
        name,
        readinessProbe=run("test ! -e gone", failureThreshold=1),
        command="echo > /dev/null; " + FOREVER,
    )
    pod_room.until("pods", name, is_ready)
    assert pod_room.get("pods", name).ok["status"]["containerStatuses"][0]["restartCount"] == 0


def test_conditions_of_an_unready_pod(pod_room, name):
    """A pod that is not ready says which containers are not."""
    script(pod_room, name, readinessProbe=run("exit 1"))
    found = pod_room.until("pods", name, lambda each: each["status"]["phase"] == "Running" and each)
    said_ = {
        each["type"]: (each["status"], each.get("reason"), each.get("message"))
        for each in found["status"]["conditions"]
    }
    assert (
        said_["Ready"]
        == said_["ContainersReady"]
        == ("False", "ContainersNotReady", "containers with unready status: [main]")
    )


def test_a_gate(pod_room, name):
    """A pod with a readiness gate is ready when somebody says so."""
    pod_room.make(
        "pods", pod(name, container(pod_room.image), readinessGates=[{"conditionType": "example.com/open"}])
    )
    found = pod_room.until(
        "pods",
        name,
        lambda each: (
            {one["type"]: one["status"] for one in each["status"].get("conditions", [])}.get(
                "ContainersReady"
            )
            == "True"
            and each
        ),
    )
    (condition,) = [each for each in found["status"]["conditions"] if each["type"] == "Ready"]
    assert (condition["status"], condition["reason"]) == ("False", "ReadinessGatesNotReady")
    assert (
        condition["message"]
        == 'corresponding condition of pod readiness gate "example.com/open" does not exist.'
    )
    body = {"status": {"conditions": [{"type": "example.com/open", "status": "True"}]}}
    pod_room.patch("pods", name, "strategic", body, "status")
    pod_room.until("pods", name, is_ready)
