"""Watching a job: statuses, counts, waiting in every way, and results as they come."""

from __future__ import annotations

import asyncio
import threading
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import Unavailable
from oqkit.queue.view import JobView
from tests.call import GATE, STARTED, frame, gated
from tests.local import WAIT_S, until

pytestmark = pytest.mark.usefixtures("gate")


def slow(x):
    time.sleep(0.02)
    return x


def fail_last(x):
    if x == 2:
        raise oq.PermanentError("no")
    return x


def gated_in_the_second_part(x):
    STARTED.append(x // 1000)
    if STARTED[-1] != STARTED[0]:
        assert GATE.wait(WAIT_S)
    return x


# --- status and counts ---------------------------------------------------------------------------


def test_status_goes_from_pending_to_completed(queue, start):
    job = queue.submit_frame(frame(4), gated, part_rows=4)
    assert (job.status, job.done()) == ("pending", False)
    assert job.counts() == {"pending": 4, "running": 0, "completed": 0, "failed": 0, "cancelled": 0, "expired": 0}
    start()
    until(lambda: STARTED)
    assert (job.status, job.done()) == ("running", False)
    assert job.counts()["running"] == 4
    GATE.set()
    job.wait(WAIT_S)
    assert (job.status, job.done()) == ("completed", True)
    assert job.counts()["completed"] == 4


def test_status_is_failed_when_any_task_failed(queue, start):
    start()
    assert queue.submit_frame(frame(3), fail_last).wait(WAIT_S).status == "failed"


def test_status_is_cancelled_when_some_were_and_none_failed(queue, start):
    job = queue.submit_frame(frame(3), fail_last)
    job.cancel([2])
    start()
    assert job.wait(WAIT_S).status == "cancelled"


def test_counts_always_sum_to_the_number_of_tasks(queue, start):
    job = queue.submit_frame(frame(60), slow, part_rows=5)
    start()
    start()
    sums = []
    until(lambda: sums.append(sum(job.counts().values())) or job.done())
    assert set(sums) == {60}


def test_job_is_found_by_id_and_name(queue):
    job = queue.submit_frame(frame(2), slow, name="tuesday")
    assert queue.job("tuesday").id == queue.job(job.id).id == job.id
    assert (job.name, job.type, len(job)) == ("tuesday", "slow", 2)
    assert repr(job) == "<oqkit job 'tuesday': 2 'slow' tasks, 2 pending>"


@pytest.mark.parametrize("name", ("nobody", "0" * 16, "k" + "0" * 16))
def test_unknown_job_is_named(queue, name):
    with pytest.raises(oq.UnknownJob, match=f"no job has the id or name '{name}' in memory://.*oq.jobs"):
        queue.job(name)


def test_tasks_has_one_row_a_task(queue, start):
    job = queue.submit_frame(frame(3), fail_last, part_rows=1)
    assert job.tasks()["status"].tolist() == ["pending"] * 3
    start()
    job.wait(WAIT_S)
    tasks = job.tasks()
    assert tasks.index.tolist() == ["r0", "r1", "r2"]
    assert list(tasks) == ["row", "status", "attempt", "worker", "due", "progress", "message"]
    assert tasks["status"].tolist() == ["completed", "completed", "failed"]
    assert job.tasks("failed").index.tolist() == ["r2"]
    assert job.tasks(["failed", "completed"])["row"].tolist() == [0, 1, 2]
    assert job.tasks("pending").empty


def test_tasks_tells_which_worker_runs_a_row(queue, start):
    job = queue.submit_frame(frame(2), gated, part_rows=2)
    worker = start()
    until(lambda: STARTED)
    assert job.tasks("running")["worker"].tolist() == [worker.name] * 2


def test_tasks_refuses_another_word(queue):
    job = queue.submit_frame(frame(1), slow)
    with pytest.raises(oq.UsageError, match="'done' is none of 'pending', 'running', 'completed', 'failed'"):
        job.tasks("done")


# --- waiting -------------------------------------------------------------------------------------


def test_wait_returns_the_job_when_all_tasks_have_ended(queue, start):
    start()
    job = queue.submit_frame(frame(3), fail_last)
    assert job.wait(WAIT_S) is job


def test_wait_tells_how_far_the_job_is_when_time_is_up(queue, start):
    start()
    job = queue.submit_frame(frame(2), gated, part_rows=1)
    until(lambda: STARTED)
    began = time.monotonic()
    with pytest.raises(oq.WaitTimeout, match=r"is not done after 0.2 s: 1 pending, 1 running") as caught:
        job.result(timeout=0.2)
    assert time.monotonic() - began >= 0.15
    assert "No worker" not in str(caught.value)
    GATE.set()
    assert job.result(WAIT_S)["gated"].tolist() == [0, 10]  # the waiting ended, not the work


def test_wait_takes_a_duration_as_text(queue):
    with pytest.raises(oq.WaitTimeout):
        queue.submit_frame(frame(1), slow).wait("10ms")


@pytest.mark.parametrize("timeout", (-1, "soon", float("nan")))
def test_wait_refuses_what_is_no_duration(queue, timeout):
    job = queue.submit_frame(frame(1), slow)
    with pytest.raises(oq.UsageError, match=r"timeout=.* is not a duration: give seconds"):
        job.wait(timeout)
    with pytest.raises(oq.UsageError, match=r"timeout=.* is not a duration: give seconds"):
        job.as_completed(timeout=timeout)


def test_wait_shows_a_bar_when_asked(queue, start, capsys):
    start()
    queue.submit_frame(frame(3), fail_last, name="nightly").wait(WAIT_S, progress=True)
    shown = capsys.readouterr().err
    assert "nightly" in shown
    assert "3/3" in shown
    assert "failed=1" in shown


def test_wait_shows_nothing_when_nobody_looks(queue, start, capsys):
    start()
    queue.submit_frame(frame(3), slow).wait(WAIT_S)
    assert capsys.readouterr().err == ""


def test_await_leaves_other_coroutines_running(queue, start, monkeypatch):
    async def main():
        job = queue.submit_frame(frame(1), gated)
        ticks = 0

        async def press_button():
            nonlocal ticks
            while not GATE.is_set():
                await asyncio.sleep(0.01)
                ticks += 1
                if ticks == 20:
                    GATE.set()

        button = asyncio.create_task(press_button())
        found = await job
        await button
        return found is job, ticks

    start()
    askers, refresh = set(), JobView.refresh

    def refresh_noted(view):
        askers.add(threading.current_thread())
        refresh(view)

    monkeypatch.setattr(JobView, "refresh", refresh_noted)
    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)) == (True, 20)
    assert threading.main_thread() not in askers  # a slow store would hold up the other coroutines


def test_await_many_jobs_at_once(queue, start):
    async def main():
        jobs = [queue.submit_frame(frame(n), slow) for n in (1, 2, 3)]
        task = queue.submit(slow, {"x": 7})
        await asyncio.gather(*jobs, task)
        return [len(job.result()) for job in jobs], task.result()

    start(concurrency=4)
    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)) == ([1, 2, 3], 7)


# --- results as they come ------------------------------------------------------------------------


def test_partial_gives_what_is_finished_and_never_waits(queue, start):
    job = queue.submit_frame(frame(3), gated, part_rows=1)
    assert job.partial().empty
    start()
    GATE.set()
    until(lambda: job.counts()["completed"])
    part = job.partial()
    assert part["gated"].tolist() == [int(label[1:]) * 10 for label in part.index]
    job.wait(WAIT_S)
    assert job.partial()["gated"].tolist() == [0, 10, 20]


def test_partial_can_show_the_other_rows_as_nulls(queue, start):
    job = queue.submit_frame(frame(3), gated, part_rows=1)
    assert job.partial(errors="coerce")["gated"].tolist() == [None, None, None]
    assert job.partial(errors="coerce").index.tolist() == ["r0", "r1", "r2"]


def test_as_completed_gives_each_row_once(queue, start):
    job = queue.submit_frame(frame(60), slow, part_rows=5)
    start()
    start()
    frames = list(job.as_completed())
    rows = pd.concat(frames)
    assert len(frames) > 1
    assert all(len(one) for one in frames)
    assert rows.index.is_unique
    assert rows["slow"].sort_values().tolist() == list(range(60))
    assert all(label == f"r{value}" for label, value in rows["slow"].items())


def test_as_completed_holds_no_results_that_it_has_given(queue, start):
    start()
    job = queue.submit_frame(frame(4), slow, part_rows=2)
    assert sum(len(frame) for frame in job.as_completed()) == 4
    assert job._collector._outputs == {}, "memory does not grow with the rows"
    assert job.result()["slow"].tolist() == [0, 1, 2, 3], "which are read again"


def test_as_completed_leaves_out_rows_that_failed(queue, start):
    start()
    job = queue.submit_frame(frame(3), fail_last, part_rows=3)
    assert pd.concat(list(job.as_completed()))["fail_last"].tolist() == [0, 1]


def test_as_completed_works_with_async_for(queue, start):
    async def main():
        return [row async for frame in job.as_completed() for row in frame["slow"]]

    job = queue.submit_frame(frame(40), slow, part_rows=5)
    start()
    assert sorted(asyncio.run(asyncio.wait_for(main(), WAIT_S))) == list(range(40))


@pytest.mark.parametrize("is_async", (False, True), ids=["for", "async for"])
def test_as_completed_ends_when_time_is_up(queue, start, is_async):
    async def main():
        return [frame async for frame in job.as_completed(timeout=0.2)]

    job = queue.submit_frame(frame(1), gated)
    with pytest.raises(oq.WaitTimeout, match=r"not done after 0.2 s"):
        asyncio.run(asyncio.wait_for(main(), WAIT_S)) if is_async else list(job.as_completed(timeout=0.2))


# --- jobs ----------------------------------------------------------------------------------------


def test_jobs_lists_the_newest_first(queue, start):
    start()
    first = queue.submit_frame(frame(2), slow, name="first", tags={"team": "a"}).wait(WAIT_S)
    between = first.tasks() is not None and queue.repository.now()
    second = queue.submit_frame(frame(3), fail_last, name="second").wait(WAIT_S)
    third = queue.submit("other", 1)
    jobs = queue.jobs()
    assert jobs.index.tolist() == [third.job.id, second.id, first.id]
    assert jobs.loc[second.id, ["name", "type", "status", "tasks", "completed", "failed"]].tolist() == [
        "second", "fail_last", "failed", 3, 2, 1,
    ]  # fmt: skip
    assert str(jobs["created"].dtype).endswith("UTC]")
    assert queue.jobs(status="failed")["name"].tolist() == ["second"]
    assert queue.jobs(type="slow")["name"].tolist() == ["first"]
    assert queue.jobs(tags={"team": "a"})["name"].tolist() == ["first"]
    assert queue.jobs(since=between).index.tolist() == [third.job.id, second.id]
    assert queue.jobs(limit=1).index.tolist() == [third.job.id]


@pytest.mark.parametrize(
    ("options", "told"),
    (
        ({"status": "finished"}, "status='finished' must be 'pending', 'running'"),
        ({"limit": 0}, "limit=0 must be a whole number from 1"),
        ({"since": "yesterday"}, "since='yesterday' must be a datetime with a time zone"),
    ),
)
def test_jobs_refuses(queue, options, told):
    with pytest.raises(oq.UsageError, match=told):
        queue.jobs(**options)


def double(x: int) -> int:
    return 2 * x


def test_wait_goes_on_when_the_store_is_away_for_a_while(queue, start, monkeypatch, caplog):
    job = queue.submit_frame(pd.DataFrame({"x": range(4)}), double)
    read, outage = queue.repository.store.list, iter(range(5))

    def list_after_a_while(*args, **kwargs):
        if threading.current_thread() is threading.main_thread() and next(outage, None) is not None:
            raise oq.Unavailable("503")
        return read(*args, **kwargs)

    monkeypatch.setattr(queue.repository.store, "list", list_after_a_while)
    start()
    assert job.wait(30).status == "completed"
    assert next(outage, None) is None
    assert caplog.text.count("does not answer, still waiting") == 1


# --- reading ahead -------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", (0, 3))
def test_result_reads_what_has_ended_while_the_rest_runs(queue, start, monkeypatch, failures):
    outputs, refused = [], iter(range(failures))
    read = queue.repository.store.read

    def noting(key):
        if key.endswith(".parquet") and "/out" in key:
            outputs.append(key)
            if next(refused, None) is not None:
                raise Unavailable("away for a moment")
        return read(key)

    monkeypatch.setattr(queue.repository.store, "read", noting)
    start()
    job = queue.submit_frame(frame(2000), gated_in_the_second_part, part_rows=1000)
    results = []
    waiting = threading.Thread(target=lambda: results.append(job.result(WAIT_S)))
    waiting.start()
    until(lambda: len(outputs) > failures)
    assert job.status == "running"
    GATE.set()
    waiting.join(WAIT_S)
    assert results[0]["gated_in_the_second_part"].tolist() == list(range(2000))
    assert len(set(outputs)) == 2
    assert len(outputs) == 2 + failures
