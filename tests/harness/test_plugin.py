"""The plugin as a person meets it: options, their ini twins, skips, header, refusals.

No cluster is made here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import SettingsError
from harness.plugin import _lookup
from harness.settings import Settings, read

SCENARIO = """\
variants: [pool]
steps: [{wait: 1s}]
expect: [{variant: pool, errors: 0}]
"""
TEST = """\
import pytest

@pytest.mark.k8s_scenarios("*.yaml")
def test_scenario(k8s_scenario):
    k8s_scenario.run()
"""
OPTIONS = {
    "backend": ("sim", "sim"),
    "version": ("v1.36.3", "v1.36.3"),
    "report": ("out", "out"),
    "variant": ("pool", ["pool"]),
    "context": ("mine", "mine"),
    "repeat": ("3", "3"),
}
FLAGS = ("keep", "slow")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with one scenario and the test that runs it; what pytest prints is what a person at a prompt sees."""
    for name in ("CI", "BUILD_NUMBER"):  # pytest repeats whole messages in its summary where one is set
        monkeypatch.delenv(name, raising=False)
    pytester.makefile(".yaml", night=SCENARIO)
    pytester.makepyfile(test_scenarios=TEST)
    return pytester


def settings_of(config: pytest.Config) -> Settings:
    """The settings that a configuration comes to."""
    return read(lambda name: _lookup(config, name))


def test_without_the_option(project: pytest.Pytester) -> None:
    """Scenarios are collected, and skipped with what to do."""
    found = project.runpytest("-rs")

    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*needs a cluster: run pytest --k8s*"])
    found.stdout.no_fnmatch_line("k8s: *")


def test_an_option_without_the_main_switch(project: pytest.Pytester) -> None:
    """It is refused: all would be skipped, and the run look good. In the ini it may stand."""
    found = project.runpytest("--k8s-backend=sim")

    found.stderr.fnmatch_lines(["*--k8s-backend=sim: without --k8s scenarios are skipped", "  add --k8s"])
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    project.runpytest("--k8s-backend=sim", "--no-k8s").assert_outcomes(skipped=1)
    project.makeini("[pytest]\naddopts = --k8s-backend=sim\n")
    project.runpytest().assert_outcomes(skipped=1)


def test_a_report_that_can_not_be_written(project: pytest.Pytester) -> None:
    """The option is named, once, and no cluster is made."""
    found = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-report=night.yaml")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        ["--k8s-report night.yaml: can not be written: File exists", "  give a folder*"]
    )
    assert found.stdout.str().count("can not be written") == 1


def test_the_header_says_which_backend_and_why(project: pytest.Pytester) -> None:
    """The choice and its reason stand in pytest's header."""
    found = project.runpytest(
        "--k8s", "--k8s-backend=sim", "--k8s-version=v1.35", "--collect-only", "--k8s-report=out"
    )

    found.stdout.fnmatch_lines(
        ["k8s: sim, Kubernetes v1.35 (asked for), report in out", "k8s: network loopback (the default)"]
    )


def test_the_header_says_which_network_and_why(project: pytest.Pytester) -> None:
    """A network that was asked for is named; auto says what it found on this machine."""
    asked = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-network=namespace", "--collect-only")
    found = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-network=auto", "--collect-only")

    asked.stdout.fnmatch_lines(["k8s: network namespace (asked for)"])
    found.stdout.re_match_lines([r"k8s: network (namespace|loopback) \(auto: .+\)"])


def test_auto_without_kind(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no kind program, auto takes the simulation and says so."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))

    project.runpytest("--k8s", "--collect-only").stdout.fnmatch_lines(
        ["k8s: sim (auto: the kind program is not on PATH), report in k8s-report"]
    )


def test_auto_without_docker(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where kind is there but no Docker engine answers, auto takes the simulation and says why."""
    kind = project.path / "bin" / "kind"
    kind.parent.mkdir()
    kind.write_text("#!/bin/sh\n", encoding="utf-8")
    kind.chmod(0o755)
    monkeypatch.setenv("PATH", str(kind.parent))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project.path}/none.sock")

    project.runpytest("--k8s", "--collect-only").stdout.fnmatch_lines(
        ["k8s: sim (auto: no Docker engine answers (*"]
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_by_flag(project: pytest.Pytester, name: str) -> None:
    """Each option is taken from the command line."""
    given, expected = OPTIONS[name]

    assert expected == _lookup(project.parseconfig(f"--k8s-{name}={given}"), name)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_by_ini(project: pytest.Pytester, name: str) -> None:
    """Each option has an ini twin."""
    given, expected = OPTIONS[name]
    project.makeini(f"[pytest]\nk8s_{name} = {given}\n")

    assert expected == _lookup(project.parseconfig(), name)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_flag_beats_its_ini_twin(project: pytest.Pytester, name: str) -> None:
    """What is typed counts more than what is written down."""
    given, expected = OPTIONS[name]
    project.makeini(f"[pytest]\nk8s_{name} = other\n")

    assert expected == _lookup(project.parseconfig(f"--k8s-{name}={given}"), name)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_is_not_given(project: pytest.Pytester, name: str) -> None:
    """Nothing given is None, so that an empty value is not taken for it."""
    assert _lookup(project.parseconfig(), name) is None


@pytest.mark.parametrize("name", FLAGS)
def test_a_switch(project: pytest.Pytester, name: str) -> None:
    """Each switch can be set by flag and by ini, and the flag can also take the ini's back."""
    assert _lookup(project.parseconfig(f"--k8s-{name}"), name) is True
    project.makeini(f"[pytest]\nk8s_{name} = true\n")
    assert _lookup(project.parseconfig(), name) is True
    assert _lookup(project.parseconfig(f"--no-k8s-{name}"), name) is False


def test_the_main_switch_by_ini(project: pytest.Pytester) -> None:
    """`k8s = true` runs the scenarios without a flag, and `--no-k8s` takes that back."""
    project.makeini("[pytest]\nk8s = true\nk8s_backend = sim\n")

    project.runpytest("--collect-only").stdout.fnmatch_lines(["k8s: sim (asked for)*"])
    project.runpytest("--no-k8s").assert_outcomes(skipped=1)


def test_variants_add_up(project: pytest.Pytester) -> None:
    """The option can be given more than once."""
    assert settings_of(project.parseconfig("--k8s-variant=pool", "--k8s-variant=ingress")).variants == (
        "pool",
        "ingress",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--k8s-backend=knd"],
            '--k8s-backend: unknown backend "knd"\n'
            "  known backends: auto, kind, kubeconfig, sim\n"
            '  did you mean "kind"?',
        ),
        (
            ["--k8s-network=vpn"],
            '--k8s-network: unknown network "vpn"\n  known networks: auto, loopback, namespace',
        ),
        (
            ["--k8s-backend=kind", "--k8s-network=namespace"],
            "--k8s-network namespace: goes with a simulated cluster, not with kind\n"
            "  leave --k8s-network out, or take --k8s-backend sim",
        ),
        (
            ["--k8s-backend=kubeconfig"],
            "--k8s-backend kubeconfig: --k8s-context is missing\n"
            "  the current context of a kubeconfig is never taken by accident; name the cluster that you mean\n"
            "  `kubectl config get-contexts` lists them",
        ),
        (
            ["--k8s-context=prod"],
            "--k8s-context prod: goes with --k8s-backend kubeconfig, not with auto\n"
            "  add --k8s-backend kubeconfig, or leave --k8s-context out",
        ),
        (
            ["--k8s-backend=kubeconfig", "--k8s-context=a", "--k8s-version=v1.36.3"],
            "--k8s-version v1.36.3: a borrowed cluster has the version that it has\n"
            "  leave --k8s-version out, or take --k8s-backend kind",
        ),
        (["--k8s-report="], "--k8s-report: a value is missing"),
        (["--k8s-variant="], "--k8s-variant: a value is missing"),
        (["--k8s-repeat=0"], "--k8s-repeat 0: how often is a whole number from 1 up"),
        (["--k8s-repeat=few"], "--k8s-repeat few: how often is a whole number from 1 up"),
    ],
)
def test_settings_that_can_not_be(project: pytest.Pytester, arguments: list[str], message: str) -> None:
    """Each is refused with its option, and with what to do."""
    with pytest.raises(SettingsError) as refused:
        settings_of(project.parseconfig(*arguments))

    assert message == str(refused.value)


def test_a_refusal_in_the_terminal(project: pytest.Pytester) -> None:
    """A wrong option ends pytest at once, with its words and no traceback."""
    found = project.runpytest("--k8s", "--k8s-backend=knd")

    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(['ERROR: --k8s-backend: unknown backend "knd"', '  did you mean "kind"[?]'])


def test_with_xdist(project: pytest.Pytester) -> None:
    """Scenarios do not share a machine with other workers: it is refused, and said what to do."""
    pytest.importorskip("xdist")
    found = project.runpytest("--k8s", "-n2")

    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(
        [
            "ERROR: --k8s does not go with -n: scenarios share one cluster and measure time on this machine",
            "  run them by themselves (pytest --k8s -n 0), and other tests with -n",
        ]
    )


def test_with_xdist_but_without_scenarios(project: pytest.Pytester) -> None:
    """Without --k8s the plugin is in nobody's way."""
    pytest.importorskip("xdist")

    project.runpytest_subprocess("-n1").assert_outcomes(skipped=1)


def test_keeping_a_simulated_cluster(project: pytest.Pytester) -> None:
    """It ends with the process, so keeping it is refused, with two ways out."""
    found = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-keep")

    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(
        [
            "ERROR: --k8s-keep: a simulated cluster ends with this process, so nothing of it can be kept",
            "  take --k8s-backend kind; or start `python -m simcluster up` and take --k8s-backend kubeconfig",
        ]
    )


def test_a_report_folder_that_pytest_takes_for_the_project(
    project: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`--k8s-report DIR` with a folder elsewhere makes pytest lose the project.

    Refused, with the form that works.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    found = project.runpytest_subprocess("--k8s", "--k8s-backend=sim", "--k8s-report", str(folder))

    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines([f"  write it with an equals sign: --k8s-report={folder}"])


def test_a_slow_scenario(project: pytest.Pytester) -> None:
    """It is skipped with a reason unless it is asked for."""
    project.makefile(".yaml", night=SCENARIO + "marks: [slow]\n")

    found = project.runpytest("--k8s", "--k8s-backend=sim", "-rs")

    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*slow: run pytest --k8s --k8s-slow*"])


def test_a_scenario_file_with_a_mistake(project: pytest.Pytester) -> None:
    """Its test fails with the place and the hint, without a traceback; the report has it; no cluster is made for it."""
    project.makefile(".yaml", night=SCENARIO.replace("wait", "wiat"))

    found = project.runpytest("--k8s", "--k8s-backend=sim")

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(['night.yaml:2: step 1: unknown step "wiat"', '  did you mean "wait"[?]'])
    found.stdout.no_fnmatch_line("*Traceback*")
    found.stdout.no_fnmatch_line("*another exception occurred*")
    found.stdout.fnmatch_lines(["report: k8s-report/report.json"])
    (refused,) = json.loads((project.path / "k8s-report" / "report.json").read_text("utf-8"))["scenarios"]
    assert (refused["name"], refused["path"], refused["verdict"]) == ("night", "night.yaml", "fail")
    assert refused["failure"].startswith('night.yaml:2: step 1: unknown step "wiat"')


def test_a_scenario_file_that_is_not_text(project: pytest.Pytester) -> None:
    """Its test fails with the line; the others are collected."""
    (project.path / "dawn.yaml").write_bytes(b"steps:\n- \xff\n")

    found = project.runpytest("--k8s", "--k8s-backend=sim", "-k", "dawn")

    found.assert_outcomes(failed=1, deselected=1)
    found.stdout.fnmatch_lines(["dawn.yaml:2: not text", "  a scenario is YAML in UTF-8"])


def test_a_pattern_that_no_file_matches(project: pytest.Pytester) -> None:
    """The run fails: it would be green without having tried anything."""
    project.makepyfile(test_scenarios=TEST.replace("*.yaml", "*.yml"))

    found = project.runpytest("--k8s", "--k8s-backend=sim")

    found.stdout.fnmatch_lines(["*no scenario: nothing in * matches [*].yml"])
    assert found.ret != 0


def test_a_variant_that_no_scenario_has(project: pytest.Pytester) -> None:
    """The run is refused, with those that there are: skipping everything would look like success."""
    found = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-variant=poool")

    found.stderr.fnmatch_lines(
        [
            '*no scenario of this run has the variant "poool"',
            "  known variants: pool",
            '  did you mean "pool"[?]',
        ]
    )
    assert found.ret == pytest.ExitCode.USAGE_ERROR


def test_without_the_libraries_of_scenarios(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not installed is named, with the command that brings it."""
    monkeypatch.setattr("harness.plugin._LIBRARIES", ("yaml", "no_such_library"))

    found = project.runpytest("--k8s")

    found.stderr.fnmatch_lines(
        ["*--k8s: not installed: no_such_library", "  pip install 'kube-grpc[[]harness,simcluster[]]'*"]
    )


def test_a_scenario_without_the_chosen_variants(project: pytest.Pytester) -> None:
    """It is skipped with what it lacks, and no cluster is made for it."""
    project.makefile(".yaml", day=SCENARIO.replace("pool", "ingress"))
    found = project.runpytest("--k8s", "--k8s-backend=sim", "--k8s-variant=ingress", "-rs", "-k", "night")

    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["*it has none of the variants ingress*"])


def test_ids_are_file_names(project: pytest.Pytester) -> None:
    """So that -k and reports name the story."""
    found = project.runpytest("--collect-only", "-q")

    found.stdout.fnmatch_lines(["test_scenarios.py::test_scenario[[]night[]]"])


def test_runs_that_are_repeated(project: pytest.Pytester) -> None:
    """Each is a test of its own, numbered; those of one scenario follow each other."""
    project.makefile(".yaml", later=SCENARIO)

    found = project.runpytest("--collect-only", "-q", "--k8s", "--k8s-backend=sim", "--k8s-repeat=2")

    names = [line.split("[")[1].rstrip("]") for line in found.outlines if "::" in line]
    assert names == ["later-1", "later-2", "night-1", "night-2"]


def test_scenarios_of_another_cluster(project: pytest.Pytester) -> None:
    """They come last, so that a cluster is made once for all that can share it."""
    project.makefile(".yaml", early="cluster: {nodes: 2}\n" + SCENARIO, broken="nonsense: 1\n")

    found = project.runpytest("--collect-only", "-q")

    names = [line.split("[")[1].rstrip("]") for line in found.outlines if "::" in line]
    assert names == ["broken", "night", "early"]


def test_the_mark_without_the_fixture(project: pytest.Pytester) -> None:
    """It is said what goes together."""
    project.makepyfile(
        test_scenarios=TEST.replace("(k8s_scenario)", "()").replace("k8s_scenario.run()", "pass")
    )

    project.runpytest().stdout.fnmatch_lines(["*the mark k8s_scenarios goes with the fixture k8s_scenario*"])


def test_a_pytest_run_of_somebody_else(project: pytest.Pytester) -> None:
    """Loading the plugin costs a run without scenarios none of the harness's libraries."""
    code = (
        "import sys, harness.plugin\n"
        "heavy = ('kubernetes', 'yaml', 'rich', 'docker', 'aiohttp', 'grpc', 'harness.session', 'harness.clusters')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_plugin_by_name_and_by_entry_point(project: pytest.Pytester) -> None:
    """An installed plugin and `pytest_plugins` in a conftest live together."""
    project.makeconftest('pytest_plugins = ["harness.plugin"]')

    project.runpytest_subprocess().assert_outcomes(skipped=1)
