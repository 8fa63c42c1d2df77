"""Watching EndpointSlices: each scale of failure, over HTTP, against an API that fails on demand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_grpc.backoff import Backoff
from kube_grpc.watch import Pace, Watch

QUICK = Backoff(first_s=0.01, most_s=0.05)
Start = Callable[..., Watch]


def test_changes_are_reported_as_they_happen(api: Any, recorder: Any, start: Start) -> None:
    """The list first, then every change, each time as the whole set over all slices; other Services play no
    part.
    """
    api.put("a", "10.0.0.1")
    api.put("x", "10.0.0.9", service="other")
    start()
    recorder.wait_for_addresses("10.0.0.1")
    recorder.wait_until(lambda: recorder.worked)

    api.put("b", "10.0.0.2", "10.0.0.3")
    recorder.wait_for_addresses("10.0.0.1", "10.0.0.2", "10.0.0.3")
    api.put("b", "10.0.0.3")
    recorder.wait_for_addresses("10.0.0.1", "10.0.0.3")

    assert (api.count("list"), api.count("watch"), recorder.errors) == (1, 1, [])


def test_a_deleted_service_keeps_its_addresses(api: Any, recorder: Any, start: Start) -> None:
    """All slices deleted: the addresses stay, as orphaned."""
    api.put("a", "10.0.0.1")
    api.put("b", "10.0.0.2")
    start()
    recorder.wait_for_addresses("10.0.0.1", "10.0.0.2")

    api.delete("a")
    api.delete("b")

    recorder.wait_until(lambda: recorder.sets[-1].slices == 0)
    assert [(item.address, item.orphaned) for item in recorder.sets[-1].endpoints] == [
        ("10.0.0.1", True),
        ("10.0.0.2", True),
    ]


def test_a_cut_connection_is_resumed_where_it_broke_off(api: Any, recorder: Any, start: Start) -> None:
    """No second list, no error: the watch goes on from the last revision, and misses nothing."""
    api.put("a", "10.0.0.1")
    start()
    api.wait_until(lambda: api.watching == 1)
    api.put("a", "10.0.0.2")
    recorder.wait_for_addresses("10.0.0.2")

    api.cut()
    api.put("a", "10.0.0.3")

    recorder.wait_for_addresses("10.0.0.3")
    assert [str(item) for item in recorder.errors] == []
    assert api.count("list") == 1
    assert api.requests[-1][1]["resourceVersion"] == "102"


def test_a_watch_that_is_ended_by_the_server_is_opened_again(api: Any, recorder: Any, start: Start) -> None:
    """The server's own time-out is no failure: one watch follows the other."""
    api.put("a", "10.0.0.1")
    start(Pace(connection_s=1, shortest_s=0.1, backoff=QUICK))

    api.wait_until(lambda: api.count("watch") >= 3)

    assert [str(item) for item in recorder.errors] == []
    assert api.count("list") == 1


def test_a_bookmark_moves_the_revision(api: Any, recorder: Any, start: Start) -> None:
    """After a bookmark the watch is resumed from there, and the set is not reported again."""
    api.put("a", "10.0.0.1")
    api.bookmark_at = 500
    start()
    api.wait_until(lambda: api.watching == 1)

    api.cut()

    api.wait_until(lambda: api.count("watch") == 2)
    assert api.requests[-1][1]["resourceVersion"] == "500"
    assert len(recorder.sets) == 1


@pytest.mark.parametrize("as_status", [True, False])
def test_an_expired_revision_leads_to_a_new_list(
    as_status: bool, api: Any, recorder: Any, start: Start
) -> None:
    """410, as an HTTP status or in the stream, is answered by listing at once, and is not an error."""
    api.put("a", "10.0.0.1")
    start()
    api.wait_until(lambda: api.watching == 1)

    with api.changed:
        api.put("a", "10.0.0.2")
        api.compact()
        api.cut()
        if as_status:
            api.refuse_with["watch"] = 410
    recorder.wait_for_addresses("10.0.0.2")
    api.wait_until(lambda: api.count("list") >= 2)
    api.refuse_with.clear()

    api.wait_until(lambda: api.watching == 1)
    assert [error.kind for error in recorder.errors if error.kind != "expired"] == []


def test_an_api_that_goes_away_and_comes_back(api: Any, recorder: Any, start: Start) -> None:
    """Errors are reported, what was found is not taken back, and the first answer afterwards is a list."""
    api.put("a", "10.0.0.1")
    start()
    api.wait_until(lambda: api.watching == 1)

    api.refuse_with.update(list=503, watch=503)
    api.cut()
    recorder.wait_until(lambda: len(recorder.errors) >= 3)
    assert [item.address for item in recorder.sets[-1].endpoints] == ["10.0.0.1"]
    api.refuse_with.clear()
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert {error.kind for error in recorder.errors} == {"answer"}
    assert str(recorder.errors[0]) == (
        f"watch of EndpointSlices of Service greeter in namespace shop: {api.url} answered 503: it broke"
    )


def test_nobody_listens_at_the_apis_address(api: Any, recorder: Any, start: Start) -> None:
    """The error says what was asked, where, why it failed and what to do."""
    api.stop()
    start()

    recorder.wait_until(lambda: recorder.errors)

    assert recorder.errors[0].kind == "unreachable"
    assert str(recorder.errors[0]).splitlines() == [
        "list of EndpointSlices of Service greeter in namespace shop: "
        f"no answer from {api.url}: [Errno 111] Connection refused",
        "  do: nothing if the API server is being restarted; else check that it can be reached from here",
    ]


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_permission(verb: str, api: Any, recorder: Any, start: Start) -> None:
    """A 403 names the permission, the service account as the server says it and the Role to apply; trying
    goes on.
    """
    api.put("a", "10.0.0.1")
    api.refuse_with[verb] = 403
    start()
    recorder.wait_until(lambda: len(recorder.errors) >= 2)

    error = recorder.errors[-1]
    who = "system:serviceaccount:web:client"
    assert error.kind == "forbidden"
    assert str(error).splitlines() == [
        f'{who} may not {verb} endpointslices (API group "discovery.k8s.io") in namespace "shop" (403): '
        f'endpointslices.discovery.k8s.io is forbidden: User "{who}" cannot {verb} resource "endpointslices" in API '
        'group "discovery.k8s.io" in the namespace "shop"',
        f"  needed: verbs list and watch, by a Role in that namespace and a RoleBinding to {who}",
        "  do: apply the Role below, or print it by: python -m kube_grpc rbac greeter.shop",
    ]
    role, binding = yaml.safe_load_all(error.remedy)
    assert role["rules"][0]["verbs"] == ["list", "watch"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "client", "namespace": "web"}]

    api.refuse_with.clear()
    recorder.wait_until(lambda: recorder.worked)
    recorder.wait_for_addresses("10.0.0.1")


def test_a_rotated_token(api: Any, recorder: Any, start: Start, kubeconfig: Path) -> None:
    """When the token is no longer accepted, the file is read again, and nobody is bothered."""
    api.accepted_token = "first"
    api.put("a", "10.0.0.1")
    start()
    api.wait_until(lambda: api.watching == 1)

    kubeconfig.with_name("token").write_text("second")
    api.accepted_token = "second"
    api.cut()
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert recorder.errors == []


def test_a_token_that_is_not_accepted(api: Any, recorder: Any, start: Start) -> None:
    """A 401 that a fresh read of the credentials does not mend says so, without the token."""
    api.accepted_token = "another"
    start()
    recorder.wait_until(lambda: recorder.errors)

    assert recorder.errors[0].kind == "unauthorized"
    assert str(recorder.errors[0]).splitlines() == [
        f"list of EndpointSlices of Service greeter in namespace shop: {api.url} does not accept the credentials "
        "(401): Unauthorized",
        "  do: renew the token or certificate that this process uses; it is read again before each attempt",
    ]


def test_a_watch_that_ends_at_once_again_and_again(api: Any, recorder: Any, start: Start) -> None:
    """A server (or proxy) that ends each watch immediately is reported and not hammered."""
    api.put("a", "10.0.0.1")
    start(Pace(connection_s=1, shortest_s=5.0, backoff=QUICK))

    recorder.wait_until(lambda: recorder.errors)

    assert str(recorder.errors[0]).startswith("the API server ended a watch after ")


def test_a_revision_that_is_expired_as_soon_as_it_is_listed(api: Any, recorder: Any, start: Start) -> None:
    """An API server that opens each watch only to say 410 is asked again after pauses that grow: the first time at
    once, and then once for each failure that is reported.
    """
    api.put("a", "10.0.0.1")
    api.oldest = api.revision + 1_000
    start(Pace(backoff=Backoff(first_s=0.05, most_s=3600.0)))

    recorder.wait_until(lambda: len(recorder.errors) >= 4)

    assert {error.kind for error in recorder.errors} == {"expired"}
    assert api.count("list") <= len(recorder.errors) + 2


def test_pauses_grow_while_each_watch_ends_at_once(api: Any, recorder: Any, start: Start) -> None:
    """That a watch was opened is not yet a success: after so many that brought nothing the pause is long."""
    watch = start(Pace(connection_s=1, shortest_s=5.0, backoff=Backoff(first_s=0.01, most_s=3600.0)))

    recorder.wait_until(lambda: len(recorder.errors) >= 3)

    assert watch._failures >= 3


def test_a_watch_that_stood_ends_the_count_of_failures(api: Any, recorder: Any, start: Start) -> None:
    """After failures, one that brought an event starts the pauses anew."""
    api.refuse_with.update(list=503)
    watch = start()
    recorder.wait_until(lambda: len(recorder.errors) >= 3)
    api.refuse_with.clear()
    api.wait_until(lambda: api.watching == 1)

    api.put("a", "10.0.0.1")
    recorder.wait_for_addresses("10.0.0.1")
    watch.doubt(float("inf"))  # Cut, so that it is over.
    api.wait_until(lambda: api.count("watch") >= 2)

    assert watch._failures == 0


def test_an_answer_that_is_not_a_list(api: Any, recorder: Any, start: Start, monkeypatch: Any) -> None:
    """Something else that answers at the API server's address (a proxy's page in JSON, say) is named as such."""
    monkeypatch.setattr(api, "_list", lambda _query: {"kind": "Login"})
    start()
    recorder.wait_until(lambda: recorder.errors)

    assert recorder.errors[0].kind == "answer"
    assert str(recorder.errors[0]).endswith(
        f"""{api.url} answered something that is not a list: b'{{"kind": "Login"}}'"""
    )


def test_a_defect_does_not_end_the_watch(api: Any, recorder: Any, start: Start, caplog: Any) -> None:
    """An object that no API server would send is reported as unforeseen, and the watch goes on."""
    api.put("a", "10.0.0.1")
    start()
    api.wait_until(lambda: api.watching == 1)

    with api.changed:
        api.history.append(
            (api.revision + 1, {"type": "ADDED", "object": {"metadata": {"resourceVersion": "x"}}})
        )
        api.changed.notify_all()
    recorder.wait_until(lambda: recorder.errors)
    with api.changed:
        api.history.pop()
    api.put("a", "10.0.0.2")

    recorder.wait_for_addresses("10.0.0.2")
    assert recorder.errors[0].kind == "unforeseen"
    assert str(recorder.errors[0]) == "unforeseen KeyError: 'name'"


def test_stopping_in_the_middle_of_a_silent_watch(api: Any, start: Start) -> None:
    """`stop` ends a watch of an hour that waits for events at once (the fixture joins the thread)."""
    api.put("a", "10.0.0.1")
    watch = start(Pace(connection_s=3600))
    api.wait_until(lambda: api.watching == 1)

    watch.stop()


def test_stopping_in_the_middle_of_a_back_off(api: Any, recorder: Any, start: Start) -> None:
    """`stop` ends a wait of an hour at once (the fixture joins the thread)."""
    api.refuse_with.update(list=500)
    watch = start(Pace(backoff=Backoff(first_s=3600.0, most_s=3600.0)))
    recorder.wait_until(lambda: recorder.errors)

    watch.stop()


def test_a_back_off_in_a_hurry(api: Any, recorder: Any, start: Start) -> None:
    """Where calls find nobody, a wait of an hour becomes a short one."""
    api.refuse_with.update(list=500)
    watch = start(Pace(backoff=Backoff(first_s=3600.0, most_s=3600.0), hurry_s=0.1))
    recorder.wait_until(lambda: recorder.errors)
    api.refuse_with.clear()
    api.put("a", "10.0.0.1")

    watch.hurry()

    recorder.wait_for_addresses("10.0.0.1")
