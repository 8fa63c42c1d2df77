"""From the text of a scenario file to a Scenario.

Rule: what `parse` returns can be run as it stands; everything wrong with a file that can be seen without a
cluster is refused here, with its line. Mistakes in several steps or expectations are reported together. It
opens no file: text and path come in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from harness.errors import ScenarioError
from harness.scenario import expectations as expectation_reader
from harness.scenario import steps as step_reader
from harness.scenario.breaking import Freeze
from harness.scenario.expectations import Expectation
from harness.scenario.nodes import Mapping, Value, compose
from harness.scenario.steps import Step
from harness.scenario.story import FIRST_PHASE, Load, Scenario, Shape, Target, Variant

_FIELDS = ("about", "marks", "manifests", "seed", "cluster", "target", "load", "variants", "steps", "expect")
_Read = TypeVar("_Read")


def parse(text: str, path: Path | str) -> Scenario:
    """The scenario in a text.

    `path` is the file it came from: its name is the scenario's, and relative paths start beside it.
    """
    file = Path(path)
    mapping = compose(text, str(path)).mapping().only(_FIELDS, what="field")
    variants = _variants(mapping)
    steps = _steps(mapping)
    phases = (FIRST_PHASE, *(step.phase for step in steps if step.phase is not None))
    return Scenario(
        name=file.stem,
        path=file,
        text=text,
        about=_text(mapping, "about", ""),
        marks=tuple(_texts(mapping, "marks")),
        manifests=file.parent / _text(mapping, "manifests", "../manifests"),
        seed=_seed(mapping, file.stem),
        cluster=_cluster(mapping, steps),
        target=_target(mapping),
        load=_load(mapping),
        variants=variants,
        steps=steps,
        expectations=_expectations(mapping, tuple(variant.name for variant in variants), phases),
    )


def _variants(mapping: Mapping) -> tuple[Variant, ...]:
    value = mapping.need("variants", "[clusterip, pool]").named("variants")
    if value.is_list:
        found = tuple(Variant(entry.text()) for entry in value.items())
    else:
        found = tuple(_variant(name, body) for name, body in value.mapping("list or mapping").entries())
    if not found:
        raise value.refuse("there is no variant")
    names = [variant.name for variant in found]
    if len(set(names)) != len(names):
        raise value.refuse("a variant stands here twice: " + ", ".join(names))
    return found


def _variant(name: str, body: Value) -> Variant:
    if body.plain() is None:
        return Variant(name)
    mapping = body.named(f"variant {name}").mapping().only(["env", "note"], what="field")
    env, note = mapping.get("env"), mapping.get("note")
    pairs = () if env is None else tuple((key, _env_text(value)) for key, value in env.mapping().entries())
    return Variant(name, pairs, None if note is None else note.text())


def _env_text(value: Value) -> str:
    found = value.plain()
    if not isinstance(found, str):
        raise value.refuse(f"an environment variable is a text, not {found!r}", [f'in quotes:  "{found}"'])
    return found


def _steps(mapping: Mapping) -> tuple[Step, ...]:
    value = mapping.need("steps", "[{wait: 3s}]")
    entries = value.items()
    if not entries:
        raise value.refuse("there is no step", ["for example  - wait: 3s"])
    found = _each(enumerate(entries, start=1), lambda pair: step_reader.read(pair[1], pair[0]))
    return _with_unique_phases(found)


def _with_unique_phases(steps: Iterable[Step]) -> tuple[Step, ...]:
    taken = {FIRST_PHASE: 1}
    found = []
    for step in steps:
        phase = step.phase
        if phase is not None:
            taken[phase] = taken.get(phase, 0) + 1
            phase = phase if taken[phase] == 1 else f"{phase} {taken[phase]}"
        found.append(Step(step.line, step.number, step.verb, step.action, phase))
    return tuple(found)


def _expectations(
    mapping: Mapping, variants: tuple[str, ...], phases: tuple[str, ...]
) -> tuple[Expectation, ...]:
    value = mapping.need("expect", "[{variant: pool, errors: 0}]")
    entries = enumerate(value.items(), start=1)
    found = _each(entries, lambda pair: expectation_reader.read(pair[1], pair[0], variants, phases))
    return tuple(expectation for several in found for expectation in several)


def _each(entries: Iterable[tuple[int, Value]], read: Callable[[tuple[int, Value]], _Read]) -> list[_Read]:
    found: list[_Read] = []
    wrong: list[str] = []
    for entry in entries:
        try:
            found.append(read(entry))
        except ScenarioError as error:
            wrong.append(str(error))
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return found


def _cluster(mapping: Mapping, steps: Iterable[Step]) -> Shape:
    value = mapping.get("cluster")
    shape = Shape()
    if value is not None:
        inner = value.mapping().only(["nodes", "network"], what="field")
        nodes, network = inner.get("nodes"), inner.get("network")
        shape = Shape(
            nodes=1 if nodes is None else nodes.whole(minimum=1),
            network=None if network is None else network.choice(("namespace",), what="network"),
        )
    for step in steps:
        if isinstance(step.action, Freeze) and step.action.node_of is not None and shape.nodes < 2:
            hints = ["on one node, the clients stand still with it:  cluster: {nodes: 3}"]
            raise mapping.value.refuse('"node_of" needs several nodes', hints, line=step.line)
    return shape


def _target(mapping: Mapping) -> Target:
    value = mapping.get("target")
    if value is None:
        return Target()
    inner = value.mapping().only(["deployment", "service", "replicas"], what="field")
    replicas = inner.get("replicas")
    return Target(
        deployment=_text(inner, "deployment", Target().deployment),
        service=_text(inner, "service", Target().service),
        replicas=None if replicas is None else replicas.whole(minimum=1),
    )


def _load(mapping: Mapping) -> Load:
    value = mapping.get("load")
    if value is None:
        return Load()
    inner = value.mapping().only(["rate", "clients", "deadline", "warm_up"], what="field")
    rate, clients, deadline, warm_up = (inner.get(key) for key in ("rate", "clients", "deadline", "warm_up"))
    default = Load()
    return Load(
        rate=default.rate if rate is None else rate.rate_per_s(),
        clients=default.clients if clients is None else clients.whole(minimum=1),
        deadline_s=default.deadline_s if deadline is None else _deadline_s(deadline),
        warm_up=default.warm_up if warm_up is None else warm_up.whole(minimum=1),
    )


def _deadline_s(value: Value) -> float:
    found = value.duration_s()
    if found == 0:
        raise value.refuse("no call is answered in no time", ["for example  deadline: 1s"])
    return found


def _seed(mapping: Mapping, default: str) -> str:
    value = mapping.get("seed")
    if value is None:
        return default
    found = value.plain()
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise value.refuse(f"a seed is a text or a whole number, not {found!r}")
    return str(found)


def _text(mapping: Mapping, key: str, default: str) -> str:
    found = mapping.get(key)
    return default if found is None else found.text()


def _texts(mapping: Mapping, key: str) -> list[str]:
    found = mapping.get(key)
    return [] if found is None else found.texts()
