"""Scenario files: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario import (
    Apply,
    Bound,
    Delete,
    Errors,
    Gap,
    Kill,
    Load,
    Roll,
    Scale,
    Scenario,
    Shape,
    Shares,
    Silence,
    Target,
    Variant,
    Wait,
    load,
    parse,
)

STEPS = (
    "api_away, api_latency, api_refuse, apply, compact, delete, dns, events_late, events_repeat, freeze, kill, "
    "reshuffle_slices, roll, scale, termination_order, undo, wait, watch_cut, watch_stall"
)
GOOD = """\
about: A story.
marks: [slow]
manifests: ../mine
seed: 7
cluster: {nodes: 3, network: namespace}
target: {deployment: web, service: web-clusterip, replicas: 4}
load: {rate: 30/m, clients: 2, deadline: 500ms, warm_up: 3}
variants:
  clusterip:
  pool: {env: {REFRESH_INTERVAL_S: "5"}, note: refresh 5 s}
steps:
  - wait: 2s
  - scale: 5
  - wait: {for: settled, timeout: 30s}
  - wait: 1.5s
    name: quiet
  - scale: {deployment: other, replicas: 0}
  - kill: {pods: 2, grace: 5s}
  - kill: {pods: 1, signal: KILL, pid_file: server.pid}
    name: killed
  - roll: web
  - roll: {timeout: 2m, until: begun}
  - delete: {kind: Service, name: web}
  - apply: change.yaml
expect:
  - variant: all
    errors: {max: 3, max_share: 5%, min: 1}
  - variant: [pool, clusterip]
    phase: quiet
    shares: {policy: even_random, false_alarm: 1e-4, skew: 0.3}
    silence: 500ms
  - variant: pool
    join_gap: {p95: 1s, max: {sim: 0.25s, kind: 1.5s, why: probes}, missed: 0}
    leave_gap: {p50: 10ms, calls_after: 2}
    end_gap: {max: 250ms}
    shares: {policy: matches, weights: [30%, 0.7]}
  - variant: clusterip
    join_gap: {missed: all}
"""
SHORT = """\
variants: [pool, headless]
steps:
  - wait: 1s
  - scale: 5
expect:
  - variant: pool
    errors: 0
"""


def test_a_whole_file() -> None:
    """Every field of a scenario arrives, in seconds and calls a second."""
    scenario = parse(GOOD, "stories/night.yaml")

    assert (
        scenario.name,
        scenario.about,
        scenario.marks,
        scenario.seed,
    ) == ("night", "A story.", ("slow",), "7")
    assert Path("stories/../mine") == scenario.manifests
    assert Target("web", "web-clusterip", 4) == scenario.target
    assert Shape(3, "namespace") == scenario.cluster
    assert Load(rate=0.5, clients=2, deadline_s=0.5, warm_up=3) == scenario.load
    assert (
        Variant("clusterip"),
        Variant("pool", (("REFRESH_INTERVAL_S", "5"),), "refresh 5 s"),
    ) == scenario.variants
    assert scenario.variants[1].label == "pool (refresh 5 s)"


def test_steps_and_the_phases_that_they_open() -> None:
    """A step that changes the cluster opens a phase, a wait only by its name, and names are made unique."""
    scenario = parse(GOOD, "night.yaml")

    assert [
        Wait(2.0, None, None, 60.0),
        Scale(None, 5),
        Wait(None, "settled", None, 30.0),
        Wait(1.5, None, None, 60.0),
        Scale("other", 0),
        Kill(None, 2, None, None, None, 5.0, 60.0),
        Kill(None, 1, "KILL", "server.pid", None, None, 60.0),
        Roll("web", 60.0),
        Roll(None, 120.0, is_complete=False),
        Delete("Service", "web"),
        Apply("change.yaml"),
    ] == [step.action for step in scenario.steps]
    assert scenario.phases == (
        "start",
        "scale",
        "quiet",
        "scale 2",
        "kill",
        "killed",
        "roll",
        "roll 2",
        "delete",
        "apply",
    )


def test_expectations() -> None:
    """Each variant and kind gets an expectation of its own, with the bounds of the file."""
    found = {
        (each.variant, each.phase, each.kind): each.rule for each in parse(GOOD, "night.yaml").expectations
    }

    assert Errors(Bound(3), Bound(0.05), Bound(1)) == found["clusterip", None, "errors"]
    assert Shares("even_random", false_alarm=1e-4, skew=0.3) == found["pool", "quiet", "shares"]
    assert Shares("matches", weights=(0.7, 0.3)) == found["pool", None, "shares"]
    assert Silence(Bound(0.5)) == found["clusterip", "quiet", "silence"]
    gap = found["pool", None, "join_gap"]
    assert isinstance(gap, Gap)
    assert (Bound(1.0), 0) == (gap.p95, gap.missed)
    assert gap.most is not None
    assert tuple(gap.most.on(backend) for backend in ("sim", "kind", "kubeconfig")) == (0.25, 1.5, 1.5)
    missed = found["clusterip", None, "join_gap"]
    assert isinstance(missed, Gap)
    assert missed.is_every_one_missed


def test_some_variants_only() -> None:
    """Choosing variants also leaves out what is expected of the others."""
    scenario = parse(GOOD, "night.yaml").only(["pool"])

    assert [variant.name for variant in scenario.variants] == ["pool"]
    assert {"pool"} == {expectation.variant for expectation in scenario.expectations}


def test_every_scenario_of_this_project() -> None:
    """The files that are shipped can be read, and each expects something of each of its variants."""
    files = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

    for file in files:
        scenario = load(file)
        assert scenario is not None
        assert {each.name for each in scenario.variants} == {each.variant for each in scenario.expectations}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a mistake in words, not a traceback."""
    with pytest.raises(ScenarioError, match=r"none\.yaml: can not be read: No such file"):
        load(tmp_path / "none.yaml")


def test_none_of_the_chosen_variants(tmp_path: Path) -> None:
    """A scenario without any of the chosen variants is none at all."""
    (tmp_path / "short.yaml").write_text(SHORT, encoding="utf-8")

    assert load(tmp_path / "short.yaml", ["other"]) is None


def swap(old: str, new: str) -> str:
    """The short file with one thing changed."""
    assert old in SHORT
    return SHORT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            swap("scale: 5", "scael: 5"),
            f's.yaml:4: step 2: unknown step "scael"\n  known steps: {STEPS}\n  did you mean "scale"?',
        ),
        (
            "",
            "s.yaml:1: the file is empty\n  a scenario has variants, steps and expect; see docs/scenarios.md",
        ),
        ("a: [", "s.yaml:1: not YAML: expected the node content, but found '<stream end>'"),
        ("- a", "s.yaml:1: a mapping was expected, not a list"),
        (
            SHORT + "stpes: []\n",
            's.yaml:8: unknown field "stpes"\n'
            "  known fields: about, cluster, expect, load, manifests, marks, seed, steps, target, variants\n"
            '  did you mean "steps"?',
        ),
        (SHORT + "steps: []\n", 's.yaml:8: "steps" stands here twice (first on line 2)'),
        (
            swap("variants: [pool, headless]\n", ""),
            's.yaml:1: "variants" is missing\n  for example  variants: [clusterip, pool]',
        ),
        (swap("[pool, headless]", "[]"), "s.yaml:1: variants: there is no variant"),
        (swap("headless]", "pool]"), "s.yaml:1: variants: a variant stands here twice: pool, pool"),
        (
            swap("[pool, headless]", "{pool: {env: {A: 5}}}"),
            's.yaml:1: variant pool: env: A: an environment variable is a text, not 5\n  in quotes:  "5"',
        ),
        (
            swap("wait: 1s", "wait: 1"),
            "s.yaml:3: step 1: wait: a duration was expected, not 1\n  a duration has a unit: 500ms, 8s, 2m, 1h",
        ),
        (
            swap("wait: 1s", "wait: {for: setled}"),
            's.yaml:3: step 1: wait: for: unknown condition "setled"\n'
            "  known conditions: rollout, settled\n"
            '  did you mean "settled"?',
        ),
        (swap("scale: 5", "scale: many"), 's.yaml:4: step 2: scale: a whole number was expected, not "many"'),
        (swap("scale: 5", "scale: -1"), "s.yaml:4: step 2: scale: -1 is too small; the least is 0"),
        (swap("scale: 5", "scale:"), 's.yaml:4: step 2: "scale" says nothing\n  for example  scale: 5'),
        (
            swap("scale: 5", "name: x"),
            "s.yaml:4: step 2: no step\n  one entry is one step, and may have a name beside it",
        ),
        (
            swap("scale: 5", "scale: 5\n    wait: 1s"),
            "s.yaml:4: step 2: more than one step: scale, wait\n"
            "  one entry is one step, and may have a name beside it",
        ),
        (
            swap("scale: 5", "kill: {pods: 1, signal: KILL}"),
            's.yaml:4: step 2: kill: "signal" needs "pid_file"\n'
            "  the file, inside the container, that holds the number of its process",
        ),
        (
            swap("scale: 5", "kill: {pods: 1, pid_file: a}"),
            's.yaml:4: step 2: kill: "pid_file" and "container" go with "signal"\n'
            "  without a signal the pods are deleted",
        ),
        (
            swap("scale: 5", "kill: {pods: 1, signal: KILL, pid_file: a, grace: 1s}"),
            's.yaml:4: step 2: kill: "grace" does not go with "signal"\n'
            "  a signal ends the process at once; without it the pod is deleted",
        ),
        (
            swap("steps:\n  - wait: 1s\n  - scale: 5", "steps: []"),
            "s.yaml:2: steps: there is no step\n  for example  - wait: 3s",
        ),
        (
            swap("variant: pool", "variant: pol"),
            's.yaml:6: expectation 1: variant: unknown variant "pol"\n'
            "  known variants: headless, pool\n"
            '  did you mean "pool"?',
        ),
        (
            swap("errors: 0", "phase: scael\n    errors: 0"),
            's.yaml:7: expectation 1: phase: unknown phase "scael"\n'
            "  known phases: scale, start\n"
            '  did you mean "scale"?',
        ),
        (
            swap("errors: 0", "eror: 0"),
            's.yaml:7: expectation 1: unknown expectation "eror"\n'
            "  known expectations: end_gap, errors, join_gap, leave_gap, shares, silence\n"
            '  did you mean "errors"?',
        ),
        (
            swap("    errors: 0\n", ""),
            "s.yaml:6: expectation 1: nothing is expected\n"
            "  known expectations: end_gap, errors, join_gap, leave_gap, shares, silence",
        ),
        (
            swap("errors: 0", "errors: {}"),
            "s.yaml:7: expectation 1: errors: no bound is given\n  known bounds: max, max_share, min",
        ),
        (
            swap("errors: 0", "leave_gap: {}"),
            "s.yaml:7: expectation 1: leave_gap: no bound is given\n  known bounds: p50, p95, max, calls_after",
        ),
        (
            swap("errors: 0", "silence: {}"),
            's.yaml:7: expectation 1: silence: "max" is missing\n  for example  silence: {max: 500ms}',
        ),
        (
            swap("errors: 0", "phase: scale\n    join_gap: {missed: 0}"),
            "s.yaml:8: expectation 1: join_gap: a gap belongs to the whole run, not to a phase\n"
            "  take `phase` away, or give it an entry of its own",
        ),
        (
            swap("errors: 0", "join_gap: {max: 1s, missed: all}"),
            "s.yaml:7: expectation 1: join_gap: a gap that was missed has no length\n"
            '  with "missed: all" give no p50, p95 or max',
        ),
        (
            swap("errors: 0", "silence: {max: {sim: 1s, kind: 2s}}"),
            "s.yaml:7: expectation 1: silence: max: bounds that differ per backend need a reason\n"
            '  give it as "why":  max: {sim: …, kind: …, why: …}',
        ),
        (
            swap("errors: 0", "silence: {max: {sim: 1s, why: x}}"),
            's.yaml:7: expectation 1: silence: max: the bound for "kind" is missing\n'
            "  give both:  max: {sim: …, kind: …, why: …}",
        ),
        (
            swap("errors: 0", "shares: evn_random"),
            's.yaml:7: expectation 1: shares: unknown policy "evn_random"\n'
            "  known policies: even_random, even_round_robin, matches, one_pod\n"
            '  did you mean "even_random"?',
        ),
        (
            swap("errors: 0", "shares: matches"),
            's.yaml:7: expectation 1: shares: "matches" needs its weights\n'
            "  for example  shares: {policy: matches, weights: [50%, 25%, 25%]}",
        ),
        (
            swap("errors: 0", "shares: {policy: one_pod, weights: [100%]}"),
            's.yaml:7: expectation 1: shares: "weights" goes with the policy "matches", and it needs them\n'
            "  for example  weights: [50%, 25%, 25%]",
        ),
        (
            swap("errors: 0", "shares: {policy: matches, weights: [50%, 40%]}"),
            "s.yaml:7: expectation 1: shares: weights: weights must be above zero and make 1 together; "
            "these make 0.9",
        ),
        (
            swap("errors: 0", "errors: {max_share: 120%}"),
            's.yaml:7: expectation 1: errors: max_share: a share was expected, not "120%"\n'
            "  a share is from 0 to 1 or a percentage: 0.05, 5%",
        ),
        (
            swap("errors: 0", "shares: {policy: even_random, false_alarm: 2}"),
            "s.yaml:7: expectation 1: shares: false_alarm: 2 is out of range; it must be above 0 and at most 0.5",
        ),
        (
            SHORT + "load: {rate: 50}\n",
            "s.yaml:8: load: rate: a rate was expected, not 50\n  a rate is calls in a time: 50/s, 30/m",
        ),
        (
            SHORT + "load: {deadline: 0s}\n",
            "s.yaml:8: load: deadline: no call is answered in no time\n  for example  deadline: 1s",
        ),
        (SHORT + "seed: 1.5\n", "s.yaml:8: seed: a seed is a text or a whole number, not 1.5"),
        (SHORT + "5: x\n", "s.yaml:8: a key must be a text, not 5"),
        (
            SHORT + "about: !!python/object:os.system x\n",
            "s.yaml:8: about: the tag tag:yaml.org,2002:python/object:os.system is not read here\n"
            "  write plain YAML, without tags",
        ),
    ],
)
def test_a_mistake_in_a_file(text: str, message: str) -> None:
    """Each mistake is refused with its line, what was found, what is allowed and what to do."""
    with pytest.raises(ScenarioError) as refused:
        parse(text, "s.yaml")

    assert str(refused.value) == message


def test_mistakes_in_several_steps() -> None:
    """All wrong steps are reported together, so that they can be mended together."""
    with pytest.raises(ScenarioError) as refused:
        parse(swap("wait: 1s", "wiat: 1s").replace("scale: 5", "scale: x"), "s.yaml")

    assert [line[:8] for line in str(refused.value).splitlines() if line.startswith("s.yaml")] == [
        "s.yaml:3",
        "s.yaml:4",
    ]


def test_scenarios_compare_by_value() -> None:
    """Two readings of one text are equal, so that a saved run can be compared with its file."""
    first: Scenario = parse(SHORT, "s.yaml")

    assert first == parse(SHORT, "s.yaml")
