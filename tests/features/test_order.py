"""One order to all jobs of a task type, or with some tags."""

from __future__ import annotations

import json
import logging
import pickle

import pytest

import oqkit
from oqkit.queue import key as keys
from tests.local import WAIT_S, keys_in, work_off


@oqkit.task(retries=0)
def inverse(x):
    return 1 / x


@pytest.fixture
def jobs(queue):
    """Two jobs of one type and one of another, with tags; all open."""
    return {
        "risk": queue.map(inverse, [1, 0, 4], name="risk", tags={"team": "risk", "run": "1"}),
        "sales": queue.map(inverse, [0], name="sales", tags={"team": "sales", "run": "1"}),
        "other": queue.map("other", [1, 2], name="other", tags={"team": "risk", "run": "2"}),
    }


def statuses(jobs):
    return {name: job.status for name, job in jobs.items()}


def test_all_open_jobs_of_a_type_are_cancelled_and_no_other(queue, jobs):
    assert queue.cancel(type="inverse", reason="wrong prices", by="ann@desk") == 4
    assert statuses(jobs) == {"risk": "cancelled", "sales": "cancelled", "other": "pending"}
    last = queue.history(f"{jobs['sales'].id}.0").iloc[-1]
    assert (last["status"], last["note"], last["by"]) == ("cancelled", "wrong prices", "ann@desk")


def test_cancelling_twice_is_fine(queue, jobs):
    """[V] the original raised the second time."""
    assert (queue.cancel(type="inverse"), queue.cancel(type="inverse")) == (4, 0)
    assert (queue.cancel("other"), queue.cancel(jobs["other"])) == (2, 0)


def test_jobs_with_tags_are_cancelled_if_they_have_all_of_them(queue, jobs):
    assert queue.cancel(tags={"team": "risk", "run": "2"}) == 2
    assert statuses(jobs) == {"risk": "pending", "sales": "pending", "other": "cancelled"}
    assert queue.cancel(type="other", tags={"team": "sales"}) == 0
    jobs["sales"].tag(team="risk")
    assert queue.cancel(type="inverse", tags={"team": "risk"}) == 4


def test_one_job_or_task_is_cancelled_by_handle_name_or_id(queue, jobs):
    risk = jobs["risk"]
    assert [queue.cancel(one) for one in (queue.get(f"{risk.id}.0"), f"{risk.id}.1", risk.id, "sales")] == [1, 1, 1, 1]
    assert statuses(jobs) == {"risk": "cancelled", "sales": "cancelled", "other": "pending"}


def test_original_1_22_e_cancelling_a_type_reads_no_job_of_another(queue):
    """[V] the original read every task of every type and status."""
    for number in range(20):
        queue.submit("crowd", number)
    mine = [queue.submit("mine", number) for number in range(3)]
    before = queue.storage.requests.snapshot()
    assert queue.cancel(type="mine") == 3
    requests = queue.storage.requests.snapshot() - before
    assert {task.status for task in mine} == {"cancelled"}
    assert requests["get"] <= 6 * 3
    assert requests["list"] <= 2 + 3 * 3


def test_failed_tasks_of_a_type_run_again(queue, jobs):
    work_off(queue, inverse)
    assert statuses(jobs) == {"risk": "failed", "sales": "failed", "other": "pending"}
    assert queue.retry(type="inverse", tags={"team": "sales"}) == 1
    assert jobs["sales"].counts()["pending"] == 1
    work_off(queue, inverse)  # the same error
    assert queue.retry(type="inverse", by="ann@desk") == 2
    assert queue.retry(type="inverse") == 0
    assert queue.history(f"{jobs['risk'].id}.1").iloc[-1]["by"] == "ann@desk"


def test_cancelled_tasks_with_tags_run_again(queue, jobs):
    queue.cancel(tags={"run": "2"})
    assert queue.retry(tags={"run": "2"}) == 0, "none has failed"
    assert queue.retry(where="cancelled", tags={"run": "2"}) == 2
    assert queue.retry(f"{jobs['risk'].id}.0", where="all") == 0
    work_off(queue, inverse)
    assert queue.retry("risk") == 1
    assert queue.retry(f"{jobs['sales'].id}.0") == 1


@pytest.mark.parametrize("verb", ("cancel", "retry"))
def test_an_order_to_nobody_or_to_everybody_is_refused(queue, jobs, verb):
    order = getattr(queue, verb)
    for given in ({}, {"tags": {}}):
        with pytest.raises(oqkit.UsageError, match=f"{verb} what\\? Give a job or task"):
            order(**given)
    with pytest.raises(oqkit.UsageError, match="give a job or task, or type= and tags=, not both"):
        order("risk", type="inverse")
    with pytest.raises(oqkit.UsageError, match="cannot be a task type"):
        order(type="no type")
    with pytest.raises(oqkit.UnknownJob):
        order("nobody")
    assert set(statuses(jobs).values()) == {"pending"}


@pytest.mark.parametrize("verb", ("cancel", "retry"))
def test_a_job_that_cannot_be_read_is_named_and_the_others_are_not_spared(queue, jobs, verb, caplog):
    """[V] the original dropped failures silently."""
    work_off(queue, inverse) if verb == "retry" else None
    key = next(key for key in keys_in(queue) if key == keys.job_key(jobs["risk"].id, 1))
    queue.storage.overwrite(key, b"{}")
    with caplog.at_level(logging.WARNING):
        assert getattr(queue, verb)(type="inverse") == 1
    assert f"job {jobs['risk'].id} is left alone: " in caplog.text


def test_original_1_22_d_an_order_says_which_jobs_it_concerned_and_which_it_did_not_reach(queue, jobs, oq):
    """[V] the original's cancel_many dropped failures silently."""
    queue.storage.overwrite(keys.job_key(jobs["risk"].id, 1), b"{}")
    found = queue.cancel(tags={"run": "1"})
    assert (found, found.jobs, list(found.failures)) == (1, (jobs["sales"].id,), [jobs["risk"].id])
    assert pickle.loads(pickle.dumps(found)).jobs == found.jobs
    told = json.loads(oq("cancel", "--tag", "run=1", "--json", code=1).partition("\n}")[0] + "}")
    assert (told["cancelled"], list(told["failures"])) == (0, [jobs["risk"].id])
    assert f"not so job {jobs['risk'].id}: " in oq("cancel", "--tag", "run=1", code=1)


def test_dry_run_counts_and_changes_nothing(queue, jobs, oq):
    assert queue.cancel(type="inverse", dry_run=True) == queue.cancel(tags={"run": "1"}, dry_run=True) == 4
    assert queue.cancel("risk", dry_run=True) == 3
    assert queue.cancel(f"{jobs['risk'].id}.0", dry_run=True) == 1
    assert oq("cancel", "--type", "inverse", "--dry-run") == "would cancel 4\n"
    assert set(statuses(jobs).values()) == {"pending"}
    queue.cancel(tags={"team": "risk"})
    assert queue.retry(tags={"team": "risk"}, where="cancelled", dry_run=True) == 5
    assert queue.retry("risk", where="cancelled", dry_run=True) == 3
    assert oq("retry", "--tag", "team=risk", "--dry-run") == "would run 0 again\n", "none has failed"
    assert statuses(jobs) == {"risk": "cancelled", "sales": "pending", "other": "cancelled"}


def test_command_line_gives_the_same_orders(queue, jobs, oq):
    assert (
        oq("cancel", "--type", "inverse", "--tag", "team=sales", "--reason", "late", "--by", "ann") == "cancelled 1\n"
    )
    assert json.loads(oq("cancel", "--tag", "run=2", "--json")) == {
        "cancelled": 2, "jobs": [jobs["other"].id], "failures": {},
    }  # fmt: skip
    work_off(queue, inverse)
    assert oq("retry", "--type", "inverse") == "running 1 again\n"
    assert oq("cancel", f"{jobs['risk'].id}.1") == "cancelled 1\n"
    assert "cancel what? Give a job or task" in oq("cancel", code=2)
    assert jobs["risk"].wait(WAIT_S).status == "cancelled"
