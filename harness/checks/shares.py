"""How answered calls fall to the pods, against the policy that a scenario states.

Rule: evenness is a test with a known rate of false alarms, never a fixed tolerance; and before a check
passes, it must have had the calls to see the skew that it is to rule out, else it is unknown. Clients are
judged by themselves (a sum over clients can be even while none of them is), unless the scenario says that
they share one balancer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.analysis import Analysis, Tally, VariantResult, Window, merge_pods
from harness.analysis.statistics import (
    chi_square_limit,
    chi_square_tail,
    g_value,
    noncentral_tail,
    noncentrality,
)
from harness.checks.verdict import FAIL, PASS, UNKNOWN, Outcome, combine, look_at
from harness.scenario import Shares


def check(
    rule: Shares,
    variant: VariantResult,
    analysis: Analysis,
    phase: str | None,
    backend: str,  # noqa: ARG001  # a policy is the same on every backend
) -> Outcome:
    """Compare the shares in a window with the policy; the same on every backend."""
    window, tallies = look_at(variant, analysis, phase)
    if sum(tally.calls - tally.errors for tally in tallies) == 0:
        return Outcome(UNKNOWN, "no call in this phase was answered")
    if rule.policy == "one_pod":
        return combine(_one_pod(rule, tally, window) for tally in tallies)
    if window.changed and rule.among == "ready":
        moved = ", ".join(sorted(window.changed))
        return Outcome(
            UNKNOWN, f"the ready pods changed during {window.name} ({moved}); give the wait a name"
        )
    counts = _counts(rule, window, tallies)
    if min(len(each) for each in counts) < 2:
        return Outcome(UNKNOWN, f"fewer than two pods were {rule.among} in {window.name}: nothing to compare")
    if rule.policy == "even_round_robin":
        errors = [tally.errors for tally in tallies]
        failed = errors if rule.per == "client" else [sum(errors)]
        return combine(_turns(rule, each, count) for each, count in zip(counts, failed, strict=True))
    return _chances(rule, counts)


def _counts(rule: Shares, window: Window, tallies: Sequence[Tally]) -> list[dict[str, int]]:
    """Answered calls per pod, one mapping a client or one for all; pods that had none count as zero."""
    groups = [[tally] for tally in tallies] if rule.per == "client" else [list(tallies)]
    expected = window.ready if rule.among == "ready" else frozenset[str]()
    found = []
    for group in groups:
        counts = merge_pods(group)
        found.append({**dict.fromkeys(sorted(expected - counts.keys()), 0), **counts})
    return found


def _one_pod(rule: Shares, tally: Tally, window: Window) -> Outcome:
    answered = sum(count for _, count in tally.pods)
    if len(tally.pods) > 1:
        return Outcome(
            FAIL, f"{tally.client} was answered by {len(tally.pods)} pods: {_shown(dict(tally.pods))}"
        )
    pods = max(2, len(window.ready))
    needed = 1 + math.ceil(math.log(1 / rule.false_alarm) / math.log(pods))
    if answered < needed:
        return Outcome(
            UNKNOWN,
            f"{tally.client} had {answered} answers; {needed} are needed to rule out chance among {pods}",
        )
    return Outcome(PASS, f"{tally.client} was answered by one pod, {answered} times")


def _turns(rule: Shares, counts: Mapping[str, int], failed: int) -> Outcome:
    allowed = rule.rotations + failed
    calls, spread = sum(counts.values()), max(counts.values()) - min(counts.values())
    told = f"{_shown(counts)}: most and least differ by {spread}, at most {allowed} expected"
    if failed:
        told += f" ({rule.rotations} by rotation, {failed} by failed calls)"
    if spread > allowed:
        return Outcome(FAIL, told)
    if rule.skew * calls / len(counts) <= allowed:
        return Outcome(UNKNOWN, f"{told}; {calls} calls are too few to see a pod take {rule.skew:.0%} more")
    return Outcome(PASS, told)


def _chances(rule: Shares, counts: Sequence[Mapping[str, int]]) -> Outcome:
    """A G-test over all clients: the sum of their statistics has the sum of their degrees of freedom."""
    value, freedom, shift = 0.0, 0, 0.0
    for each in counts:
        ranked = sorted(each.values(), reverse=True)
        weights = list(rule.weights) if rule.policy == "matches" else [1 / len(ranked)] * len(ranked)
        if len(weights) != len(ranked):
            return Outcome(FAIL, f"{_shown(each)}: {len(ranked)} pods, but {len(weights)} weights")
        value += g_value(ranked, weights)
        freedom += len(ranked) - 1
        shift += noncentrality(sum(ranked), weights, rule.skew)
    chance = chi_square_tail(value, freedom)
    shown = "; ".join(_shown(each) for each in counts)
    told = f"{shown}: G = {value:.1f} on {freedom} degrees, chance {chance:.2g}"
    if chance < rule.false_alarm:
        return Outcome(FAIL, f"{told}, under the false-alarm rate of {rule.false_alarm:g}")
    power = noncentral_tail(chi_square_limit(rule.false_alarm, freedom), freedom, shift)
    told += f"; a pod that takes {rule.skew:.0%} more would be seen with chance {power:.3f}"
    if power < rule.power:
        return Outcome(
            UNKNOWN, f"{told}, under the {rule.power:g} that the check needs: more calls are needed"
        )
    return Outcome(PASS, told)


def _shown(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{pod} {count} ({count / max(total, 1):.0%})" for pod, count in ranked)
