"""Options: what each bad value is told, and what the good ones do."""

from __future__ import annotations

import datetime as dt
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import UsageError
from oqkit.queue.repository import Repository
from tests.call import STARTED, gated
from tests.local import WAIT_S, keys_in, until

FRAME = pd.DataFrame({"x": [1, 2, 3]})
CALLS: list[object] = []


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def note_time(x):
    return time.monotonic()


def note(x):
    CALLS.append(x)
    return x


BAD = {
    "retries": [
        (-1, "retries=-1 must be a whole number from 0 to 1,000"),
        (1.5, "retries=1.5"),
        (True, "retries=True"),
    ],
    "timeout": [("5 parsecs", "give seconds, or text such as '90s', '5m' or '2h'"), (-1, "give seconds, 0 or more")],
    "backoff": [
        ("soon", "backoff='soon' is not a duration"),
        (float("nan"), "backoff=nan is not a duration"),
        (oq.Backoff(initial_s=float("inf")), "every number must be 0 or more, and finite"),
        (oq.Backoff(jitter=-1), "every number must be 0 or more"),
    ],
    "priority": [(256, "priority=256 must be a whole number from 0 to 255"), ("highest", "priority='highest'")],
    "max_reschedules": [(-1, "max_reschedules=-1 must be a whole number")],
    "delay": [(-1, "delay=-1 is not a duration"), (float("inf"), "delay=inf"), (1e300, "after the year 2200")],
    "at": [
        ("tomorrow", "at='tomorrow' must be a datetime with a time zone, or epoch seconds"),
        (dt.datetime(2030, 1, 1), "must be a datetime with a time zone"),  # noqa: DTZ001 - the mistake to catch
        (float("nan"), "at=nan"),
        (True, "at=True"),
    ],
    "ttl": [("x", "ttl='x' is not a duration"), (1e12, "after the year 2200; leave it out if you mean for ever")],
    "expires_at": [("tomorrow", "expires_at='tomorrow' must be a datetime with a time zone, or epoch seconds")],
    "tags": [
        ("a", "tags='a' must be a dict, such as {'team': 'risk'}"),
        ({"a": 1}, "tag 'a': 1 must be text on both sides"),
        ({str(n): "" for n in range(21)}, "21 tags: at most 20 are allowed"),
    ],
    "part_rows": [(0, "part_rows=0 must be 'auto' or a number from 1 to 50,000"), ("many", "part_rows='many'")],
    "on_duplicate": [("skip", "on_duplicate='skip' must be 'attach', 'rerun' or 'raise'")],
    "max_tasks": [(2, "3 tasks are more than max_tasks=2; raise it if you mean it"), ("2", "max_tasks='2' must be")],
    "name": [("", "name='' must be text of 1 to 512 characters"), (7, "name=7")],
    "retires": [(3, "retires= is no option; the options are retries, timeout, backoff")],
}


@pytest.mark.parametrize(
    ("name", "value", "told"), [(name, value, told) for name, bad in BAD.items() for value, told in bad]
)
def test_submit_frame_refuses_an_option_and_writes_nothing(queue, name, value, told):
    before = keys_in(queue)
    with pytest.raises(UsageError) as caught:
        queue.submit_frame(FRAME, lambda x: x, **{name: value})
    assert told in str(caught.value)
    assert keys_in(queue) == before


def test_at_and_delay_exclude_each_other(queue):
    with pytest.raises(UsageError, match="give at= or delay=, not both"):
        queue.submit_frame(FRAME, note, at=0, delay=1)


@pytest.mark.parametrize(
    ("verb", "arguments"), (("submit", (note, 1)), ("map", (note, [1])), ("submit_many", (note, [1])))
)
def test_every_way_to_submit_refuses_an_unknown_option(queue, verb, arguments):
    with pytest.raises(UsageError, match="retires= is no option"):
        getattr(queue, verb)(*arguments, retires=1)


def test_task_refuses_an_unknown_option():
    with pytest.raises(UsageError, match="retires= is no option"):
        oq.task(retires=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    (("250ms", 0.25), ("90s", 90), ("5m", 300), ("1.5h", 5400), (" 2 d ", 172800), (3, 3), ("1w", 604800)),
)
def test_durations_may_be_text(queue, text, seconds):
    assert queue.repository.read_job(queue.submit(note, 1, timeout=text).job.id).doc.timeout_s == seconds


def test_options_of_a_submission_win_over_those_of_the_task(queue):
    task = oq.task(note, retries=7, priority=9)
    job = queue.repository.read_job(queue.submit(task, 1, retries=1).job.id).doc
    assert (job.policy.retries, job.priority) == (1, 9)


# --- what they do --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ("delay", "at"))
def test_delayed_job_starts_when_it_is_due(queue, start, how):
    start()
    began = time.monotonic()
    options = {"delay": 0.4} if how == "delay" else {"at": dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.4)}
    job = queue.submit_frame(FRAME, note_time, **options)
    assert min(job.result(WAIT_S)["note_time"]) - began >= 0.35


def test_moment_in_the_past_is_due_at_once(queue, start):
    start()
    assert queue.submit_frame(FRAME, note, at=0).result(WAIT_S)["note"].tolist() == [1, 2, 3]


def test_tasks_that_nobody_started_in_time_expire(queue, start):
    job = queue.submit_frame(FRAME, note, ttl="50ms")
    time.sleep(0.1)
    start()
    assert job.wait(WAIT_S).status == "expired"
    assert CALLS == []
    assert job.counts()["expired"] == 3
    with pytest.raises(oq.JobFailed, match=r"3 of 3 tasks .* did not complete .3 expired."):
        job.result()
    assert job.retry("expired") == 3
    assert job.result(WAIT_S)["note"].tolist() == [1, 2, 3]


def test_tasks_that_were_started_in_time_do_not_expire(queue, start, gate, monkeypatch):
    now = Repository.now
    start()
    job = queue.submit_frame(FRAME[:1], gated, ttl=30.0)
    until(lambda: STARTED)
    monkeypatch.setattr(Repository, "now", lambda self: now(self) + 40.0)  # past its time, but not past its lease
    assert job.counts()["running"] == 1, "whoever looks now would write that it expired, if it had not been started"
    gate.set()
    assert job.result(WAIT_S)["gated"].tolist() == [10]


def test_higher_priority_goes_first(queue, start):
    low = queue.map(note, ["low"] * 20, priority=1, part_rows=1)
    high = queue.map(note, ["high"] * 20, priority=200, part_rows=1)
    middle = queue.map(note, ["middle"] * 20, part_rows=1)
    start()
    for job in (low, high, middle):
        job.wait(WAIT_S)
    assert CALLS == ["high"] * 20 + ["middle"] * 20 + ["low"] * 20


def test_job_of_a_type_that_nobody_runs_is_in_nobodys_way(queue, start):
    queue.map("nobody", range(50), priority=255)
    start(oq.task(note), trust_code=False)
    assert queue.map("note", [1, 2]).result(WAIT_S)["note"].tolist() == [1, 2]


def test_part_rows_says_how_many_tasks_share_a_state(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": range(100)}), note, part_rows=9)
    job.wait(WAIT_S)
    until(lambda: queue.repository.read_job(job.id).doc.n_parts == 12)
    assert len([key for key in keys_in(queue) if "/parts/" in key]) == 12
