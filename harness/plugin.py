"""The pytest plugin.

Options, the `k8s_scenarios` mark, the `k8s_scenario` fixture, and what is said in the terminal.

Rule: this is the only module that knows pytest, and at its top it imports pytest and the standard library
alone: every pytest run on a machine that has this package loads it. It decides nothing about clusters,
scenarios or verdicts.

    @pytest.mark.k8s_scenarios("*.yaml")
    def test_scenario(k8s_scenario):
        k8s_scenario.run()
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.clusters import Choice
    from harness.images import Image
    from harness.report import Judged
    from harness.scenario import Scenario
    from harness.session import Session
    from harness.settings import Settings

MARK = "k8s_scenarios"
SLOW = "slow"
_FIXTURE = "k8s_scenario"
_NO_CLUSTER = "needs a cluster: run pytest --k8s"
_TOO_SLOW = "slow: run pytest --k8s --k8s-slow"
_LIBRARIES = ("aiohttp", "docker", "jsonschema", "rich", "yaml")
_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
_CHOICE: pytest.StashKey[Choice] = pytest.StashKey()
_NETWORK: pytest.StashKey[Choice | None] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "backend",
        {
            "metavar": "BACKEND",
            "help": "auto (kind where it and Docker answer, else sim), sim, kind, kubeconfig",
        },
    ),
    (
        "version",
        {"metavar": "VERSION", "help": "version of Kubernetes, e.g. v1.36.3 (of the node image, with kind)"},
    ),
    (
        "network",
        {
            "metavar": "NETWORK",
            "help": "of a simulated cluster: loopback (default), namespace, auto (namespace where it works)",
        },
    ),
    ("report", {"metavar": "DIR", "help": "folder for report.json and history.jsonl (default: k8s-report)"}),
    (
        "variant",
        {"metavar": "NAME", "action": "append", "help": "run only this variant of each scenario; repeatable"},
    ),
    ("keep", {"flag": True, "help": "leave the cluster, and the scenarios' namespaces in it, for a look"}),
    (
        "context",
        {"metavar": "NAME", "help": "context of the kubeconfig backend, which never takes the current one"},
    ),
    (
        "repeat",
        {"metavar": "N", "help": "run each scenario so many times, and show how much the runs differ"},
    ),
    ("slow", {"flag": True, "help": "also run scenarios that are marked slow"}),
)


class HookSpecs:
    """What a composition root (a conftest.py) tells the plugin."""

    @pytest.hookspec
    def pytest_k8s_images(self, config: pytest.Config) -> Sequence[Image]:  # type: ignore[empty-body]  # a specification
        """The images that the manifests use: harness.images.Image. Asked once, before a cluster is made."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make `pytest_k8s_images` known."""
    pluginmanager.add_hookspecs(HookSpecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each option, and its ini twin; None is unset in both."""
    group = parser.getgroup("k8s", "scenarios on a Kubernetes cluster")
    switch = argparse.BooleanOptionalAction
    text = "run the scenarios; without it they are skipped"
    group.addoption("--k8s", dest="k8s", action=switch, default=None, help=text)
    parser.addini("k8s", f"{text} (--k8s)", type="bool", default=None)
    for name, entry in _OPTIONS:
        keywords = dict(entry)
        is_flag = keywords.pop("flag", False)
        if is_flag:
            keywords["action"] = switch
        group.addoption(f"--k8s-{name}", dest=f"k8s_{name}", default=None, **keywords)
        kind: Any = "bool" if is_flag else "args" if name == "variant" else "string"
        parser.addini(f"k8s_{name}", f"{entry['help']} (--k8s-{name})", type=kind, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks; with --k8s also settle what the run is to be, and refuse what can not be."""
    config.addinivalue_line("markers", f"{MARK}(pattern): run the test once for each scenario file beside it")
    config.addinivalue_line("markers", f"{SLOW}: left out unless it is asked for (--k8s-slow)")
    if _lookup(config, "enabled") is not True:
        _refuse_idle(config)
        return
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"--k8s: not installed: {', '.join(missing)}\n"
            "  pip install 'kube-grpc[harness,simcluster]' brings what scenarios need, and a simulated cluster"
        )
    from harness import clusters
    from harness.errors import SettingsError
    from harness.settings import read

    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "--k8s does not go with -n: scenarios share one cluster and measure time on this machine\n"
            "  run them by themselves (pytest --k8s -n 0), and other tests with -n"
        )
    try:
        settings = read(lambda name: _lookup(config, name))
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None
    if (
        config.inipath is None
        and "--k8s-report" in config.invocation_params.args
        and settings.report.is_dir()
    ):
        raise pytest.UsageError(
            f"--k8s-report {settings.report}: pytest took this folder for the project's, and found no settings there\n"
            f"  write it with an equals sign: --k8s-report={settings.report}"
        )
    choice = clusters.choose(settings)
    if settings.is_kept and choice.backend == "sim":
        raise pytest.UsageError(
            "--k8s-keep: a simulated cluster ends with this process, so nothing of it can be kept\n"
            "  take --k8s-backend kind; or start `python -m simcluster up` and take --k8s-backend kubeconfig"
        )
    config.stash[_SETTINGS], config.stash[_CHOICE] = settings, choice
    config.stash[_NETWORK] = clusters.choose_network(choice, settings)


def _refuse_idle(config: pytest.Config) -> None:
    """UsageError for an option that was typed and changes nothing: the run would skip everything, and look good."""
    typed = config.invocation_params.args
    idle = [each for each in typed if each.startswith("--k8s-")]
    if idle and "--no-k8s" not in typed:
        raise pytest.UsageError(f"{idle[0]}: without --k8s scenarios are skipped\n  add --k8s")


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    """Which backend, and why."""
    choice, settings = config.stash.get(_CHOICE, None), config.stash.get(_SETTINGS, None)
    if choice is None or settings is None:
        return None
    version = "" if settings.kubernetes_version is None else f", Kubernetes {settings.kubernetes_version}"
    lines = [f"k8s: {choice.backend}{version} ({choice.reason}), report in {settings.report}"]
    network = config.stash.get(_NETWORK, None)
    return lines if network is None else [*lines, f"k8s: network {network.backend} ({network.reason})"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a scenario file and run; ids are file names, and the file's marks are the test's."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    folder, patterns = metafunc.definition.path.parent, mark.args or ("*.yaml",)
    files = {file: _read(file) for pattern in patterns for file in folder.glob(pattern)}
    if _FIXTURE not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: the mark {MARK} goes with the fixture {_FIXTURE}"
        )
    if not files:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: no scenario: nothing in {folder} matches {', '.join(patterns)}\n"
            f"  the mark {MARK} takes patterns of files beside the test"
        )
    settings = metafunc.config.stash.get(_SETTINGS, None)
    runs = range(1, 2 if settings is None else settings.repeats + 1)
    parameters = [
        pytest.param(file, marks=_marks(found), id=file.stem if len(runs) == 1 else f"{file.stem}-{run}")
        for file, found in sorted(files.items(), key=lambda each: _order(*each))
        for run in runs
    ]
    metafunc.parametrize(_FIXTURE, parameters, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip scenarios where there is no cluster to run them on, and slow ones that nobody asked for."""
    settings = config.stash.get(_SETTINGS, None)
    scenarios = [item for item in items if _FIXTURE in getattr(item, "fixturenames", ())]
    if settings is not None and settings.variants is not None:
        _refuse_unknown(settings.variants, scenarios)
    for item in scenarios:
        if settings is None:
            item.add_marker(pytest.mark.skip(reason=_NO_CLUSTER))
        elif item.get_closest_marker(SLOW) is not None and not settings.is_slow_included:
            item.add_marker(pytest.mark.skip(reason=_TOO_SLOW))


def _refuse_unknown(wanted: Sequence[str], items: list[pytest.Item]) -> None:
    """UsageError for a variant that no scenario of the run has: all would be skipped, and the run look good."""
    from harness.errors import suggest

    files = {item.callspec.params[_FIXTURE] for item in items}  # type: ignore[attr-defined]  # of parametrised tests
    scenarios = [scenario for scenario in map(_read, files) if scenario is not None]
    known = {variant.name for scenario in scenarios for variant in scenario.variants}
    for name in wanted:
        if known and name not in known:
            hints = "\n  ".join(suggest(name, known, what="variants"))
            raise pytest.UsageError(
                f'--k8s-variant: no scenario of this run has the variant "{name}"\n  {hints}'
            )


class ScenarioTest:
    """A scenario file, ready to be run on the cluster of this pytest run."""

    def __init__(self, path: Path, node: pytest.Item) -> None:
        self.path = path
        self._node, self._config = node, node.config

    def run(self) -> Judged:
        """Run it, show its table, and fail the test unless every expectation is met.

        The result is for more asserts.
        """
        from harness.errors import HarnessError
        from harness.report import failures, properties, scenario_table
        from harness.scenario import load

        settings = self._config.stash[_SETTINGS]
        try:
            scenario = load(self._shown_path(), settings.variants)
            if scenario is None:
                pytest.skip(f"it has none of the variants {', '.join(settings.variants or ())}")
            obstacle = _session(self._config).find_obstacle(scenario)
            if obstacle is not None:
                pytest.skip(obstacle)
            with _uncaptured(self._config):
                result = _session(self._config).run(scenario)
                _show(self._config, lambda **look: scenario_table(result, **look))
            self._node.user_properties += properties(result)  # for JUnit files and their like
        except HarnessError as error:
            failure = _session(self._config).refuse(self._shown_path(), str(error))
        else:
            failure = "" if result.verdict == "pass" else failures(result)
        if failure:  # not in the handler: pytest would show it twice
            pytest.fail(failure, pytrace=False)
        return result

    def _shown_path(self) -> Path:
        """The path as a person in the invocation's folder would type it."""
        folder = self._config.invocation_params.dir
        return self.path.relative_to(folder) if self.path.is_relative_to(folder) else self.path


@pytest.fixture
def k8s_scenario(request: pytest.FixtureRequest) -> ScenarioTest:
    """The scenario file of this test; parametrised by the mark `k8s_scenarios`."""
    path = getattr(request, "param", None)
    if path is None:
        raise pytest.UsageError(f'{request.node.nodeid}: give it the mark pytest.mark.{MARK}("*.yaml")')
    return ScenarioTest(path, request.node)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the cluster, however the run ended."""
    run = session.config.stash.get(_SESSION, None)
    if run is not None:
        writer = session.config.get_terminal_writer()
        if writer.width_of_current_line:  # pytest ends the line of its dots after this
            writer.line()
        for sentence in run.finish():
            _print(session.config, f"k8s: {sentence}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The comparison of all variants over all scenarios, and where the report is."""
    run = config.stash.get(_SESSION, None)
    if run is None:
        return
    from harness.report import comparison_table, spread_table

    if any(result.analysis is not None for result in run.results):
        terminalreporter.section("ways to reach the service")
        _show(config, lambda **look: comparison_table(run.results, **look))
        _show(config, lambda **look: spread_table(run.results, **look))
    if run.report is not None:
        again = f", judged again by: python -m harness judge {run.report.parent}" if run.results else ""
        terminalreporter.write_line(f"report: {run.report}{again}")


def _session(config: pytest.Config) -> Session:
    found = config.stash.get(_SESSION, None)
    if found is None:
        from harness.progress import Progress
        from harness.session import Session

        def images() -> list[Image]:
            answers = config.hook.pytest_k8s_images(config=config)
            return [image for several in answers for image in several]

        reporter = config.pluginmanager.get_plugin("terminalreporter")
        is_live = reporter is not None and reporter.isatty and reporter.hasmarkup
        width = config.get_terminal_writer().fullwidth
        progress = Progress(lambda text: _write(config, text), is_live=is_live, width=width)
        found = config.stash[_SESSION] = Session(
            config.stash[_SETTINGS], config.stash[_CHOICE], images, progress
        )
    return found


def _lookup(config: pytest.Config, name: str) -> object:
    """An option, else its ini twin, else None. `enabled` is --k8s itself."""
    key = "k8s" if name == "enabled" else f"k8s_{name}"
    found = config.getoption(key)
    return config.getini(key) if found is None else found


def _marks(scenario: Scenario | None) -> list[pytest.MarkDecorator]:
    return [] if scenario is None else [getattr(pytest.mark, mark) for mark in scenario.marks]


def _order(file: Path, scenario: Scenario | None) -> tuple[int, str, Path]:
    """By name, but those that need a cluster of another shape last, so that few are made."""
    return (
        (1, "", file) if scenario is None else (scenario.cluster.nodes, str(scenario.cluster.network), file)
    )


def _read(file: Path) -> Scenario | None:
    """A scenario file; None where it can not be read, which its test then says."""
    from harness.errors import ScenarioError
    from harness.scenario import load

    try:
        return load(file)
    except ScenarioError:
        return None


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """While the block runs.

    What is written reaches the terminal at once, as the progress of a scenario must.
    """
    capture = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()


def _show(config: pytest.Config, render: Any) -> None:
    writer = config.get_terminal_writer()
    width = max(100, writer.fullwidth) if writer.hasmarkup else 120
    _print(config, render(width=width, is_coloured=writer.hasmarkup))


def _print(config: pytest.Config, text: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.verbosity > -2:
        reporter.ensure_newline()
        for line in _spelt(text).splitlines():
            reporter.write_line(line)


def _spelt(text: str) -> str:
    from harness.progress import spell

    return spell(text, "utf-8" if sys.__stdout__ is None else sys.__stdout__.encoding)


def _write(config: pytest.Config, text: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.verbosity > -2:
        reporter.ensure_newline()
        writer = config.get_terminal_writer()
        if writer.width_of_current_line and not text.startswith("\r"):  # after the dot of a quiet run
            writer.line()
        reporter.write(_spelt(text), flush=True)
