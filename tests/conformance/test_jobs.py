"""Jobs, on pods whose end their case writes."""

import pytest
from rig.objects import container, nowhere


def make(room, name, policy="Never", **spec):
    """A Job of pods nowhere."""
    pods = nowhere({"spec": {"restartPolicy": policy, "containers": [container("a:1")]}})
    return room.make(
        "jobs",
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"template": pods} | spec,
        },
    )


def pods(room, name, number):
    """The pods of a Job that have not ended, once there are so many."""

    def find(items):
        open_ = [
            each
            for each in items
            if each["status"]["phase"] in ("Pending", "Running")
            and "deletionTimestamp" not in each["metadata"]
        ]
        return len(open_) == number and (open_ or [None])

    return room.until_all("pods", find, labelSelector=f"batch.kubernetes.io/job-name={name}")


def end(room, pod, phase="Succeeded"):
    """Write that a pod has ended."""
    assert room.patch("pods", pod["metadata"]["name"], "merge", {"status": {"phase": phase}}, "status").ok


def until(room, name, condition):
    """Wait until a Job has a condition; the condition."""

    def find(each):
        found = {one["type"]: one for one in each["status"].get("conditions", []) if one["status"] == "True"}
        return condition in found and (found, each)

    found, job = room.until("jobs", name, find)
    return found[condition], job


def test_a_job_that_is_done(pod_room, name):
    """A Job whose pod succeeds is complete."""
    make(pod_room, name)
    end(pod_room, *pods(pod_room, name, 1))
    condition, job = until(pod_room, name, "Complete")
    assert (condition["reason"], condition["message"]) == (
        "CompletionsReached",
        "Reached expected number of succeeded pods",
    )
    assert job["status"]["succeeded"] == 1
    assert {"startTime", "completionTime"} <= set(job["status"])
    assert job["status"]["uncountedTerminatedPods"] == {}


def test_success_comes_before_completion(pod_room, name):
    """A complete Job has met its criteria, too."""
    make(pod_room, name)
    end(pod_room, *pods(pod_room, name, 1))
    _, job = until(pod_room, name, "Complete")
    assert [each["type"] for each in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


def test_labels_of_a_job(pod_room, name):
    """A Job chooses its pods by its own uid."""
    made = make(pod_room, name)
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    (found,) = pods(pod_room, name, 1)
    assert found["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }


def test_a_pod_is_held_until_it_is_counted(pod_room, name):
    """A Job's pod carries a finalizer until it has been counted."""
    make(pod_room, name)
    (found,) = pods(pod_room, name, 1)
    assert found["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    end(pod_room, found)
    pod_room.until("pods", found["metadata"]["name"], lambda each: "finalizers" not in each["metadata"])


def test_parallelism(pod_room, name):
    """At most so many pods are there at a time, until enough have succeeded."""
    make(pod_room, name, parallelism=2, completions=3)
    first, second = pods(pod_room, name, 2)
    pod_room.until("jobs", name, lambda each: each["status"].get("active") == 2)
    end(pod_room, first)
    end(pod_room, second)
    end(pod_room, *pods(pod_room, name, 1))
    _, job = until(pod_room, name, "Complete")
    assert job["status"]["succeeded"] == 3


def test_a_failed_pod_is_tried_again(pod_room, name):
    """A pod that fails is followed by another."""
    make(pod_room, name)
    (first,) = pods(pod_room, name, 1)
    end(pod_room, first, "Failed")
    pod_room.until("jobs", name, lambda each: each["status"].get("failed") == 1)
    (second,) = pods(pod_room, name, 1)
    end(pod_room, second)
    _, job = until(pod_room, name, "Complete")
    assert (job["status"]["succeeded"], job["status"]["failed"]) == (1, 1)


def test_no_more_tries(pod_room, name):
    """After backoffLimit failures a Job has failed."""
    make(pod_room, name, backoffLimit=0)
    end(pod_room, *pods(pod_room, name, 1), "Failed")
    condition, job = until(pod_room, name, "Failed")
    assert (condition["reason"], condition["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert [each["type"] for each in job["status"]["conditions"]] == ["FailureTarget", "Failed"]


def test_a_deadline(pod_room, name):
    """A Job that takes too long has failed, and its pods go."""
    make(pod_room, name, activeDeadlineSeconds=1)
    condition, _ = until(pod_room, name, "Failed")
    assert (condition["reason"], condition["message"]) == (
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    )
    pods(pod_room, name, 0)


def test_a_suspended_job(pod_room, name):
    """A suspended Job makes no pods, and says so; resumed, it does."""
    make(pod_room, name, suspend=True)
    condition, job = until(pod_room, name, "Suspended")
    assert (condition["reason"], condition["message"]) == ("JobSuspended", "Job suspended")
    assert "startTime" not in job["status"]
    pod_room.patch("jobs", name, "merge", {"spec": {"suspend": False}})
    pods(pod_room, name, 1)
    found = pod_room.until(
        "jobs",
        name,
        lambda each: [one for one in each["status"].get("conditions", []) if one["reason"] == "JobResumed"],
    )
    assert found[0]["status"] == "False"


def test_suspending_deletes_pods(pod_room, name):
    """A Job that is suspended deletes its pods."""
    make(pod_room, name)
    pods(pod_room, name, 1)
    pod_room.patch("jobs", name, "merge", {"spec": {"suspend": True}})
    pods(pod_room, name, 0)
    until(pod_room, name, "Suspended")


def test_indexed_jobs(pod_room, name):
    """The pods of an Indexed Job have numbers: in an annotation, a label, the host name and a variable."""
    make(pod_room, name, completionMode="Indexed", completions=2, parallelism=2)
    found = sorted(
        pods(pod_room, name, 2),
        key=lambda each: each["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"],
    )
    assert [each["spec"]["hostname"] for each in found] == [f"{name}-0", f"{name}-1"]
    assert [each["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for each in found] == [
        "0",
        "1",
    ]
    assert found[0]["metadata"]["generateName"] == f"{name}-0-"
    (variable,) = found[0]["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert (
        variable["valueFrom"]["fieldRef"]["fieldPath"]
        == "metadata.labels['batch.kubernetes.io/job-completion-index']"
    )
    for each in found:
        end(pod_room, each)
    _, job = until(pod_room, name, "Complete")
    assert job["status"]["completedIndexes"] == "0,1"


def test_it_is_deleted_after_a_while(pod_room, name):
    """A Job that is done goes by itself after ttlSecondsAfterFinished."""
    make(pod_room, name, ttlSecondsAfterFinished=1)
    end(pod_room, *pods(pod_room, name, 1))
    until(pod_room, name, "Complete")
    pod_room.until_gone("jobs", name)


@pytest.mark.parametrize(("spec", "cause"), [
    ({"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}},
     ("spec.template.spec.restartPolicy", "FieldValueRequired", 'Required value: valid values: "OnFailure", "Never"')),
    ({"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "a", "image": "a"}]}}},
     ("spec.template.spec.restartPolicy", "FieldValueRequired", 'Required value: valid values: "OnFailure", "Never"')),
    ({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}, "parallelism": -1},
     ("spec.parallelism", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")),
], ids=["no-policy", "always", "parallelism"])  # fmt: skip
def test_invalid_jobs(pod_room, name, spec, cause):
    """What a Job can not be."""
    answer = pod_room.create("jobs", {"metadata": {"name": name}, "spec": spec})
    assert answer.error[:2] == (422, "Invalid")
    assert cause in [(field, reason, text) for field, reason, text in answer.causes]


def test_the_template_is_for_good(pod_room, name):
    """A Job's template can not be changed."""
    make(pod_room, name, suspend=True)
    answer = pod_room.patch(
        "jobs",
        name,
        "strategic",
        {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "a:2"}]}}}},
    )
    assert answer.error[:2] == (422, "Invalid")
    assert answer.error[2].endswith("field is immutable")


def test_a_job_that_works(pod_room, name):
    """A Job whose containers really run is done when they have."""
    body = {"spec": {"restartPolicy": "Never", "containers": [container(pod_room.image, "exit 0")]}}
    pod_room.make("jobs", {"metadata": {"name": name}, "spec": {"template": body}})
    _, job = until(pod_room, name, "Complete")
    assert job["status"]["succeeded"] == 1


def test_a_job_that_fails(pod_room, name):
    """A Job whose container ends with another code than 0 fails."""
    body = {"spec": {"restartPolicy": "Never", "containers": [container(pod_room.image, "exit 3")]}}
    pod_room.make("jobs", {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": body}})
    condition, _ = until(pod_room, name, "Failed")
    assert condition["reason"] == "BackoffLimitExceeded"


def test_a_policy_for_failures(pod_room, name):
    """A podFailurePolicy can end a Job at the first failure of a kind."""
    body = {"spec": {"restartPolicy": "Never", "containers": [container(pod_room.image, "exit 3")]}}
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]}
    pod_room.make(
        "jobs", {"metadata": {"name": name}, "spec": {"template": body, "podFailurePolicy": policy}}
    )
    condition, _ = until(pod_room, name, "Failed")
    assert condition["reason"] == "PodFailurePolicy"
    assert "exit code 3 matching FailJob rule at index 0" in condition["message"]


def test_events_of_a_job(pod_room, name):
    """A Job tells what it does."""
    make(pod_room, name)
    (found,) = pods(pod_room, name, 1)
    end(pod_room, found)

    def find(items):
        said = [(each["reason"], each["message"]) for each in items if each["involvedObject"]["name"] == name]
        return len(said) == 2 and said

    assert sorted(pod_room.until_all("events", find)) == [
        ("Completed", "Job completed"), ("SuccessfulCreate", f"Created pod: {found['metadata']['name']}"),
    ]  # fmt: skip
