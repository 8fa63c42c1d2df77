"""The conformance cases' target and namespaces.

    pytest tests/conformance                                                   # the simulation
    pytest tests/conformance --conformance-target kind                         # a kind cluster, made and removed
    pytest tests/conformance --conformance-kubeconfig ~/.kube/config --conformance-context staging

Every namespace that is made is called `conformance-…`, and is deleted when its cases are through.
"""

from __future__ import annotations

import fcntl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

# What the cases share lies beside them; in pytest's importlib mode no folder of tests is on the path by itself.
_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))

from rig import differences  # noqa: E402
from rig.client import Client  # noqa: E402
from rig.room import PREFIX, Room, new_name  # noqa: E402
from rig.target import IMAGE, PATIENCE_S, Choice, TargetError, choose, connect, open_target  # noqa: E402

_OPTIONS = {
    "target": "sim (default), kind (made and removed), kubeconfig (a cluster that you have)",
    "kubeconfig": "kubeconfig of a cluster that you have; only namespaces called conformance-… are touched",
    "context": "context of that kubeconfig (default: its current one)",
    "version": "version of the kind cluster, such as v1.36.3",
    "differences": "a table of expected differences (default: differences.toml on sim, none elsewhere)",
    "image": f"an image with python3 and sh, for the cases' pods (default: {IMAGE})",
}
_SHORT_S = 5.0
_CHOICE: pytest.StashKey[Choice] = pytest.StashKey()
_TABLE: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; they are known where this folder is named on the command line."""
    group = parser.getgroup("conformance", "conformance cases")
    for name, text in _OPTIONS.items():
        group.addoption(f"--conformance-{name}", dest=f"conformance_{name}", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Settle the target."""
    config.addinivalue_line("markers", "cluster_wide: the case changes what others see of the cluster")
    given = {name: config.getoption(f"conformance_{name}", None) for name in _OPTIONS}
    table = given.pop("differences")
    try:
        choice = config.stash[_CHOICE] = choose(**given)
        path = differences.TABLE if table is None and choice.target == "sim" else table
        config.stash[_TABLE] = {} if path is None else differences.read(Path(path))
    except (TargetError, OSError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Under pytest-xdist a kind cluster is made once, here, and its workers borrow it."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    choice = config.stash[_CHOICE]
    if choice.target == "kind":
        path = _shared(config, choice)
        node.workerinput["conformance_kubeconfig"] = str(path)  # type: ignore[attr-defined]


_STACK: pytest.StashKey[ExitStack] = pytest.StashKey()
_PATH: pytest.StashKey[Path] = pytest.StashKey()


def _shared(config: pytest.Config, choice: Choice) -> Path:
    if _PATH not in config.stash:
        stack = config.stash[_STACK] = ExitStack()
        config.add_cleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
        config.stash[_PATH] = stack.enter_context(open_target(choice, folder))
    return config.stash[_PATH]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect the known differences to be there, strictly."""
    table = config.stash[_TABLE]
    for item in items:
        if item.path.is_relative_to(_HERE) and (reason := table.get(_case(item))) is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _case(item: pytest.Item) -> str:
    return f"{item.path.name}::{item.name}"


@pytest.fixture(scope="session")
def choice(request: pytest.FixtureRequest) -> Choice:
    """What was asked for."""
    return request.config.stash[_CHOICE]


@pytest.fixture(scope="session")
def api(
    choice: Choice, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """The administrator of the target."""
    worker = getattr(request.config, "workerinput", {})
    with ExitStack() as stack:
        if "conformance_kubeconfig" in worker:
            path = Path(worker["conformance_kubeconfig"])
        else:
            path = stack.enter_context(open_target(choice, tmp_path_factory.mktemp("target")))
        yield connect(path, choice.context, PATIENCE_S[choice.target])


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, api: Client, choice: Choice) -> None:
    """What is expected not to come is not waited for long."""
    is_expected = request.node.get_closest_marker("xfail") is not None
    api.patience_s = _SHORT_S if is_expected else PATIENCE_S[choice.target]


@pytest.fixture(autouse=True)
def _turns(
    request: pytest.FixtureRequest, choice: Choice, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A case that is `cluster_wide` has a cluster that several workers share to itself: the others wait."""
    if choice.target == "sim" or not hasattr(request.config, "workerinput"):
        yield
        return
    folder = tmp_path_factory.getbasetemp().parent
    is_alone = request.node.get_closest_marker("cluster_wide") is not None
    with (folder / "door").open("w") as door, (folder / "inside").open("w") as inside:
        # Whoever wants to be alone keeps the door, so that nobody new comes in.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        if not is_alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        yield


def _open_room(api: Client, choice: Choice) -> Iterator[Room]:
    name = new_name(PREFIX.rstrip("-"))
    assert api.post(
        "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"made-for": "conformance"}}}
    ).ok
    try:
        yield Room(api, name, choice.image)
    finally:
        # Nobody waits for its end. Pods that ignore SIGTERM live out their grace.
        api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def room(api: Client, choice: Choice) -> Iterator[Room]:
    """A namespace that the cases of a file share; each uses names of its own."""
    yield from _open_room(api, choice)


@pytest.fixture
def own_room(api: Client, choice: Choice) -> Iterator[Room]:
    """A namespace for one case."""
    yield from _open_room(api, choice)


@pytest.fixture(scope="module")
def pod_room(room: Room) -> Room:
    """The file's namespace, once pods can be made in it."""
    room.until("serviceaccounts", "default", lambda _account: True)
    return room


@pytest.fixture
def own_pod_room(own_room: Room) -> Room:
    """A namespace for one case, once pods can be made in it."""
    own_room.until("serviceaccounts", "default", lambda _account: True)
    return own_room


@pytest.fixture
def name() -> str:
    """A name that nobody else has."""
    return new_name()
