"""What the kubelet decides about containers, over hand-made and random situations, in instant time."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.kubelet.containers import (
    Container,
    Policy,
    Running,
    Situation,
    Starting,
    Terminated,
    Waiting,
    backoff_s,
    begin,
    decide,
    end,
    fail,
    prepare,
    show_duration,
    wait,
)
from simcluster.kubelet.status import Facts, make_status
from simcluster.profile import FAITHFUL

POLICIES: list[Policy] = ["Always", "OnFailure", "Never"]


def exited(code: int, at: float = 100.0, ran_s: float = 5.0) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", at - ran_s, at)


def deciding(
    *containers: Container, policy: Policy = "Always", is_ending: bool = False, now: float = 100.0
) -> Any:
    return decide(Situation(containers, policy, is_ending, now), FAITHFUL, "p_ns(u)")


def test_all_main_containers_start_at_once() -> None:
    """Without init containers there is no order."""
    assert deciding(Container("a", "main"), Container("b", "main")).start == ("a", "b")


def test_init_containers_run_one_after_the_other() -> None:
    """The next starts when the one before has ended well; main containers after the last."""
    first, second, main = Container("i", "init"), Container("j", "init"), Container("m", "main")
    assert deciding(first, second, main).start == ("i",)
    assert deciding(replace(first, state=Running(1)), second, main).start == ()
    done = replace(first, state=exited(0))
    assert deciding(done, second, main).start == ("j",)
    assert deciding(done, replace(second, state=exited(0)), main).start == ("m",)


def test_sidecar_lets_the_next_start_once_it_has_started() -> None:
    """A sidecar without its startup probe's word holds up the rest; its later restarts do not."""
    sidecar, main = Container("s", "sidecar", state=Running(1)), Container("m", "main")
    assert deciding(sidecar, main).start == ()
    assert deciding(replace(sidecar, is_started=True), main).start == ("m",)
    assert deciding(replace(sidecar, state=exited(1), starts=1, failures=1), main).start == ("s", "m")


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
     ("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True),
     ("Never", 0, False), ("Never", 1, False)],
)  # fmt: skip
def test_restart_policy(policy: Policy, code: int, restarts: bool) -> None:
    """A container that ended starts again as the policy says, the first time at once."""
    each = Container("m", "main", state=exited(code), starts=1, failures=1)
    decision = deciding(each, policy=policy)
    assert decision.start == (("m",) if restarts else ())
    assert decision.is_over == (not restarts)


def test_failed_init_container_without_restarts_ends_the_pod() -> None:
    """With policy Never the main containers never start."""
    decision = deciding(
        Container("i", "init", state=exited(1), starts=1), Container("m", "main"), policy="Never"
    )
    assert (decision.start, decision.is_over) == ((), True)


def test_sidecars_are_stopped_when_the_rest_has_ended() -> None:
    """A Job's pod is over although its sidecar would run for ever."""
    sidecar = Container("s", "sidecar", state=Running(1), is_started=True, starts=1)
    decision = deciding(sidecar, Container("m", "main", state=exited(0), starts=1), policy="Never")
    assert (decision.stop, decision.is_over) == (("s",), False)


def test_second_restart_waits_in_crash_loop_backoff() -> None:
    """The wait is shown with the kubelet's text, and is over at its end."""
    each = Container("m", "main", state=exited(1), starts=2, failures=2)
    ((name, waiting),) = deciding(each, now=101).waiting
    assert (name, waiting.reason, waiting.until) == ("m", "CrashLoopBackOff", 110)
    assert waiting.message == "back-off 10s restarting failed container=m pod=p_ns(u)"
    waiting_now = wait(each, waiting)
    assert waiting_now.last == exited(1)
    assert deciding(waiting_now, now=101).wake_at == 110
    assert deciding(waiting_now, now=110).start == ("m",)


def test_backoff_doubles_to_its_most_and_is_forgotten() -> None:
    """None, 10, 20 … 300 seconds; ten minutes of running start it anew."""
    assert [backoff_s(n, FAITHFUL) for n in range(9)] == [0, 0, 10, 20, 40, 80, 160, 300, 300]
    each = Container("m", "main", state=Running(0), failures=7)
    assert end(each, exited(1, at=600, ran_s=600), FAITHFUL).failures == 1
    assert end(each, exited(1, at=599, ran_s=599), FAITHFUL).failures == 8
    assert [show_duration(s) for s in (10, 160, 300, 3661)] == ["10s", "2m40s", "5m0s", "1h1m1s"]


def test_image_that_can_not_be_pulled_backs_off() -> None:
    """ErrImagePull is seen for a second, then ImagePullBackOff, then it is tried again."""
    each = Container("m", "main", state=Waiting("ErrImagePull", "why", since=100, until=110, image="x"))
    assert deciding(each, now=100.5).wake_at == 101
    ((_, waiting),) = deciding(each, now=101).waiting
    assert (waiting.reason, waiting.message) == (
        "ImagePullBackOff",
        'Back-off pulling image "x": ErrImagePull: why',
    )
    assert deciding(wait(each, waiting), now=105).wake_at == 110
    assert deciding(wait(each, waiting), now=110).start == ("m",)


def test_blocked_container_waits_without_a_clock() -> None:
    """What a container lacks wakes it, not time."""
    decision = deciding(
        Container("m", "main", state=Waiting("CreateContainerConfigError", is_blocked=True)), now=1e9
    )
    assert (decision.start, decision.waiting, decision.wake_at) == ((), (), None)


def test_ending_pod_stops_what_runs_once() -> None:
    """Nothing starts; a container that is being stopped is not stopped again; it is over when nothing lives."""
    running = Container("a", "main", state=Running(1))
    assert deciding(running, Container("b", "main"), is_ending=True).stop == ("a",)
    assert deciding(replace(running, is_stopping=True), is_ending=True).stop == ()
    assert deciding(replace(running, state=Starting(Waiting())), is_ending=True).is_over is False
    assert deciding(replace(running, state=exited(0)), Container("b", "main"), is_ending=True).is_over is True


STATES = st.one_of(
    st.just(Waiting()),
    st.builds(
        Waiting,
        st.sampled_from(["CrashLoopBackOff", "ErrImagePull"]),
        st.just(""),
        st.just(90.0),
        st.floats(80, 120),
    ),
    st.just(Waiting("CreateContainerConfigError", is_blocked=True)),
    st.just(Starting(Waiting())),
    st.just(Running(50.0)),
    st.builds(exited, st.integers(0, 2), st.floats(60, 100)),
)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    kinds = sorted(draw(st.lists(st.sampled_from(["init", "sidecar"]), max_size=2))) + ["main"] * draw(
        st.integers(1, 2)
    )
    containers = [
        Container(
            str(number), kind, state=draw(STATES), starts=draw(st.integers(0, 3)), failures=draw(st.integers(0, 3)),
            is_started=draw(st.booleans()), is_stopping=draw(st.booleans()),
        )
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
    return Situation(tuple(containers), draw(st.sampled_from(POLICIES)), draw(st.booleans()), 100.0)


@settings(deadline=None)  # a busy machine is no failure
@given(situations())
def test_decisions_are_sound(situation: Situation) -> None:
    """For any situation: only what does not live is started, only what runs is stopped, the two exclude each other."""
    decision = decide(situation, FAITHFUL, "p")
    named = {each.name: each for each in situation.containers}
    assert not set(decision.start) & set(decision.stop)
    assert all(not named[name].is_alive for name in decision.start)
    assert all(
        isinstance(named[name].state, Running) and not named[name].is_stopping for name in decision.stop
    )
    assert all(not named[name].is_alive for name, _ in decision.waiting)
    if situation.is_ending:
        assert decision.start == ()
    if decision.is_over:
        assert not any(each.is_alive for each in situation.containers)
        assert decision.start == ()
    if decision.wake_at is not None and not decision.start and not decision.waiting:
        assert decision.wake_at > situation.now  # a decision that changes nothing never spins


@given(situations(), st.data())
@settings(deadline=None, max_examples=150)
def test_every_pod_comes_to_rest(situation: Situation, data: st.DataObject) -> None:
    """Following decisions, with processes that end well at random: a Never pod is over, an ending one too."""
    policy: Policy = "Never"
    containers = {each.name: replace(each, is_stopping=False) for each in situation.containers}
    now = situation.now
    for _ in range(200):
        decision = decide(
            Situation(tuple(containers.values()), policy, situation.is_ending, now), FAITHFUL, "p"
        )
        if decision.is_over:
            break
        for name, waiting in decision.waiting:
            containers[name] = wait(containers[name], waiting)
        for name in decision.start:
            begun = begin(prepare(containers[name]), now, has_startup=False, has_readiness=False)
            containers[name] = (
                begun if data.draw(st.booleans()) else fail(prepare(containers[name]), exited(128, now))
            )
        for each in tuple(containers.values()):
            if isinstance(each.state, Starting):
                containers[each.name] = begin(each, now, has_startup=False, has_readiness=False)
            elif isinstance(each.state, Running) and (each.kind != "sidecar" or each.name in decision.stop):
                containers[each.name] = end(each, exited(0, now), FAITHFUL)
            elif isinstance(each.state, Running):
                containers[each.name] = replace(each, is_started=True)
            elif isinstance(each.state, Waiting) and each.state.is_blocked:
                containers[each.name] = replace(each, state=Waiting())
        now = max(now, decision.wake_at if decision.wake_at is not None else now) + 1
    else:
        raise AssertionError(f"no rest: {containers}")


POD: dict[str, Any] = {
    "metadata": {"uid": "u", "generation": 2},
    "spec": {"containers": [{"name": "m", "image": "i"}], "initContainers": [{"name": "i", "image": "i"}]},
}


def status(
    *containers: Container, pod: dict[str, Any] = POD, is_over: bool = False, is_ending: bool = False
) -> Any:
    pod = pod | {
        "spec": pod["spec"]
        | {
            "initContainers": [
                e for e in pod["spec"]["initContainers"] if e["name"] in {c.name for c in containers}
            ]
        }
    }
    return make_status(pod, containers, Facts(0.0, "h", "127.20.128.1", is_over, is_ending), 1000.0)


def conditions(shown: Any) -> dict[str, str]:
    return {
        each["type"]: each["status"] + (f" {each['reason']}" if "reason" in each else "")
        for each in shown["conditions"]
    }


def test_status_of_a_ready_pod() -> None:
    """Phase Running, all four conditions True, addresses and times as the API writes them."""
    ready = begin(prepare(Container("m", "main")), 5.0, has_startup=False, has_readiness=False)
    shown = status(ready)
    assert (shown["phase"], shown["podIP"], shown["startTime"]) == (
        "Running",
        "127.20.128.1",
        "1970-01-01T00:00:00Z",
    )
    assert conditions(shown) == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"), "True"
    )
    (container,) = shown["containerStatuses"]
    assert container["state"] == {"running": {"startedAt": "1970-01-01T00:00:05Z"}}
    assert (container["ready"], container["started"], container["restartCount"], container["lastState"]) == (
        True,
        True,
        0,
        {},
    )


def test_status_of_a_pod_that_crashes() -> None:
    """The exit is the last state, the wait the state, and the pod stays Running without being ready."""
    once = end(
        begin(prepare(Container("m", "main")), 5.0, has_startup=False, has_readiness=False),
        exited(1),
        FAITHFUL,
    )
    twice = end(begin(prepare(once), 110.0, has_startup=False, has_readiness=False), exited(2, 120), FAITHFUL)
    shown = status(wait(twice, Waiting("CrashLoopBackOff", "back-off")))
    (container,) = shown["containerStatuses"]
    assert (shown["phase"], container["restartCount"], container["ready"]) == ("Running", 1, False)
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert container["lastState"]["terminated"]["exitCode"] == 2
    assert conditions(shown)["Ready"] == "False ContainersNotReady"
    before = status(once)["containerStatuses"][0]
    assert before["state"]["terminated"]["containerID"] == before["containerID"]
    assert before["containerID"] != container["containerID"]


def test_status_while_init_containers_run() -> None:
    """Pending, with main containers in PodInitializing, until the last init container has ended well."""
    init = begin(prepare(Container("i", "init")), 5.0, has_startup=False, has_readiness=False)
    shown = status(init, Container("m", "main"))
    assert (shown["phase"], conditions(shown)["Initialized"]) == ("Pending", "False ContainersNotInitialized")
    assert shown["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    done = status(end(init, exited(0), FAITHFUL), Container("m", "main"))
    assert conditions(done)["Initialized"] == "True"
    assert done["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


@pytest.mark.parametrize(
    ("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")]
)
def test_status_of_a_pod_that_is_over(code: int, phase: str, reason: str) -> None:
    """The phase follows from the exit codes, and the conditions say so."""
    begun = begin(prepare(Container("m", "main")), 5.0, has_startup=False, has_readiness=False)
    shown = status(end(begun, exited(code), FAITHFUL), is_over=True)
    assert (shown["phase"], conditions(shown)["Ready"]) == (phase, f"False {reason}")


def test_conditions_keep_their_time_and_foreign_ones_stay() -> None:
    """A condition's time changes with its status alone; PodScheduled and readiness gates are others' business."""
    ready = begin(prepare(Container("m", "main")), 5.0, has_startup=False, has_readiness=False)
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "x"}
    gate = {"type": "gate", "status": "False"}
    ready_before = {"type": "Ready", "status": "False", "lastTransitionTime": "long ago"}
    sandbox = {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "long ago"}
    pod = POD | {"status": {"conditions": [scheduled, gate, ready_before, sandbox]}}
    gated = pod | {"spec": POD["spec"] | {"readinessGates": [{"conditionType": "gate"}]}}
    by_type = {each["type"]: each for each in status(ready, pod=pod)["conditions"]}
    assert by_type["PodScheduled"] == scheduled
    assert by_type["PodReadyToStartContainers"]["lastTransitionTime"] == "long ago"
    assert by_type["Ready"]["lastTransitionTime"] == "1970-01-01T00:16:40Z"
    assert conditions(status(ready, pod=gated))["Ready"] == "False ReadinessGatesNotReady"


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], qos: str) -> None:
    """From requests and limits, as the scheduler and `kubectl describe` show it."""
    pod = POD | {
        "spec": {"containers": [{"name": "m", "image": "i", "resources": resources}], "initContainers": []}
    }
    assert status(Container("m", "main"), pod=pod)["qosClass"] == qos
