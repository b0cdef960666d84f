"""Handles are values: equal, hashable, picklable; what was submitted and what became of it can be read from them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle
from collections.abc import Callable

import pytest

import oqkit as oq
from tests.local import WAIT_S, until, work_off


@oq.task(retries=1, timeout="5m", backoff=0.01)
def doubled(x: float, y: float = 0.0) -> float:
    return 2 * x + y


@oq.task(retries=5, backoff=3600.0)
def flawed(x: int) -> None:
    raise ValueError(f"{x} is too much")


def later(left: list[int]) -> Callable[[int], int]:
    """Return a function that asks to be put back as often as `left` has entries."""

    @oq.task(name="later")
    def put_back(x: int) -> int:
        if left:
            left.pop()
            raise oq.Reschedule(0.0)
        return x

    return put_back


def test_handles_of_one_thing_are_equal_and_of_another_are_not(queue):
    task, other = queue.submit(doubled, {"x": 1.0}), queue.submit(doubled, {"x": 1.0})
    job = queue.map(doubled, [{"x": 1.0}, {"x": 2.0}])
    assert (task, job, task.job) == (queue.get(task.id), queue.job(job.id), queue.job(task.job.id))
    assert queue == type(queue)(queue.repository, queue.settings)
    assert task != other
    assert task != task.job != other.job
    assert queue.get(f"{job.id}.0") != queue.get(f"{job.id}.1")
    assert (
        len(
            {
                task,
                queue.get(task.id),
                other,
                job,
                queue.job(job.name),
                queue,
                oq.Queue(queue.repository, queue.settings),
            }
        )
        == 4
    )


def test_a_pickled_handle_is_the_same_task_elsewhere(queue, start):
    task, job = queue.submit(doubled, {"x": 1.0}), queue.map(doubled, [{"x": 1.0}])
    again = pickle.loads(pickle.dumps((task, job, queue)))
    assert again == (task, job, queue)
    start(doubled, queue=queue)
    assert again[0].result(WAIT_S) == 2.0
    assert list(again[1].result(WAIT_S)["doubled"]) == [2.0]
    with pytest.raises(oq.UnknownJob):
        again[2].get("0" * 18 + ".0")


def test_a_task_tells_what_was_submitted(queue):
    began = dt.datetime.now(dt.UTC)
    task = queue.submit(doubled, {"x": 1.0, "y": 2.0}, tags={"team": "risk"}, priority=7, ttl="1h")
    assert task.input == {"x": 1.0, "y": 2.0}
    assert task.tags == task.job.tags == {"team": "risk"}
    assert abs(task.created - began) < dt.timedelta(minutes=5)
    assert task.created == task.job.created
    assert task.created.tzinfo is dt.UTC
    options = task.options
    assert options == task.job.options
    assert (options.retries, options.timeout, options.priority, options.ttl) == (1, 300.0, 7, 3600.0)
    assert (options.backoff, options.tags, options.at) == (oq.Backoff(initial_s=0.01), {"team": "risk"}, None)
    at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    assert queue.submit(doubled, {"x": 1.0}, at=at).options.at == at


def test_every_option_can_be_read_back(queue):
    parent = queue.submit(doubled, {"x": 1.0})
    given = {
        "retries": 2, "timeout": 60.0, "backoff": oq.Backoff(initial_s=2.0), "priority": 9, "max_reschedules": 4, "max_losses": 5,
        "at": dt.datetime(2100, 1, 1, tzinfo=dt.UTC), "ttl": 3600.0, "tags": {"team": "risk"},
        "depends_on": [parent.job.id], "on_failure": "skip", "keep": 86_400.0, "rate_limit": "100/min openai", "max_concurrency": 8,
    }  # fmt: skip
    others = {"delay", "expires_at", "schema", "max_pending", "on_full"}
    assert set(given) | others == {field.name for field in dataclasses.fields(oq.Options)}, (
        "delay is read back as at, expires_at as ttl; schemas have tests of their own; what is left says nothing of the job"
    )
    assert queue.submit(doubled, {"x": 1.0}, **given).options == oq.Options(**given)


def test_a_row_of_a_frame_tells_its_columns(queue):
    pd = pytest.importorskip("pandas")
    job = queue.submit_frame(pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0], "z": ["a", "b"]}), doubled, part_rows=1)
    assert queue.get(f"{job.id}.1").input == {"x": 2.0, "y": 4.0}


def test_a_task_tells_when_it_began_and_ended(queue, start):
    task = queue.submit(doubled, {"x": 1.0})
    assert (task.started, task.completed) == (None, None)
    start(doubled, queue=queue)
    task.wait(WAIT_S)
    slack = dt.timedelta(seconds=queue.storage.date_granularity_s)  # of two clients of one store
    assert task.created - slack <= task.started <= task.completed
    assert task.completed - task.created < dt.timedelta(seconds=2 * WAIT_S)
    assert task.completed.tzinfo is dt.UTC


def test_a_task_that_waits_for_its_retry_tells_its_last_error(queue, start):
    task = queue.submit(flawed, {"x": 7})
    assert task.error() is None
    start(flawed, queue=queue)
    error = until(task.error)
    assert (task.status, error["type"], error["message"], error["attempt"]) == (
        "pending",
        "ValueError",
        "7 is too much",
        1,
    )
    assert "flawed" in error["traceback"]
    assert list(task.job.errors().index) == [], "it has not failed"


def test_a_task_tells_how_often_it_was_put_back(queue, start):
    task = queue.submit("later", {"x": 7})
    start(later([1, 2]), queue=queue)
    assert task.result(WAIT_S) == 7
    assert (task.reschedules, task.attempt, task.error()) == (2, 3, None)


def test_command_line_tells_times_tags_and_how_often_a_task_was_put_back(queue, oq):
    task = queue.submit("later", {"x": 7}, tags={"team": "risk"})
    waiting = json.loads(oq("get", task.id, "--json"))
    assert (waiting["started"], waiting["completed"], waiting["reschedules"]) == (None, None, 0)
    work_off(queue, later([1, 2]))
    ended = json.loads(oq("get", task.id, "--json"))
    assert (ended["status"], ended["reschedules"], ended["tags"]) == ("completed", 2, {"team": "risk"})
    assert [ended[name] for name in ("created", "started", "completed")] == [
        at.isoformat() for at in (task.created, task.started, task.completed)
    ]
    assert "reschedules 2" in " ".join(oq("get", task.id).split())


def test_storage_is_the_store_itself(queue):
    task = queue.submit(doubled, {"x": 1.0})
    (key,) = [entry.key for page in queue.storage.list_all("jobs/") for entry in page.entries]
    assert task.job.id in key
