"""Steps that break something: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.faults import find_obstacle
from harness.scenario import Break, Freeze, Undo, parse
from harness.scenario.breaking import EXAMPLES, VERBS

FILE = """\
variants: [pool]
steps:
  - wait: 1s
  - {step}
expect: [{{variant: pool, errors: 0}}]
"""


def read(step: str) -> object:
    return parse(FILE.format(step=step), "scenarios/x.yaml").steps[-1].action


@pytest.mark.parametrize(
    ("step", "expected", "told"),
    [
        ("freeze: {pods: 2, for: 10s}", Freeze(None, 2, None, 10.0), "freeze 2 pods for 10 s"),
        ("freeze: {node: n1}", Freeze(None, 0, "n1", None), "freeze node n1"),
        ("api_away: 5s", Break("api_away", (), 5.0), "api away for 5 s"),
        (
            "api_away: {how: cut, for: 1m}",
            Break("api_away", (("how", "cut"),), 60.0),
            "api away (how cut) for 60 s",
        ),
        (
            "api_latency: {delay: 300ms, verbs: [list, watch], resources: pods}",
            Break(
                "api_latency",
                (("delay_s", 0.3), ("verbs", ("list", "watch")), ("resources", ("pods",))),
                None,
            ),
            "api latency (delay_s 0.3, verbs list, watch, resources pods)",
        ),
        (
            "api_refuse: {code: 503, retry_after: 2s, share: 50%, for: 3s}",
            Break("api_refuse", (("code", 503), ("retry_after_s", 2), ("share", 0.5)), 3.0),
            "api refuse (code 503, retry_after_s 2, share 0.5) for 3 s",
        ),
        ("watch_cut: expire", Break("watch_cut", (("how", "expire"),), None), "watch cut (how expire)"),
        ("watch_stall: 8s", Break("watch_stall", (), 8.0), "watch stall for 8 s"),
        ("events_repeat: 3", Break("events_repeat", (("times", 3),), None), "events repeat (times 3)"),
        ("compact: history", Break("compact", (), None), "compact"),
        (
            "reshuffle_slices: {service: s, size: 1}",
            Break("reshuffle_slices", (("size", 1),), None, "s"),
            "reshuffle slices (size 1)",
        ),
        ("dns: stale", Break("dns", (("how", "stale"),), None), "dns (how stale)"),
        (
            "termination_order: {first: sigterm, by: 500ms}",
            Break("termination_order", (("first", "sigterm"), ("by_s", 0.5)), None),
            "termination order (first sigterm, by_s 0.5)",
        ),
        ("undo: freeze", Undo("freeze"), "undo freeze"),
        ("undo: all", Undo("all"), "undo all"),
    ],
)
def test_what_a_step_means_and_how_it_is_told(step: str, expected: object, told: str) -> None:
    """Each verb, in its short and its long form."""
    action = read(step)

    assert action == expected
    assert str(action) == told


@pytest.mark.parametrize(
    ("step", "mistake"),
    [
        ("freeze: {for: 3s}", 'one of "pods" and "node" is needed'),
        ("freeze: {pods: 1, node: n}", 'one of "pods" and "node" is needed'),
        ("freeze: {node: n, deployment: d}", '"deployment" goes with "pods"'),
        ("freeze: {pods: 1, four: 3s}", 'unknown field "four"'),
        ("api_away: 5", "a duration was expected, not 5"),
        ("api_away: {how: gone}", 'unknown word "gone"\n  known words: cut, refuse'),
        ("api_refuse: {code: 404}", "404 is not known\n  known codes: 429, 500, 503"),
        ("watch_cut: {how: end, for: 3s}", 'unknown field "for"'),
        ("watch_stall: {new: 3}", "true or false was expected, not 3"),
        ("dns: {how: stale, verbs: list}", 'unknown field "verbs"'),
        ("undo: everything", 'unknown fault "everything"'),
        ("api_away:", '"api_away" says nothing\n  for example  api_away: 5s'),
    ],
)
def test_a_mistake_in_a_step_is_told_with_its_line(step: str, mistake: str) -> None:
    """Line, place, what was wrong, what is allowed."""
    with pytest.raises(ScenarioError) as caught:
        read(step)

    assert str(caught.value).startswith("scenarios/x.yaml:4: step 2: ")
    assert mistake in str(caught.value)


@pytest.mark.parametrize("verb", [*VERBS, "undo"])
def test_the_example_of_each_verb_is_a_good_one(verb: str) -> None:
    """What is shown to somebody who wrote nothing can be taken as it stands."""
    assert read(EXAMPLES[verb]) is not None


def test_a_scenario_that_breaks_its_cluster_is_for_the_simulation() -> None:
    """On other backends it is not run, and the reason says where, why and what works there; others run anywhere."""
    broken = parse(FILE.format(step="freeze: {pods: 1}"), Path("x.yaml"))
    whole = parse(FILE.format(step="scale: 2"), Path("x.yaml"))

    assert find_obstacle(broken, "sim") is None
    assert (find_obstacle(broken, "kind") or "").startswith(
        "x.yaml:4: step 2: freeze needs the simulated cluster (--k8s-backend=sim); kind can not be broken this way."
    )
    assert find_obstacle(whole, "kind") is None
