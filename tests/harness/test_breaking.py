"""Steps that break something: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import clusters
from harness.clusters import Choice, simulated
from harness.errors import ScenarioError
from harness.faults import find_obstacle
from harness.scenario import Break, Freeze, Shape, Undo, parse
from harness.scenario.breaking import EXAMPLES, VERBS
from harness.settings import Settings
from harness.settings import read as read_settings

FILE = """\
variants: [pool]
cluster: {{nodes: 2}}
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
        ("freeze: {node_of: web}", Freeze(None, 0, None, None, "web"), "freeze the node of most web pods"),
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
        ("freeze: {for: 3s}", 'one of "pods", "node" and "node_of" is needed'),
        ("freeze: {pods: 1, node: n}", 'one of "pods", "node" and "node_of" is needed'),
        ("freeze: {node: n, node_of: d}", 'one of "pods", "node" and "node_of" is needed'),
        ("freeze: {node_of: e, deployment: d}", '"deployment" goes with "pods"'),
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

    assert str(caught.value).startswith("scenarios/x.yaml:5: step 2: ")
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
        "x.yaml:5: step 2: freeze needs the simulated cluster (--k8s-backend=sim); kind can not be broken this way."
    )
    assert find_obstacle(whole, "kind") is None


def test_a_node_is_frozen_where_it_can_be() -> None:
    """On kind if the cluster has workers, which are containers; a borrowed cluster is left alone."""
    several = FILE.format(step="freeze: {node_of: web}")
    both = parse(several.replace("  - wait: 1s", "  - freeze: {pods: 1}"), Path("x.yaml"))
    one = parse(several.replace("nodes: 2", "nodes: 1").replace("node_of: web", "node: n"), Path("x.yaml"))

    assert find_obstacle(parse(several, Path("x.yaml")), "kind") is None
    assert find_obstacle(parse(several, Path("x.yaml")), "kubeconfig") is not None
    assert "x.yaml:4: step 1: freeze needs" in (find_obstacle(both, "kind") or "")
    assert find_obstacle(one, "kind") is not None


def test_the_node_of_pods_on_a_cluster_of_one() -> None:
    """It is refused with its line: the clients would stand still, too."""
    with pytest.raises(ScenarioError, match=r'x\.yaml:5: "node_of" needs several nodes') as caught:
        parse(FILE.format(step="freeze: {node_of: web}").replace("nodes: 2", "nodes: 1"), "x.yaml")

    assert "cluster: {nodes: 3}" in str(caught.value)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("loopback", "it needs --k8s-network=namespace, not loopback"),
        ("namespace", None),
    ],
)
def test_a_network_that_was_not_asked_for(
    network: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario that needs the namespace network is not run on another; where it works is the simulation's word."""
    monkeypatch.setattr(simulated, "choose_network", lambda _wanted: ("namespace", "it works"))
    settings = settings_with(network)

    assert clusters.find_obstacle(Shape(2, "namespace"), Choice("sim", ""), settings) == expected
    assert clusters.find_obstacle(Shape(2), Choice("sim", ""), settings) is None
    assert clusters.find_obstacle(Shape(2, "namespace"), Choice("kind", ""), settings) is None


def test_a_network_that_does_not_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the simulation's."""
    monkeypatch.setattr(simulated, "choose_network", lambda _wanted: ("loopback", "auto: no nft"))

    found = clusters.find_obstacle(Shape(2, "namespace"), Choice("sim", ""), settings_with(None))

    assert found == "it needs the network namespace: auto: no nft"


def settings_with(network: str | None) -> Settings:
    return read_settings({"backend": "sim", "network": network}.get)
