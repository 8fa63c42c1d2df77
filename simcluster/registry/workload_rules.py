"""What the API server refuses of Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs. Pure.

Source: kubernetes pkg/apis/apps/validation/validation.go and pkg/apis/batch/validation/validation.go.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, forbidden, invalid, required, unsupported
from simcluster.registry import checks
from simcluster.registry.naming import find_label_faults
from simcluster.registry.pod_specs import find_spec_faults
from simcluster.selectors import matches_label_selector

Object = dict[str, Any]
_IMMUTABLE = "field is immutable"
_ROLLING = "spec.strategy.rollingUpdate"
_DAEMON_ROLLING = "spec.updateStrategy.rollingUpdate"
_MISMATCH = "`selector` does not match template `labels`"
# Of a StatefulSet's spec, what an update may change.
_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def find_deployment_faults(deployment: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Deployment."""
    spec = deployment["spec"]
    found = checks.find_negative(spec.get("replicas"), "spec.replicas")
    found += _find_template_faults(spec, "deployment", "ReplicaSet")
    found += _find_strategy_faults(spec.get("strategy", {}))
    ready_s = spec.get("minReadySeconds", 0)
    found += checks.find_negative(ready_s, "spec.minReadySeconds")
    found += checks.find_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline_s = spec.get("progressDeadlineSeconds")
    found += checks.find_negative(deadline_s, "spec.progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= ready_s:
        text = "must be greater than minReadySeconds"
        found.append(invalid("spec.progressDeadlineSeconds", deadline_s, text))
    return found + _find_moved_selector(spec, old)


def find_replica_set_faults(replica_set: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a ReplicaSet."""
    spec = replica_set["spec"]
    found = checks.find_negative(spec.get("replicas"), "spec.replicas")
    found += checks.find_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += _find_template_faults(spec, "deployment", "ReplicaSet")
    return found + _find_moved_selector(spec, old)


def find_stateful_set_faults(stateful_set: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a StatefulSet."""
    spec = stateful_set["spec"]
    found: list[Cause] = []
    if spec["podManagementPolicy"] not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        found.append(invalid("spec.podManagementPolicy", spec["podManagementPolicy"], text))
    strategy = spec.get("updateStrategy", {})
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        shown = {"Type": strategy.get("type", ""), "RollingUpdate": None}
        found.append(invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'"))
    rolling = strategy.get("rollingUpdate", {})
    found += checks.find_negative(rolling.get("partition"), "spec.updateStrategy.rollingUpdate.partition")
    for key in ("whenDeleted", "whenScaled"):
        policy = spec.get("persistentVolumeClaimRetentionPolicy", {}).get(key)
        at = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
        found += checks.find_choice(policy, ("Retain", "Delete"), at)
    found += checks.find_negative(spec.get("replicas"), "spec.replicas")
    found += checks.find_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += checks.find_negative(spec.get("ordinals", {}).get("start"), "spec.ordinals.start")
    found += _find_template_faults(spec, "statefulset", "StatefulSet")
    if old is not None and _without(spec, _STATEFUL_FREE) != _without(old["spec"], _STATEFUL_FREE):
        listed = ", ".join(f"'{key}'" for key in _STATEFUL_FREE[:-1])
        text = f"updates to statefulset spec for fields other than {listed} and '{_STATEFUL_FREE[-1]}' are forbidden"
        found.append(forbidden("spec", text))
    return found


def find_daemon_set_faults(daemon_set: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a DaemonSet."""
    spec = daemon_set["spec"]
    found = _find_moved_selector(spec, old)
    found += _find_template_faults(spec, "daemonset", "DaemonSet", needs_selector=False)
    found += checks.find_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += _find_daemon_strategy_faults(spec.get("updateStrategy", {}))
    return found + checks.find_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")


def find_job_faults(job: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with a Job."""
    spec = job["spec"]
    found = [] if spec.get("selector") else [required("spec.selector")]
    found += [] if spec.get("manualSelector") else _find_generated_faults(job)
    for key in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ):
        found += checks.find_negative(spec.get(key), f"spec.{key}")
    found += checks.find_choice(spec.get("completionMode"), ("NonIndexed", "Indexed"), "spec.completionMode")
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        found.append(required("spec.completions", "when completion mode is Indexed"))
    policies = ("Failed", "TerminatingOrFailed")
    found += checks.find_choice(spec.get("podReplacementPolicy"), policies, "spec.podReplacementPolicy")
    found += _find_policy_faults(spec.get("podFailurePolicy", {}).get("rules", ()))
    found += find_spec_faults(spec["template"]["spec"], "spec.template.spec")
    if spec["template"]["spec"]["restartPolicy"] not in ("OnFailure", "Never"):
        text = 'valid values: "OnFailure", "Never"'
        found.append(required("spec.template.spec.restartPolicy", text))
    labels = spec["template"].get("metadata", {}).get("labels")
    if spec.get("selector") and not matches_label_selector(spec["selector"], labels or {}):
        found.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
    return found if old is None else found + _find_job_changes(spec, old["spec"])


def _find_job_changes(spec: Object, old: Object) -> list[Cause]:
    found: list[Cause] = []
    if spec.get("completions") != old.get("completions") and spec.get("completionMode") != "Indexed":
        found.append(invalid("spec.completions", spec.get("completions"), _IMMUTABLE))
    fixed = ("selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex")
    changed = [key for key in fixed if spec.get(key) != old.get(key)]
    if old.get("suspend") and _fix_template(spec["template"]) == _fix_template(old["template"]):
        changed = [key for key in changed if key != "template"]
    return found + [invalid(f"spec.{key}", spec.get(key), _IMMUTABLE) for key in changed]


def _fix_template(template: Object) -> Object:
    """What of a template is for good in a suspended Job, too: all but where its pods go and what they ask for."""
    metadata, spec = template.get("metadata", {}), template["spec"]
    placing = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    lists = {
        key: [{name: value for name, value in each.items() if name != "resources"} for each in spec[key]]
        for key in ("containers", "initContainers")
        if key in spec
    }
    return {
        "metadata": {key: value for key, value in metadata.items() if key not in ("labels", "annotations")},
        "spec": {key: value for key, value in spec.items() if key not in placing} | lists,
    }


def _find_generated_faults(job: Object) -> list[Cause]:
    """Refuse a selector that says more than that pods are of this Job."""
    uid = job["metadata"].get("uid", "")
    wanted = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    legacy = {"matchLabels": {"controller-uid": uid}}
    selector = job["spec"].get("selector")
    if not selector or selector in (wanted, legacy):
        return []
    return [invalid("spec.selector", selector, "`selector` not auto-generated")]


def _find_policy_faults(rules: Any) -> list[Cause]:
    found: list[Cause] = []
    for index, rule in enumerate(rules):
        at = f"spec.podFailurePolicy.rules[{index}]"
        actions = ("Count", "FailIndex", "FailJob", "Ignore")
        found += checks.find_choice(rule.get("action"), actions, f"{at}.action")
        codes = rule.get("onExitCodes")
        if codes is not None:
            found += checks.find_choice(codes.get("operator"), ("In", "NotIn"), f"{at}.onExitCodes.operator")
            if not codes.get("values"):
                found.append(invalid(f"{at}.onExitCodes.values", [], "at least one value is required"))
        elif not rule.get("onPodConditions"):
            text = "Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
            found.append(Cause("FieldValueInvalid", text, at))
    return found


def _find_template_faults(spec: Object, kind: str, owner: str, *, needs_selector: bool = True) -> list[Cause]:
    found: list[Cause] = []
    selector = spec.get("selector")
    labels = spec["template"]["metadata"].get("labels")
    is_valid = True
    if selector is None:
        found += [required("spec.selector")] if needs_selector else []
    else:
        faults = checks.find_selector_faults(selector, "spec.selector")
        is_valid = not faults
        found += faults
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            found.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    if not is_valid and kind != "daemonset":
        text = "" if kind == "statefulset" else "invalid label selector"
        fault = invalid("spec.selector", selector, text)
        found.append(Cause(fault.reason, fault.message.removesuffix(": "), fault.field))
    elif is_valid and (selector is None or not matches_label_selector(selector, labels or {})):
        found.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
    found += find_label_faults(labels or {}, "spec.template.labels")
    of_pod = spec["template"]["spec"]
    found += find_spec_faults(_with_claims(of_pod, spec), "spec.template.spec")
    if of_pod["restartPolicy"] != "Always":
        found.append(unsupported("spec.template.spec.restartPolicy", of_pod["restartPolicy"], ("Always",)))
    if "activeDeadlineSeconds" in of_pod:
        text = f"activeDeadlineSeconds in {owner} is not Supported"
        found.append(forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return found


def _with_claims(of_pod: Object, spec: Object) -> Object:
    """Return the pod's spec with the volumes that a StatefulSet's claim templates will be."""
    templates = spec.get("volumeClaimTemplates") or ()
    claims = {each["metadata"].get("name", ""): each for each in templates}
    if not claims:
        return of_pod
    others = [each for each in of_pod.get("volumes", ()) if each.get("name") not in claims]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**of_pod, "volumes": [*others, *made]}


def _find_moved_selector(spec: Object, old: Object | None) -> list[Cause]:
    if old is None or spec.get("selector") == old["spec"].get("selector"):
        return []
    return [invalid("spec.selector", spec.get("selector"), _IMMUTABLE)]


def _find_strategy_faults(strategy: Object) -> list[Cause]:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden(_ROLLING, text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None}
        return [unsupported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    rolling = {} if rolling is None else rolling
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    found = checks.find_amount_fault(unavailable, f"{_ROLLING}.maxUnavailable")
    found += checks.find_amount_fault(surge, f"{_ROLLING}.maxSurge")
    if checks.is_zero(surge) and checks.is_zero(unavailable):
        text = "may not be 0 when `maxSurge` is 0"
        found.append(invalid(f"{_ROLLING}.maxUnavailable", unavailable, text))
    # That it is more than all is looked at last.
    return found + [
        fault
        for fault in checks.find_amount_fault(unavailable, f"{_ROLLING}.maxUnavailable", most_percent=True)
        if fault not in found
    ]


def _find_daemon_strategy_faults(strategy: Object) -> list[Cause]:
    kind = strategy.get("type", "")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None}
        return [unsupported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"))]
    rolling = strategy.get("rollingUpdate", {})
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    found = checks.find_amount_fault(unavailable, f"{_DAEMON_ROLLING}.maxUnavailable", most_percent=True)
    found += checks.find_amount_fault(surge, f"{_DAEMON_ROLLING}.maxSurge", most_percent=True)
    if checks.is_zero(surge) and checks.is_zero(unavailable):
        text = "cannot be 0 when maxSurge is 0"
        found.append(required(f"{_DAEMON_ROLLING}.maxUnavailable", text))
    elif not checks.is_zero(surge) and not checks.is_zero(unavailable):
        text = "may not be set when maxUnavailable is non-zero"
        found.append(invalid(f"{_DAEMON_ROLLING}.maxSurge", surge, text))
    return found


def _without(spec: Object, keys: tuple[str, ...]) -> Object:
    return {key: value for key, value in spec.items() if key not in keys}
