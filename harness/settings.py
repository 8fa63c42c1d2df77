"""The options of a run, converted once.

Rule: an option beats its ini twin, and the ini twin beats the default; None is unset, so that an empty
value is seen and refused instead of passed over. Pure: `read` is given a function that looks a name up, and
knows nothing of pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SettingsError, suggest

AUTO = "auto"
BACKENDS = (AUTO, "sim", "kind", "kubeconfig")
NETWORKS = (AUTO, "loopback", "namespace")
DEFAULT_REPORT = "k8s-report"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked for. `variants` None means all of each scenario."""

    is_enabled: bool
    backend: str
    kubernetes_version: str | None
    report: Path
    variants: tuple[str, ...] | None
    is_kept: bool
    context: str | None
    is_slow_included: bool
    network: str | None = None  # of a simulated cluster
    repeats: int = 1


def read(lookup: Callable[[str], object]) -> Settings:
    """Settings from a lookup of names such as `backend` that returns None where nothing is set.

    Raises SettingsError, which names the option.
    """
    backend = _text(lookup, "backend")
    backend = AUTO if backend is None else backend
    if backend not in BACKENDS:
        hints = suggest(backend, BACKENDS, what="backends")
        raise SettingsError(
            "\n".join([f'--k8s-backend: unknown backend "{backend}"', *(f"  {hint}" for hint in hints)])
        )
    context = _text(lookup, "context")
    if backend == "kubeconfig" and context is None:
        raise SettingsError(
            "--k8s-backend kubeconfig: --k8s-context is missing\n"
            "  the current context of a kubeconfig is never taken by accident; name the cluster that you mean\n"
            "  `kubectl config get-contexts` lists them"
        )
    if backend != "kubeconfig" and context is not None:
        raise SettingsError(
            f"--k8s-context {context}: goes with --k8s-backend kubeconfig, not with {backend}\n"
            f"  add --k8s-backend kubeconfig, or leave --k8s-context out"
        )
    version = _text(lookup, "version")
    if backend == "kubeconfig" and version is not None:
        raise SettingsError(
            f"--k8s-version {version}: a borrowed cluster has the version that it has\n"
            "  leave --k8s-version out, or take --k8s-backend kind"
        )
    report = _text(lookup, "report")
    return Settings(
        is_enabled=_flag(lookup, "enabled"),
        backend=backend,
        kubernetes_version=version,
        report=Path(DEFAULT_REPORT if report is None else report),
        variants=_names(lookup, "variant"),
        is_kept=_flag(lookup, "keep"),
        context=context,
        is_slow_included=_flag(lookup, "slow"),
        network=_network(lookup, backend),
        repeats=_repeats(lookup),
    )


def _network(lookup: Callable[[str], object], backend: str) -> str | None:
    network = _text(lookup, "network")
    if network is None:
        return None
    if network not in NETWORKS:
        hints = suggest(network, NETWORKS, what="networks")
        raise SettingsError(
            "\n".join([f'--k8s-network: unknown network "{network}"', *(f"  {hint}" for hint in hints)])
        )
    if backend not in (AUTO, "sim"):
        raise SettingsError(
            f"--k8s-network {network}: goes with a simulated cluster, not with {backend}\n"
            "  leave --k8s-network out, or take --k8s-backend sim"
        )
    return network


def _repeats(lookup: Callable[[str], object]) -> int:
    found = _text(lookup, "repeat")
    if found is None:
        return 1
    if not found.isdecimal() or int(found) < 1:
        raise SettingsError(f"--k8s-repeat {found}: how often is a whole number from 1 up")
    return int(found)


def _text(lookup: Callable[[str], object], name: str) -> str | None:
    found = lookup(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found.strip():
        raise SettingsError(f"--k8s-{name}: a value is missing")
    return found.strip()


def _flag(lookup: Callable[[str], object], name: str) -> bool:
    return lookup(name) is True


def _names(lookup: Callable[[str], object], name: str) -> tuple[str, ...] | None:
    found = lookup(name)
    if found is None:
        return None
    if (
        not isinstance(found, Sequence)
        or isinstance(found, str)
        or not all(str(each).strip() for each in found)
    ):
        raise SettingsError(f"--k8s-{name}: a value is missing")
    return tuple(str(each).strip() for each in found)
