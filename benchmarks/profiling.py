"""`python -m benchmarks.profiling pods|greeters|start`: where the simulated cluster's own time goes, by room.

It runs the cluster in this process under cProfile, which makes every call of Python dearer than what C does: shares are
what to look at, not seconds. The client is a process of its own, as in the benchmarks.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import simulation
from benchmarks.clusters import IMAGE, read_kubeconfig

_GREETERS = 100
_IMAGES = {IMAGE: "status-only", "greeter:dev": f"{sys.executable} -m demo_server.server"}
_MOST = 14


def main(work: str, kubeconfig: str | None = None) -> int:
    """Profile a cluster at this work; with a kubeconfig, be its client. Returns the exit code."""
    if work not in ("pods", "greeters", "start"):
        print(f'unknown work "{work}"\n  known: greeters, pods, start', file=sys.stderr)  # noqa: T201
        return 2
    if work == "start":
        print(_render_imports())  # noqa: T201 -- the result
        return 0
    if kubeconfig is not None:
        cluster = read_kubeconfig(Path(kubeconfig), ())
        drive: Any = (
            simulation.create_and_run(cluster, None)
            if work == "pods"
            else simulation.scale_greeters(cluster, _GREETERS)
        )
        asyncio.run(drive)
        return 0
    profile = cProfile.Profile()
    asyncio.run(_serve(work, profile))
    print(_render(pstats.Stats(profile)))  # noqa: T201 -- the result
    return 0


async def _serve(work: str, profile: cProfile.Profile) -> None:
    # aiohttp reads this machine's authorities when it is imported.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    from simcluster import profile as delays
    from simcluster.assembly import Settings, start
    from simcluster.kubelet import descent
    from simcluster.kubelet.images import Images, parse_binding
    from simcluster.up import choose_version

    descent.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        kubeconfig = Path(folder, "kubeconfig")
        images = Images.bind(parse_binding(f"{name}={command}") for name, command in _IMAGES.items())
        cluster = await start(
            Settings(
                directory=Path(folder), kubeconfig=kubeconfig, version=choose_version(None),
                profile=delays.choose("fast"), images=images,
            )
        )  # fmt: skip
        try:
            cluster.prepare()
            profile.enable()
            client = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.profiling", work, str(kubeconfig)
            )
            code = await client.wait()
            profile.disable()
        finally:
            await cluster.stop()
        if code != 0:
            raise RuntimeError(f"the client failed with exit code {code}")


def _render_imports() -> str:
    """Shares of the time that the imports before the first answer take, by room: they are nearly all of the start."""
    command = [sys.executable, "-X", "importtime", "-c", "import simcluster.__main__, simcluster.up"]
    environment = os.environ | {"SSL_CERT_FILE": os.devnull}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    shares: Counter[str] = Counter()
    for line in told.splitlines():
        own_us, _, name = (part.strip() for part in line.removeprefix("import time:").split("|"))
        if own_us.isdigit():
            parts = name.split(".")
            shares["/".join(parts[:2]) if parts[0] == "simcluster" else parts[0]] += int(own_us)
    return f"{sum(shares.values()) / 1e6:6.3f} s  imports in all\n{_show(shares)}"


def _render(stats: pstats.Stats) -> str:
    """Shares of the time by room, without what was waited."""
    found: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    shares: Counter[str] = Counter()
    for (path, _, name), (_, _, own_s, _, _) in found.items():
        if "select" not in name and "poll" not in name:
            shares[_room(path)] += own_s  # type: ignore[assignment] # seconds
    return _show(shares)


def _show(shares: Counter[str]) -> str:
    total = sum(shares.values())
    return "\n".join(f"{share / total:6.1%}  {room}" for room, share in shares.most_common(_MOST))


def _room(path: str) -> str:
    parts = Path(path).parts
    if "simcluster" in parts:
        return "/".join(parts[len(parts) - parts[::-1].index("simcluster") - 1 :][:2]).removesuffix(".py")
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return "built in" if path == "~" else "standard library"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
