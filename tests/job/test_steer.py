"""Steering: cancel and retry of jobs and tasks, and the handle of a single task."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.clock import user_at_host
from oqkit.queue import control
from tests.call import ENDED, GATE, STARTED, frame, gated
from tests.local import WAIT_S, until

pytestmark = pytest.mark.usefixtures("gate")


def odd(x):
    STARTED.append(x)
    if x % 2:
        return x
    raise oq.PermanentError(f"{x} is even")


def mended(x):
    return -x


# --- pause ---------------------------------------------------------------------------------------


def test_paused_job_waits_and_every_handle_says_so(queue, start):
    job = queue.submit_frame(frame(4), odd, name="one")
    other = queue.job("one")
    assert other.status == "pending"
    job.pause(reason="check the input")
    assert (job.status, other.status, job.done()) == ("paused", "paused", False)
    start()
    assert queue.submit_frame(frame(2), mended).result(WAIT_S)["mended"].tolist() == [0, -1]
    assert STARTED == []  # nothing of the paused job ran
    other.resume()
    assert job.wait(WAIT_S).status == "failed"
    assert sorted(STARTED) == [0, 1, 2, 3]


def test_pause_ends_by_itself(queue, start):
    job = queue.submit_frame(frame(4), mended)
    job.pause(resume_after=1)
    start()
    assert len(job.result(WAIT_S)) == 4


def test_pause_of_a_job_that_has_ended_is_an_error_and_resume_does_nothing(queue, start):
    start()
    job = queue.submit_frame(frame(4), mended)
    job.wait(WAIT_S)
    with pytest.raises(oq.UsageError, match=r"has ended \(completed\): there is nothing to pause"):
        job.pause()
    job.resume()
    assert job.status == "completed"


# --- cancel --------------------------------------------------------------------------------------


def test_cancel_ends_what_has_not_started(queue, start):
    job = queue.submit_frame(frame(4), odd)
    assert job.cancel(reason="typing mistake") == 4
    assert (job.status, job.done(), job.counts()["cancelled"]) == ("cancelled", True, 4)
    start()
    assert queue.submit_frame(frame(2), mended).result(WAIT_S)["mended"].tolist() == [0, -1]
    assert STARTED == []  # nothing of the cancelled job ran
    assert job.cancel() == 0


@pytest.mark.parametrize(
    "where",
    ([1, 3], np.array([False, True, False, True]), pd.Series([False, True, False, True]), range(1, 4, 2)),
    ids=["rows", "mask", "series", "range"],
)
def test_cancel_takes_rows_or_a_mask(queue, start, where):
    job = queue.submit_frame(frame(4), mended, part_rows=2)
    assert job.cancel(where) == 2
    start()
    assert job.result(WAIT_S, errors="coerce")["mended"].tolist() == [0, pd.NA, -2, pd.NA]


def test_cancel_takes_one_row(queue):
    job = queue.submit_frame(frame(4), mended)
    assert job.cancel(2) == 1
    assert job.tasks("cancelled")["row"].tolist() == [2]


def test_cancel_of_a_running_row_ends_it_and_its_result_is_not_used(queue, start):
    start()
    job = queue.submit_frame(frame(2), gated, part_rows=2)
    until(lambda: STARTED)
    assert job.cancel("running") == 2
    assert job.done()
    GATE.set()
    until(lambda: ENDED)
    queue.submit_frame(frame(1), mended).wait(WAIT_S)  # the worker has moved on
    assert job.status == "cancelled"
    assert job.partial().empty


def test_cancel_pending_leaves_running_rows_alone(queue, start):
    start()
    job = queue.submit_frame(frame(8), gated, part_rows=1)
    until(lambda: job.counts()["running"])
    n_running = job.counts()["running"]
    assert job.cancel("pending") == 8 - n_running
    GATE.set()
    assert len(job.result(WAIT_S, errors="drop")) == n_running


@pytest.mark.parametrize(
    ("where", "told"),
    (
        ("failed", "'failed' is none of 'all', 'pending' or 'running'"),
        ([4], "give row numbers from 0 to 3, a boolean mask, or a status"),
        ([-1], "give row numbers from 0 to 3"),
        ([0.5], "give row numbers from 0 to 3"),
        ([True, False], "the mask has shape .2,.; it must have one value for each of 4 rows"),
    ),
)
def test_cancel_refuses(queue, where, told):
    job = queue.submit_frame(frame(4), mended)
    with pytest.raises(oq.UsageError, match=told):
        job.cancel(where)
    assert job.counts()["pending"] == 4


# --- retry ---------------------------------------------------------------------------------------


def test_retry_runs_failed_rows_again_with_a_corrected_function(queue, start):
    start()
    job = queue.submit_frame(frame(6), odd, part_rows=2)
    job.wait(WAIT_S)
    assert job.retry(fn=mended) == 3
    assert job.result(WAIT_S)["odd"].tolist() == [0, 1, -2, 3, -4, 5]
    assert (job.status, len(job.errors())) == ("completed", 0)


def test_retry_takes_a_function_by_value(queue, start):
    start()
    job = queue.submit_frame(frame(2), odd)
    job.wait(WAIT_S)
    job.retry(fn=lambda x: x + 100)
    assert job.result(WAIT_S)["odd"].tolist() == [100, 1]


def test_retry_of_some_rows_leaves_the_others_failed(queue, start):
    start()
    job = queue.submit_frame(frame(6), odd)
    job.wait(WAIT_S)
    assert job.retry([0, 1, 2], fn=mended) == 2  # row 1 has completed
    job.wait(WAIT_S)
    assert job.errors()["row"].tolist() == [4]


def test_retry_puts_cancelled_rows_back(queue, start):
    job = queue.submit_frame(frame(3), mended)
    job.cancel([0, 2])
    assert job.retry("failed") == 0
    assert job.retry("cancelled") == 2
    start()
    assert job.result(WAIT_S)["mended"].tolist() == [0, -1, -2]


def test_retry_gives_a_failed_row_all_its_attempts_again(queue, start):
    start()
    job = queue.submit_frame(frame(1), _fails, retries=1, backoff=0.01)
    job.wait(WAIT_S)
    assert len(STARTED) == 2
    job.retry()
    job.wait(WAIT_S)
    assert len(STARTED) == 4
    assert job.tasks()["attempt"].tolist() == [4]


def _fails(x):
    STARTED.append(x)
    raise ValueError("always")


def test_retry_refuses_a_status_that_is_no_end(queue):
    with pytest.raises(oq.UsageError, match="'running' is none of 'all', 'failed', 'cancelled' or 'expired'"):
        queue.submit_frame(frame(1), mended).retry("running")


# --- tasks ---------------------------------------------------------------------------------------


def test_task_tells_its_status_result_and_attempt(queue, start):
    task = queue.submit(mended, {"x": 5})
    assert (task.status, task.done(), task.attempt) == ("pending", False, 0)
    start()
    assert task.result(WAIT_S) == -5
    assert (task.status, task.done(), task.attempt, task.error()) == ("completed", True, 1, None)
    assert repr(task) == f"<oqkit task {task.id} of type 'mended'>"


def test_task_result_is_of_the_type_that_was_returned(queue, start):
    start()
    assert queue.submit(lambda x: {"a": [1, x], "b": None}, 2).result(WAIT_S) == {"a": [1, 2], "b": None}
    assert queue.submit(lambda x: (x, "y"), 2).result(WAIT_S) == (2, "y")
    assert queue.submit(lambda x: None, 2).result(WAIT_S) is None


def test_task_of_a_frame_is_found_by_its_id(queue, start):
    start()
    job = queue.submit_frame(frame(5), odd, part_rows=2)
    task = queue.get(f"{job.id}.3")
    assert task.result(WAIT_S) == 3
    assert (task.row, task.job.id) == (3, job.id)


def test_failed_task_raises_with_the_error_and_one_row_of_failures(queue, start):
    start()
    job = queue.submit_frame(frame(5), odd)
    job.wait(WAIT_S)
    task = queue.get(f"{job.id}.2")
    with pytest.raises(oq.JobFailed, match=r"task .*\.2 did not complete: PermanentError: 2 is even") as caught:
        task.result(WAIT_S)
    assert caught.value.failures["row"].tolist() == [2]
    error = task.error()
    assert (error["type"], error["message"], error["attempt"]) == ("PermanentError", "2 is even", 1)


def test_task_can_be_cancelled_until_it_has_ended(queue, start):
    task = queue.submit(mended, {"x": 5})
    task.cancel(reason="never mind")
    task.cancel()  # twice is fine
    assert task.status == "cancelled"
    with pytest.raises(oq.JobFailed, match="did not complete: cancelled"):
        task.result(timeout=1)
    task.retry()
    start()
    assert task.result(WAIT_S) == -5
    with pytest.raises(oq.IllegalTransition, match="cannot cancel a task that is completed"):
        task.cancel()


def test_task_can_be_retried_only_when_it_did_not_complete(queue, start):
    task = queue.submit(odd, {"x": 2})
    with pytest.raises(oq.IllegalTransition, match="that is pending"):
        task.retry()
    start()
    task.wait(WAIT_S)
    assert task.status == "failed"
    task.retry(fn=mended)
    assert task.result(WAIT_S) == -2
    with pytest.raises(oq.IllegalTransition, match="that is completed"):
        task.retry()


def test_task_wait_ends_when_time_is_up(queue):
    with pytest.raises(oq.WaitTimeout, match="not done after 0 s: 1 pending"):
        queue.submit(mended, {"x": 1}).wait(0)


@pytest.mark.parametrize("text", ("x", "", "12.a", "0123456789abcdef"))
def test_get_refuses_what_is_no_task_id(queue, text):
    with pytest.raises(oq.UsageError, match=r"is not a task id: expected <job id>.<row>"):
        queue.get(text)


def test_get_names_an_unknown_task_or_row(queue):
    job = queue.submit_frame(frame(2), mended)
    with pytest.raises(oq.UsageError, match="has rows 0 to 1, not 2"):
        queue.get(f"{job.id}.2")
    other = job.id[:-1] + ("0" if job.id[-1] != "0" else "1")
    with pytest.raises(oq.UnknownJob, match="no task has the id"):
        queue.get(f"{other}.0")


def test_history_tells_every_step_of_a_task(queue, start):
    start()
    job = queue.submit_frame(frame(2), odd, part_rows=2)
    job.wait(WAIT_S)
    job.retry(fn=mended)
    job.wait(WAIT_S)
    history = queue.history(f"{job.id}.0")
    assert history["status"].tolist() == ["pending", "running", "failed", "pending", "running", "completed"]
    assert history["attempt"].tolist() == [0, 1, 1, 1, 2, 2]
    assert history["at"].is_monotonic_increasing
    assert queue.history(f"{job.id}.1")["status"].tolist() == ["pending", "running", "completed"]


def test_history_tells_every_step_when_a_worker_reopens_and_claims_in_one_write(queue, start, monkeypatch):
    start()
    job = queue.submit_frame(frame(2), odd, part_rows=2)
    job.wait(WAIT_S)
    monkeypatch.setattr(control, "bring_up", lambda *_: None)  # the worker is quicker than the caller
    job.retry(fn=mended)
    job.wait(WAIT_S)
    history = queue.history(f"{job.id}.0")
    assert history["status"].tolist() == ["pending", "running", "failed", "pending", "running", "completed"]
    assert history["attempt"].tolist() == [0, 1, 1, 1, 2, 2]
    assert history["at"].is_monotonic_increasing


def test_history_tells_why_and_by_whom(queue, start):
    worker = start()
    task = queue.submit(odd, {"x": 2}).wait(WAIT_S)
    failed = queue.history(task.id).iloc[-1]
    assert "2 is even" in failed["note"]
    assert failed["worker"] == worker.name


# --- by whom -------------------------------------------------------------------------------------


@pytest.fixture(params=(True, False), ids=("versions", "log only"))
def kept(request, queue, monkeypatch):
    """A queue whose store keeps past versions, or has the present one alone."""
    store = queue.repository.store
    if not request.param:
        monkeypatch.setattr(store, "versions", lambda key: itertools.islice(type(store).versions(store, key), 1))
    return queue


@pytest.mark.parametrize("error", ("an error", "a reschedule"))
def test_history_ends_where_the_task_does_when_it_has_no_attempt_left(kept, start, error):
    def gives_up(x):
        raise ValueError(x) if error == "an error" else oq.Reschedule(0)

    start()
    task = kept.submit(gives_up, 1, retries=0, max_reschedules=0).wait(WAIT_S)
    assert task.status == "failed"
    assert kept.history(task.id)["status"].tolist() == ["pending", "running", "failed"]


def test_history_tells_who_gave_which_order_and_why(kept, start):
    job = kept.submit_frame(frame(2), mended)
    job.pause(reason="look first", by="ana@lab")
    job.cancel(reason="typing mistake", by="ben@lab")
    job.retry("cancelled", by="cy@lab")
    job.resume(by="dee@lab")
    start()
    job.wait(WAIT_S)
    history = kept.history(f"{job.id}.1")
    assert history["at"].is_monotonic_increasing
    assert history["status"].tolist() == [
        "pending",
        "pending",
        "cancelled",
        "pending",
        "pending",
        "running",
        "completed",
    ]
    assert history["by"].tolist() == ["", "ana@lab", "ben@lab", "cy@lab", "dee@lab", "", ""]
    assert history["note"].tolist()[1:5] == ["paused: look first", "typing mistake", "", "resumed"]


def test_history_tells_who_cancelled_a_task_and_put_it_to_work_again(queue):
    task = queue.submit(mended, {"x": 1})
    task.cancel(reason="no", by="me@host")
    task.retry(by="you@host")
    history = queue.history(task.id)
    assert history["by"].tolist() == ["", "me@host", "you@host"]
    assert history["note"].tolist() == ["submitted", "no", ""]


def test_an_order_is_given_by_the_user_of_this_process_unless_it_says_otherwise(queue):
    task = queue.submit(mended, {"x": 1})
    task.cancel()
    assert queue.history(task.id)["by"].tolist()[-1] == user_at_host()
    assert "@" in user_at_host()


@pytest.mark.parametrize("by", ("", 5, "x" * 513))
@pytest.mark.parametrize("verb", ("cancel", "retry", "pause", "resume"))
def test_an_order_by_nobody_is_refused_before_anything_is_written(queue, verb, by):
    job = queue.submit_frame(frame(2), mended)
    with pytest.raises(oq.UsageError, match=r"by=.*must be text of 1 to 512 characters"):
        getattr(job, verb)(by=by)
    assert queue.repository.read_job(job.id).doc.controls == ()
