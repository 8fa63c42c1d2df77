"""What a scenario expects of its variants: one rule a kind, and the reading of each from its YAML.

Rule: a bound is stated by the file, never assumed; where it must differ per backend, the file gives each
and says why. An expectation is about one variant and one kind, so that each gets a verdict of its own.
Judging is done in `checks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.scenario.nodes import Mapping, Value

BACKENDS = ("sim", "kind", "kubeconfig")
POLICIES = ("one_pod", "even_random", "even_round_robin", "matches")


@dataclass(frozen=True, slots=True)
class Bound:
    """A number, the same everywhere, or one per backend with the reason."""

    everywhere: float | None = None
    per_backend: tuple[tuple[str, float], ...] = ()
    why: str | None = None

    def on(self, backend: str) -> float:
        """The bound on a backend.

        A borrowed cluster is held to kind's where the file gives it none: both are real.
        """
        if self.everywhere is not None:
            return self.everywhere
        known = dict(self.per_backend)
        return known[backend] if backend in known else known["kind"]


@dataclass(frozen=True, slots=True)
class Shares:
    """How the answered calls fall to the pods.

    `one_pod`: each client is answered by one pod. `even_random`: a G-test against equal chances, at
    `false_alarm`, which must have been able (with probability `power`) to see one pod take `skew` more than
    its part. `even_round_robin`: counts differ by at most `rotations`, plus the failed calls, which also
    took their turn. `matches`: a G-test against `weights`, largest first. `per`: each client by itself, or
    all of the variant together (for a proxy, which they share). `among`: the pods whose endpoints are
    ready, or only those that the client called at all.
    """

    policy: str
    false_alarm: float = 1e-6
    skew: float = 0.5
    power: float = 0.99
    rotations: int = 1
    per: str = "client"
    among: str = "ready"
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Errors:
    """How many calls failed: at most `most` (or `most_share` of all), at least `least`."""

    most: Bound | None = None
    most_share: Bound | None = None
    least: Bound | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bounds in seconds on the gaps of all clients together.

    `kind`: join_gap, leave_gap (from the end of being ready) or end_gap (from the end of serving).

    `missed`: join gaps never closed; None = as many as there were.

    `calls_after`: calls that a client still sent to a pod that had left, in all.
    """

    kind: str
    p50: Bound | None = None
    p95: Bound | None = None
    most: Bound | None = None
    missed: int | None = 0
    is_every_one_missed: bool = False
    calls_after: Bound | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """The longest time, in seconds, in which a client had no answered call."""

    most: Bound


RuleOf = Shares | Errors | Gap | Silence


@dataclass(frozen=True, slots=True)
class Expectation:
    """One rule for one variant, in one phase or (None) from the first to the last."""

    line: int
    variant: str
    phase: str | None
    kind: str
    rule: RuleOf


def read(value: Value, number: int, variants: tuple[str, ...], phases: tuple[str, ...]) -> list[Expectation]:
    """The expectations of a list entry: one for each variant and kind in it."""
    mapping = value.named(f"expectation {number}").mapping()
    mapping.only(_READERS, what="expectation", beside=["variant", "phase"])
    named = mapping.need("variant", "pool")
    names = (
        variants
        if named.plain() == "all"
        else tuple(_one_of(entry, variants, "variant") for entry in _each(named))
    )
    phase = mapping.get("phase")
    chosen = None if phase is None else phase.choice(phases, what="phase")
    kinds = [key for key in mapping.keys() if key in _READERS]  # noqa: SIM118  # Mapping is not a dict
    if not kinds:
        raise mapping.value.refuse(
            "nothing is expected", [f"known expectations: {', '.join(sorted(_READERS))}"]
        )
    found = []
    for kind in kinds:
        body = mapping.need(kind, "…")
        if kind in ("end_gap", "join_gap", "leave_gap") and chosen is not None:
            raise body.refuse(
                "a gap belongs to the whole run, not to a phase",
                ["take `phase` away, or give it an entry of its own"],
            )
        rule = _READERS[kind](body)
        found += [Expectation(mapping.line_of(kind), variant, chosen, kind, rule) for variant in names]
    return found


def _each(value: Value) -> list[Value]:
    return value.items() if value.is_list else [value]


def _one_of(value: Value, known: tuple[str, ...], what: str) -> str:
    return value.choice(known, what=what)


def _shares(body: Value) -> Shares:
    if not body.is_mapping:
        return Shares(_simple_policy(body))
    allowed = ["policy", "false_alarm", "skew", "power", "rotations", "per", "among", "weights"]
    mapping = body.mapping().only(allowed, what="field")
    policy = mapping.need("policy", "even_random").choice(POLICIES, what="policy")
    weights = mapping.get("weights")
    if (policy == "matches") != (weights is not None):
        raise body.refuse(
            '"weights" goes with the policy "matches", and it needs them',
            ["for example  weights: [50%, 25%, 25%]"],
        )
    return Shares(
        policy=policy,
        false_alarm=_number(mapping, "false_alarm", 1e-6, up_to=0.5),
        skew=_number(mapping, "skew", 0.5),
        power=_number(mapping, "power", 0.99, up_to=0.999999),
        rotations=_whole(mapping, "rotations", 1, minimum=1),
        per=_word(mapping, "per", ("client", "variant"), "client"),
        among=_word(mapping, "among", ("ready", "called"), "ready"),
        weights=() if weights is None else _weights(weights),
    )


def _simple_policy(body: Value) -> str:
    policy = body.choice(POLICIES, what="policy")
    if policy == "matches":
        raise body.refuse(
            '"matches" needs its weights',
            ["for example  shares: {policy: matches, weights: [50%, 25%, 25%]}"],
        )
    return policy


def _weights(value: Value) -> tuple[float, ...]:
    weights = tuple(sorted((entry.share() for entry in value.items()), reverse=True))
    if abs(sum(weights) - 1) > 1e-6 or min(weights) <= 0:
        raise value.refuse(f"weights must be above zero and make 1 together; these make {sum(weights):g}")
    return weights


def _errors(body: Value) -> Errors:
    if not body.is_mapping:
        return Errors(most=Bound(body.whole()))
    mapping = body.mapping().only(["max", "max_share", "min"], what="field")
    rule = Errors(
        most=_bound(mapping, "max", lambda value: float(value.whole())),
        most_share=_bound(mapping, "max_share", Value.share),
        least=_bound(mapping, "min", lambda value: float(value.whole())),
    )
    if rule == Errors():
        raise body.refuse("no bound is given", ["known bounds: max, max_share, min"])
    return rule


def _join_gap(body: Value) -> Gap:
    mapping = body.mapping().only(["p50", "p95", "max", "missed"], what="field")
    missed = mapping.get("missed")
    is_all = missed is not None and missed.plain() == "all"
    is_any = missed is not None and missed.plain() == "any"
    rule = Gap(
        kind="join_gap",
        p50=_bound(mapping, "p50", Value.duration_s),
        p95=_bound(mapping, "p95", Value.duration_s),
        most=_bound(mapping, "max", Value.duration_s),
        missed=None if is_all or is_any else 0 if missed is None else missed.whole(),
        is_every_one_missed=is_all,
    )
    if is_all and (rule.p50, rule.p95, rule.most) != (None, None, None):
        raise body.refuse(
            "a gap that was missed has no length", ['with "missed: all" give no p50, p95 or max']
        )
    return rule


def _leave_gap(body: Value, kind: str = "leave_gap") -> Gap:
    mapping = body.mapping().only(["p50", "p95", "max", "calls_after"], what="field")
    rule = Gap(
        kind=kind,
        p50=_bound(mapping, "p50", Value.duration_s),
        p95=_bound(mapping, "p95", Value.duration_s),
        most=_bound(mapping, "max", Value.duration_s),
        missed=None,
        calls_after=_bound(mapping, "calls_after", lambda value: float(value.whole())),
    )
    if (rule.p50, rule.p95, rule.most, rule.calls_after) == (None, None, None, None):
        raise body.refuse("no bound is given", ["known bounds: p50, p95, max, calls_after"])
    return rule


def _silence(body: Value) -> Silence:
    if not body.is_mapping:
        return Silence(Bound(body.duration_s()))
    mapping = body.mapping().only(["max"], what="field")
    most = _bound(mapping, "max", Value.duration_s)
    if most is None:
        raise body.refuse('"max" is missing', ["for example  silence: {max: 500ms}"])
    return Silence(most)


def _bound(mapping: Mapping, key: str, read_one: Callable[[Value], float]) -> Bound | None:
    value = mapping.get(key)
    if value is None:
        return None
    if not value.is_mapping:
        return Bound(read_one(value))
    per = value.mapping().only([*BACKENDS, "why"], what="field")
    example = f"{key}: {{sim: …, kind: …, why: …}}"
    why = per.get("why")
    if why is None:
        raise value.refuse("bounds that differ per backend need a reason", [f'give it as "why":  {example}'])
    for backend in ("sim", "kind"):
        if per.get(backend) is None:
            raise value.refuse(f'the bound for "{backend}" is missing', [f"give both:  {example}"])
    bounds = tuple(
        (backend, read_one(found)) for backend in BACKENDS if (found := per.get(backend)) is not None
    )
    return Bound(None, bounds, why.text())


def _number(mapping: Mapping, key: str, default: float, *, up_to: float | None = None) -> float:
    found = mapping.get(key)
    return default if found is None else found.number(up_to=up_to)


def _whole(mapping: Mapping, key: str, default: int, *, minimum: int) -> int:
    found = mapping.get(key)
    return default if found is None else found.whole(minimum=minimum)


def _word(mapping: Mapping, key: str, known: tuple[str, ...], default: str) -> str:
    found = mapping.get(key)
    return default if found is None else found.choice(known, what=key)


_READERS: dict[str, Callable[[Value], RuleOf]] = {
    "end_gap": lambda body: _leave_gap(body, "end_gap"),
    "errors": _errors,
    "join_gap": _join_gap,
    "leave_gap": _leave_gap,
    "shares": _shares,
    "silence": _silence,
}
