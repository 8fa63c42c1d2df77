"""Deletion: grace, finalizers, namespaces."""

from __future__ import annotations

import copy

import pytest
from registry_objects import DEPLOYMENTS, NOW_TEXT, Clock, deployment, pod

from simcluster.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from simcluster.registry import Registry


def test_a_pod_that_no_node_has_goes_at_once(registry: Registry) -> None:
    """As does one that has ended."""
    registry.create("pods", "default", pod("unbound"))
    registry.create("pods", "default", pod("ended"))
    registry.bind("default", "ended", "n1")
    registry.patch(
        "pods", "default", "ended", {"status": {"phase": "Succeeded"}}, "merge", subresource="status"
    )
    for name in ("unbound", "ended"):
        registry.delete("pods", "default", name)

    assert registry.list("pods")[0] == []


def test_a_running_pod_is_given_its_grace_and_no_second_deletion_lengthens_it(
    registry: Registry, clock: Clock
) -> None:
    """From 30 s to 5 s to none, and never back."""
    registry.create("pods", "default", pod())
    registry.bind("default", "p", "n1")
    told = []
    for later_s, grace_s in ((0, None), (1, 60), (1, None), (1, 5), (1, 20), (1, 0)):
        clock.now += later_s
        metadata = registry.delete("pods", "default", "p", grace_s=grace_s)["metadata"]
        told.append((metadata["deletionGracePeriodSeconds"], metadata["deletionTimestamp"][-3:-1]))

    assert told == [(30, "30"), (30, "30"), (30, "30"), (5, "05"), (5, "05"), (0, "00")]
    with pytest.raises(NotFound):
        registry.get("pods", "default", "p")


def test_a_negative_grace_is_one_second(registry: Registry) -> None:
    """As on a real server."""
    registry.create("pods", "default", pod())
    registry.bind("default", "p", "n1")

    assert registry.delete("pods", "default", "p", grace_s=-1)["metadata"]["deletionGracePeriodSeconds"] == 1


def test_a_finalizer_holds_an_object_until_it_is_taken_off(registry: Registry) -> None:
    """It carries a deletionTimestamp meanwhile, takes no new finalizers, and goes with the last one."""
    sent = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    registry.create("configmaps", "default", sent)
    held = registry.delete("configmaps", "default", "c")

    assert held["metadata"]["deletionTimestamp"] == NOW_TEXT
    patch = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    with pytest.raises(Invalid) as caught:
        registry.patch("configmaps", "default", "c", patch, "merge")
    assert caught.value.causes[0].message == (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        '[]string{"example.com/more"}'
    )
    registry.patch("configmaps", "default", "c", {"metadata": {"finalizers": None}}, "merge")
    with pytest.raises(NotFound):
        registry.get("configmaps", "default", "c")


@pytest.mark.parametrize(
    ("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
def test_propagation_is_kept_for_the_garbage_collector(
    registry: Registry, propagation: str, finalizer: str
) -> None:
    """As the finalizer that it works by; in the background there is none."""
    registry.create(DEPLOYMENTS, "default", deployment())
    held = registry.delete(DEPLOYMENTS, "default", "d", propagation=propagation)

    assert held["metadata"]["finalizers"] == [finalizer]
    registry.delete(DEPLOYMENTS, "default", "d", propagation="Background")
    with pytest.raises(NotFound):
        registry.get(DEPLOYMENTS, "default", "d")


def test_a_deletion_of_another_object_of_that_name_is_a_conflict(registry: Registry) -> None:
    """By uid and by revision, with the real texts; with the right ones it goes."""
    made = registry.create(
        "services", "default", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
    )
    with pytest.raises(Conflict) as by_uid:
        registry.delete("services", "default", "s", uid="x")
    with pytest.raises(Conflict, match="the ResourceVersion in the precondition"):
        registry.delete("services", "default", "s", resource_version="1")

    assert by_uid.value.message == (
        f'Operation cannot be fulfilled on Service "s": the UID in the precondition (x) does not match the UID in '
        f"record ({made['metadata']['uid']}). The object might have been deleted and then recreated"
    )
    registry.delete("services", "default", "s", uid=made["metadata"]["uid"])


def test_a_namespace_terminates_until_it_is_finalized(registry: Registry) -> None:
    """Meanwhile nothing is created in it, with the real text and cause; nothing else is lost."""
    registry.create("namespaces", None, {"metadata": {"name": "doomed"}})
    terminating = registry.delete("namespaces", None, "doomed")
    assert (terminating["status"]["phase"], terminating["spec"]["finalizers"]) == (
        "Terminating",
        ["kubernetes"],
    )

    with pytest.raises(Forbidden) as caught:
        registry.create("pods", "doomed", pod())
    assert caught.value.message == (
        'pods "p" is forbidden: unable to create new content in namespace doomed because it is being terminated'
    )
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"

    finalized = copy.deepcopy(terminating)
    finalized["spec"]["finalizers"] = []
    registry.update("namespaces", None, "doomed", finalized, subresource="finalize")
    with pytest.raises(NotFound):
        registry.get("namespaces", None, "doomed")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_cannot_be_deleted(registry: Registry, name: str) -> None:
    """Whether they are there or not, dry or not; the real text."""
    for dry_run in (True, False):
        with pytest.raises(Forbidden) as caught:
            registry.delete("namespaces", None, name, dry_run=dry_run)
        said = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        assert caught.value.message == said


def test_a_namespace_that_ends_is_deleted_again_with_another_propagation(registry: Registry) -> None:
    """The second request is taken, too: it may only add what else is to be waited for."""
    registry.create("namespaces", None, {"metadata": {"name": "ending"}})
    registry.delete("namespaces", None, "ending")

    marked = registry.delete("namespaces", None, "ending", propagation="Orphan")

    assert "orphan" in marked["metadata"]["finalizers"]
    assert "deletionGracePeriodSeconds" not in marked["metadata"]
