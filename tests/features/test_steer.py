"""Orders to a job and its tasks."""

from __future__ import annotations

import json

import pytest

import oqkit
from tests.local import WAIT_S, work_off


@oqkit.task(retries=0)
def inverse(x):
    return 1 / x


def mended(x):
    return 0 if x == 0 else 1 / x


def test_cancelled_tasks_do_not_run(queue, oq):
    job = queue.map(inverse, [1, 2, 4], name="nightly")
    assert job.cancel([1], reason="not this one") == 1
    queue.get(f"{job.id}.0").cancel()
    queue.get(f"{job.id}.0").cancel()  # twice is fine
    assert oq("cancel", "nightly") == "cancelled 1\n"
    assert oq("cancel", "nightly") == "cancelled 0\n"
    work_off(queue, inverse)
    assert job.counts()["cancelled"] == 3
    assert job.tasks()["attempt"].tolist() == [0, 0, 0]
    assert queue.history(f"{job.id}.1")["note"].tolist()[-1] == "not this one"


def test_history_tells_who_gave_which_order_and_why(queue, oq):
    job = queue.map(inverse, [1, 2], name="nightly")
    oq("pause", "nightly", "--reason", "look first", "--by", "ana@lab")
    job.cancel(reason="typing mistake", by="ben@lab")
    job.retry("cancelled", by="cy@lab")
    job.resume(by="dee@lab")
    work_off(queue, inverse)
    told = queue.history(f"{job.id}.1")
    orders = told[told["by"] != ""]
    assert orders["by"].tolist() == ["ana@lab", "ben@lab", "cy@lab", "dee@lab"]
    assert orders["note"].tolist() == ["paused: look first", "typing mistake", "", "resumed"]
    assert [step["by"] for step in json.loads(oq("history", f"{job.id}.1", "--json"))] == told["by"].tolist()


def test_task_that_has_ended_cannot_be_cancelled(queue):
    task = queue.submit(inverse, 1)
    work_off(queue, inverse)
    with pytest.raises(oqkit.IllegalTransition):
        task.cancel()
    assert task.result(WAIT_S) == 1.0


def test_failed_tasks_run_again_with_a_corrected_function(queue, oq):
    job = queue.map(inverse, [1, 0], name="nightly")
    work_off(queue, inverse)
    assert oq("retry", "nightly") == "running 1 again\n"
    work_off(queue, inverse)
    assert job.counts()["failed"] == 1  # the same error
    assert job.retry(fn=mended) == 1
    work_off(queue)
    assert job.result(WAIT_S)["inverse"].tolist() == [1.0, 0.0]


def test_paused_job_waits_until_it_is_resumed(queue, start, oq):
    job = queue.map(inverse, [1, 2], name="nightly")
    assert oq("pause", "nightly") == "paused; `oq resume nightly` goes on\n"
    start(inverse, queue=queue)
    queue.map(inverse, [4], priority=1).wait(WAIT_S)  # it would have come after the other one
    assert job.counts()["pending"] == 2
    assert oq("resume", "nightly") == "resumed\n"
    assert job.wait(WAIT_S).counts()["completed"] == 2
    with pytest.raises(oqkit.UsageError, match="has ended"):
        job.pause()


def test_pause_ends_by_itself_when_it_is_told_to(queue, start):
    job = queue.map(inverse, [1])
    job.pause(reason="for a moment", resume_after=0.3)
    start(inverse, queue=queue)
    assert job.result(WAIT_S)["inverse"].tolist() == [1.0]


def test_single_task_has_the_verbs_of_a_job(queue):
    task = queue.submit(inverse, 2)
    task.reprioritize(7)
    task.tag(team="risk")
    task.pause("look first")
    assert "look first" in task.why()
    assert (task.counts()["pending"], task.tags, queue.get(task.id).options.priority) == (1, {"team": "risk"}, 7)
    task.resume()
    work_off(queue, inverse)
    assert (task.result(WAIT_S), task.counts()["completed"], task.why()) == (0.5, 1, "")
