"""docs/balancer.md: every example and command runs as it stands, and its tables say what is there."""

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

import kube_grpc
import kube_grpc.aio
from demo_server import helloworld_pb2, helloworld_pb2_grpc
from kube_grpc import hooks, target
from kube_grpc.options import Options
from kube_grpc.policies import POLICIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "balancer.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = "Hello world"


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """Greets, as the demo server does."""

    def SayHello(self, request: Any, context: Any) -> Any:  # noqa: N802  # the method's name
        return helloworld_pb2.HelloReply(message=f"Hello {request.name}")


@pytest.fixture
def greeter(api: Any, make_address: Callable[[], str]) -> Iterator[None]:
    """A pod of the Service."""
    address = make_address()
    executor = futures.ThreadPoolExecutor(4)
    server = grpc.server(executor, options=[("grpc.so_reuseport", 0)])
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
    server.add_insecure_port(f"{address}:50051")
    server.start()
    api.put("greeter-1", address)
    yield
    server.stop(0).wait()
    executor.shutdown()


def rows(heading: str) -> list[str]:
    """The first cells of the table under a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| ([^|]*?) \|", section, re.MULTILINE)[1:]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(greeter: None, kubeconfig: Path, example: str) -> None:
    """Each says what a pod said, or what there is to say of its pool, and ends by itself."""
    program = re.sub(r"^from (helloworld_pb2\w*)", r"from demo_server.\1", example, flags=re.MULTILINE)

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    wanted = "kube_grpc_members{" if "prometheus" in example else SHOWN
    assert wanted in done.stdout


def test_there_are_examples() -> None:
    """Five of them: a page that was written anew must be read here, too."""
    assert len(EXAMPLES) == 5


def test_the_command_prints_the_role() -> None:
    """The only command: the Role, for the service account that it names."""
    commands = re.findall(r"^    (python .*)$", PAGE, re.MULTILINE)
    (argv,) = [shlex.split(each) for each in commands]
    shown = subprocess.run([sys.executable, *argv[1:]], capture_output=True, text=True, check=True).stdout

    role, binding = yaml.safe_load_all(shown)
    assert role["rules"][0]["verbs"] == ["list", "watch"]
    assert binding["subjects"][0]["name"].rpartition(":")[2] == "web"


def test_the_table_of_options_is_complete() -> None:
    """Every option of both channels, and none that is not there; defaults as they are."""
    named = [each for cell in rows("Options") for each in re.findall(r"`(\w+)`", cell)]
    there = {
        name
        for channel in (kube_grpc.Channel, kube_grpc.aio.Channel)
        for name in inspect.signature(channel).parameters
    } - {"target"}
    shown = dict(re.findall(r"^\| `(\w+)` \| `?\"?([\w.]+)\"?`? \|", PAGE, re.MULTILINE))

    assert sorted(named) == sorted(there)
    assert shown.pop("credentials") == "plaintext"
    assert shown == {name: f"{getattr(Options(), name)}".removesuffix(".0") for name in shown}


def test_the_table_of_policies_is_complete() -> None:
    """Every policy by its name, and the object."""
    assert sorted(cell.strip('`"') for cell in rows("Policies")) == sorted([*POLICIES, "an object"])


def test_the_events_are_those_that_there_are() -> None:
    """The names are in the text, each of them."""
    there = [each.__name__ for each in hooks.Event.__args__]

    assert [name for name in there if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("text", sorted(set(re.findall(r"`(kubernetes://[^`]*)`", PAGE))))
def test_the_targets_are_read(text: str) -> None:
    """Each form that the page names means name in namespace."""
    read = target.parse(text.replace(":port", ":50051"))

    assert str(read) == "name.namespace:50051"


def test_the_hedge_in_the_text_is_one() -> None:
    """What stands in the text can be written so."""
    (text,) = re.findall(r"`(Hedge\(after_s=0.*?\))`", PAGE, re.DOTALL)

    hedge = eval(text, {"Hedge": kube_grpc.Hedge})
    assert hedge.covers("/shop.Catalogue/Find")
    assert not hedge.covers("/shop.Basket/Pay")


def test_the_grace_of_a_silent_node_is_that_of_the_defaults() -> None:
    """Five seconds, as the connection to each member is told."""
    arguments = dict(Options().member_options("greeter"))

    assert "after 5 s" in PAGE
    assert arguments["grpc.keepalive_timeout_ms"] == 5_000


def test_the_readme_leads_here() -> None:
    """And the page leads to the table there."""
    assert "(docs/balancer.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "## The problem, measured" in (ROOT / "README.md").read_text(encoding="utf-8")
