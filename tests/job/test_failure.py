"""Rows that fail: which ones, how often they are tried, and what is told of them."""

from __future__ import annotations

import pickle
import threading
import time
from itertools import pairwise

import pandas as pd
import pytest

import oqkit as oq
from tests.call import frame
from tests.local import WAIT_S, until

CALLS: list[object] = []
"""What the functions below were called with; workers are threads of this process."""


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def refuse_odd(x):
    CALLS.append(x)
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


# --- result(errors=) and JobFailed ---------------------------------------------------------------


def test_result_raises_and_carries_one_row_a_failure(queue, start):
    start()
    job = queue.submit_frame(frame(5), refuse_odd, retries=0)
    with pytest.raises(oq.JobFailed) as caught:
        job.result(WAIT_S)
    failures = caught.value.failures
    assert failures["row"].tolist() == [1, 3]
    assert failures.index.tolist() == ["r1", "r3"]
    assert failures["message"].tolist() == ["1 is odd", "3 is odd"]
    told = str(caught.value)
    assert (
        f"2 of 5 tasks of job {job.name} did not complete (1 x ValueError: 1 is odd; 1 x ValueError: 3 is odd)" in told
    )
    assert "job.retry('all') runs them again" in told
    assert pickle.loads(pickle.dumps(caught.value)).failures.equals(failures)


def test_result_tells_of_long_messages_in_one_line(queue, start):
    start()
    with pytest.raises(oq.JobFailed) as caught:
        queue.submit_frame(pd.DataFrame({"x": ["long"]}), raising, retries=0).result(WAIT_S)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_result_coerces_or_drops_failures(queue, start):
    start()
    job = queue.submit_frame(frame(4), refuse_odd, retries=0)
    assert job.result(WAIT_S, errors="coerce")["refuse_odd"].tolist() == [0, pd.NA, 2, pd.NA]
    dropped = job.result(errors="drop")
    assert dropped["refuse_odd"].tolist() == [0, 2]
    assert dropped.index.tolist() == ["r0", "r2"]


def test_result_refuses_another_word(queue):
    with pytest.raises(oq.UsageError, match="errors='ignore' must be 'raise', 'coerce' or 'drop'"):
        queue.submit_frame(frame(1), refuse_odd).result(errors="ignore")


def test_result_says_that_tasks_were_cancelled(queue):
    job = queue.submit_frame(frame(3), refuse_odd)
    job.cancel()
    with pytest.raises(oq.JobFailed, match=r"did not complete \(3 cancelled\)") as caught:
        job.result(timeout=1)
    assert caught.value.failures.empty


def test_errors_has_the_traceback_of_the_function_alone(queue, start):
    start()
    job = queue.submit_frame(frame(2), refuse_odd, retries=0)
    job.wait(WAIT_S)
    (error,) = job.errors().to_dict("records")
    assert error["task_id"] == f"{job.id}.1"
    assert error["type"] == "ValueError"
    assert error["worker"]
    lines = error["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in refuse_odd" in lines[1]
    assert lines[-1] == "ValueError: 1 is odd"
    assert "oqkit/worker" not in error["traceback"]


# --- bisecting -----------------------------------------------------------------------------------

BAD = (17, 500, 999)


@oq.task(batch=True)
def batch_with_bad_rows(part):
    CALLS.append(len(part))
    if part["x"].isin(BAD).any():
        raise ValueError("a bad row")
    return part["x"] * 2


@pytest.mark.parametrize("part_rows", (1000, "auto"))
def test_bad_rows_of_a_batch_cost_no_others(queue, start, part_rows):
    start()
    job = queue.submit_frame(frame(1000), batch_with_bad_rows, retries=0, part_rows=part_rows)
    result = job.result(WAIT_S, errors="drop")
    assert job.errors()["row"].tolist() == list(BAD)
    assert result["batch_with_bad_rows"].tolist() == [2 * x for x in range(1000) if x not in BAD]
    # 10 halvings a bad row, two calls each, and the slices of 16 parts that have none
    assert len(CALLS) <= 3 * 2 * 10 + 16
    assert sum(CALLS) <= 1000 * 5


def test_only_bad_rows_of_a_batch_are_tried_again(queue, start):
    start()
    job = queue.submit_frame(frame(64), batch_with_bad_rows, retries=2, backoff=0.01, part_rows=64)
    job.wait(WAIT_S)
    assert job.errors()[["row", "attempt"]].to_numpy().tolist() == [[17, 3]]
    assert job.tasks()["attempt"].tolist() == [3 if row == 17 else 1 for row in range(64)]


# --- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", (0, 1, 3))
def test_failing_row_is_tried_once_more_than_retries(queue, start, retries):
    start()
    job = queue.submit_frame(frame(2), refuse_odd, retries=retries, backoff=0.01)
    job.wait(WAIT_S)
    assert CALLS.count(1) == retries + 1
    assert CALLS.count(0) == 1
    assert job.errors()["attempt"].tolist() == [retries + 1]


def flaky(x):
    CALLS.append(x)
    if CALLS.count(x) <= x:
        raise OSError("try again")
    return CALLS.count(x)


def test_row_completes_when_a_retry_does(queue, start):
    start()
    job = queue.submit_frame(frame(4), flaky, retries=3, backoff=0.01)
    assert job.result(WAIT_S)["flaky"].tolist() == [1, 2, 3, 4]
    assert job.errors().empty
    assert job.tasks()["attempt"].tolist() == [1, 2, 3, 4]


def test_retry_waits_for_the_backoff(queue, start):
    start()
    job = queue.submit_frame(frame(2)[1:], flaky, backoff=oq.Backoff(initial_s=0.3, jitter=0.0))
    until(lambda: CALLS)
    began = time.monotonic()
    due = until(lambda: job.tasks("pending")["due"].dropna().tolist())[0]
    assert due.tzinfo is not None
    job.result(WAIT_S)
    assert time.monotonic() - began >= 0.25


class Final(oq.PermanentError):
    """A subclass counts as its base."""


class Later(oq.Reschedule):
    """Calls no __init__ of oqkit."""

    def __init__(self):
        pass


class Nothing(oq.Skip):
    """Likewise."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self):
        raise RuntimeError("no")


class Clinging(Exception):
    """Does not pickle."""

    def __init__(self, a, b):
        super().__init__("held")
        self.lock = threading.Lock()


def raising(x):
    CALLS.append(x)
    raise RAISED[x]


RAISED = {
    "permanent": oq.PermanentError("never"),
    "final": Final("never ever"),
    "mute": Mute(),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "group": ExceptionGroup("two", [ValueError("a"), TypeError("b")]),
    "clinging": Clinging(1, 2),
    "long": ValueError("x" * 100_000),
    "surrogate": ValueError("\ud800"),
}


@pytest.mark.parametrize(
    ("kind", "type_name", "message", "attempts"),
    (
        ("permanent", "PermanentError", "never", 1),
        ("final", f"{__name__}.Final", "never ever", 1),
        ("mute", f"{__name__}.Mute", "<no text: __str__ raised RuntimeError>", 2),
        ("exit", "SystemExit", "3", 2),
        ("interrupt", "KeyboardInterrupt", "", 2),
        ("generator", "GeneratorExit", "", 2),
        ("group", "ExceptionGroup", "two (2 sub-exceptions)", 2),
        ("clinging", f"{__name__}.Clinging", "held", 2),
        ("surrogate", "ValueError", r"\ud800", 2),
    ),
)
def test_row_fails_with(queue, start, kind, type_name, message, attempts):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": [kind]}), raising, retries=1, backoff=0.01)
    job.wait(WAIT_S)
    (error,) = job.errors().itertuples()
    assert (error.type, error.message, error.attempt) == (type_name, message, attempts)
    assert len(CALLS) == attempts


def test_long_message_is_cut_in_its_middle(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": ["long"]}), raising, retries=0)
    job.wait(WAIT_S)
    message = job.errors()["message"].iloc[0]
    assert len(message) <= 2000
    assert "\n...\n" in message


def test_worker_goes_on_after_rows_that_raise_anything(queue, start):
    worker = start()
    kinds = pd.DataFrame({"x": list(RAISED)})
    queue.submit_frame(kinds, raising, retries=0).wait(WAIT_S)
    assert queue.submit_frame(frame(1), refuse_odd).result(WAIT_S)["refuse_odd"].tolist() == [0]
    assert worker is not None


# --- Skip and Reschedule -------------------------------------------------------------------------


@pytest.mark.parametrize("error", (oq.Skip("empty"), Nothing()), ids=["Skip", "subclass"])
def test_skipped_row_completes_without_a_value(queue, start, error):
    RAISED["skip"] = error
    start()
    job = queue.submit_frame(pd.DataFrame({"x": ["skip"]}), raising)
    assert job.result(WAIT_S)["raising"].tolist() == [None]
    assert job.status == "completed"


def put_back(x):
    CALLS.append(time.monotonic())
    if len(CALLS) <= x:
        raise oq.Reschedule(0.2, "not yet")
    return len(CALLS)


def test_rescheduled_row_returns_later_and_uses_no_attempt(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": [3]}), put_back, retries=0)
    assert job.result(WAIT_S)["put_back"].tolist() == [4]
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(CALLS))
    assert job.tasks()["attempt"].tolist() == [4]


def test_row_fails_when_it_is_rescheduled_too_often(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": [10]}), put_back, max_reschedules=2)
    job.wait(WAIT_S)
    (error,) = job.errors().itertuples()
    assert len(CALLS) == 3
    assert error.type == "Reschedule"
    assert error.message == "it asked to be put back more often than 2 times, as max_reschedules allows"


def reschedule_plainly(x):
    CALLS.append(x)
    if len(CALLS) == 1:
        raise Later
    return "done"


def test_reschedule_subclass_needs_no_init(queue, start):
    start()
    result = queue.submit_frame(pd.DataFrame({"x": [1]}), reschedule_plainly, retries=0).result(WAIT_S)
    assert result["reschedule_plainly"].tolist() == ["done"]


@pytest.mark.parametrize("delay", (float("inf"), float("nan"), "5m", 1e300))
def test_reschedule_refuses_a_delay_that_is_no_time(delay):
    with pytest.raises(oq.UsageError, match="must be a number of seconds, at most ten years"):
        oq.Reschedule(delay)


def test_reschedule_takes_a_negative_delay_as_none():
    assert oq.Reschedule(-3).delay_s == 0


def wait_for_ever(x):
    raise oq.Reschedule(float(x))


def test_row_that_reschedules_for_ever_costs_no_worker(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": ["inf"]}), wait_for_ever, retries=0)
    job.wait(WAIT_S)
    assert "at most ten years" in job.errors()["message"].iloc[0]
    assert queue.submit_frame(frame(1), refuse_odd).result(WAIT_S)["refuse_odd"].tolist() == [0]


@oq.task(batch=True)
def put_batch_back(part):
    CALLS.append(len(part))
    if len(CALLS) == 1:
        raise oq.Reschedule(0.05)
    return part["x"]


def test_batch_is_rescheduled_as_a_whole(queue, start):
    start()
    job = queue.submit_frame(frame(10), put_batch_back, part_rows=10, retries=0)
    assert job.result(WAIT_S)["put_batch_back"].tolist() == list(range(10))
    assert CALLS == [10, 10]
