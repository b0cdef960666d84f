"""The faults of the original that were measured, and do not come back; more are in docs/evidence/original_faults.md, with all that shows it.

The numbers are those of its roadmap, in docs/reference/features.md.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math

import pytest

import oqkit
from oqkit.errors import Unavailable
from oqkit.queue.part import Lease, claim
from tests.call import STARTED, gated
from tests.local import WAIT_S, names_below, until, work_off


@oqkit.task
def same(x):
    return x


# --- 0: what mattered most -----------------------------------------------------------------------


def test_original_0_5_lost_index_entry_is_put_back_by_whoever_asks_for_the_job(queue, start):
    job = queue.map(same, [1, 2], name="nightly")
    queue.storage.delete_many([*names_below(queue.storage, "open/"), "bell"])
    start(same, queue=queue)
    assert queue.job("nightly").result(WAIT_S)["same"].tolist() == [1, 2]
    assert job.done()


@pytest.mark.parametrize("shards", (1, 256))
def test_original_0_6_and_1_14_task_of_a_worker_that_died_is_taken_over_with_any_number_of_shards(queue, shards):
    queue = oqkit.connect(f"{queue.url}/sharded", shards=shards)
    tasks = [queue.submit(same, x) for x in range(4)]
    for task in tasks:
        _die_with(queue, task)
    until(lambda: work_off(queue, same) and all(task.done() for task in tasks), what="all were taken over")
    assert [task.result(WAIT_S) for task in tasks] == [0, 1, 2, 3]
    assert [task.attempt for task in tasks] == [2, 2, 2, 2]


def _die_with(queue, task):
    """Claim a task for a worker that is never heard of again."""
    repository = queue.repository
    job = repository.read_job(task.job.id).doc
    lease = Lease(id="abcdefghjkmnpqrs", worker="dead", expires=repository.now() + 0.01)

    def take(part):
        return claim(
            part,
            lease,
            max_rows=1,
            now=repository.now() - 1.0,
            policy=job.policy,
            chance=0.5,
            limits=repository.limits.queue,
        )

    repository.update_part(job, 0, take, applied=lambda part: bool(part.leases))
    assert task.status == "running"


class Forgetful:
    """Lets a store apply writes to some keys, and loses the reply to the first of each kind."""

    def __init__(self, store, monkeypatch, *, below):
        self.lost = []
        for name in ("create", "replace"):
            monkeypatch.setattr(store, name, self._losing(name, getattr(store, name), below))

    def _losing(self, name, write, below):
        def lossy(key, *arguments, **options):
            etag = write(key, *arguments, **options)
            if below in key and name not in self.lost:
                self.lost.append(name)
                raise Unavailable(f"no answer about {key!r}")
            return etag

        return lossy


def test_original_0_8_submission_whose_reply_is_lost_is_made_once(queue, monkeypatch):
    forgetful = Forgetful(queue.storage, monkeypatch, below="jobs/")
    task = queue.submit(same, 1)
    assert forgetful.lost == ["create"]
    assert queue.jobs().index.tolist() == [task.job.id]
    work_off(queue, same)
    assert task.result(WAIT_S) == 1


def test_original_0_8_claim_and_commit_whose_replies_are_lost_are_made_once(queue, monkeypatch, gate):
    gate.set()
    forgetful = Forgetful(queue.storage, monkeypatch, below="/parts/")
    task = queue.submit(gated, 1)
    work_off(queue, gated)
    assert sorted(forgetful.lost) == ["create", "replace"]
    assert (task.result(WAIT_S), task.attempt, STARTED) == (10, 1, [1])


# --- 1: features ---------------------------------------------------------------------------------


class Later(oqkit.Reschedule):
    """Somebody's own."""


class Hopeless(oqkit.PermanentError):
    """Somebody's own."""


def test_original_1_7_subclasses_of_control_flow_are_what_their_classes_are(queue):
    calls = []

    def moody(x):
        calls.append(x)
        if x == "later" and calls.count(x) == 1:
            raise Later(0.01)
        if x == "hopeless":
            raise Hopeless("never")
        return x

    job = queue.map("moody", ["later", "hopeless"], retries=1)
    until(lambda: work_off(queue, moody) and job.done(), what="both end")
    assert job.tasks()["status"].tolist() == ["completed", "failed"]
    assert calls.count("hopeless") == 1
    assert queue.get(f"{job.id}.0").reschedules == 1


def test_original_1_14_environment_says_where_the_queue_is(queue):
    assert oqkit.connect().url == queue.url  # the fixture has set OQ_URL, and nothing else


@pytest.mark.parametrize("shards", (0, -1, 4097, 1.5, True, "16"))
def test_original_1_14_impossible_number_of_shards_is_refused_and_nothing_is_written(queue, shards):
    url = f"{queue.url}/impossible"
    with pytest.raises(oqkit.UsageError, match="must be a whole number from 1 to 4,096"):
        oqkit.connect(url, shards=shards)
    with pytest.raises(oqkit.UnknownQueue):
        oqkit.connect(url, create=False)


def test_original_1_19_errors_are_told_apart_by_their_class(queue):
    task = queue.submit(same, 1, key="k")
    work_off(queue, same)
    for act, kind in (
        (lambda: queue.submit(same, 2, key="k"), oqkit.DuplicateJob),
        (lambda: queue.job("nobody"), oqkit.UnknownJob),
        (lambda: queue.get(f"{task.job.id}.7"), oqkit.UsageError),
        (lambda: queue.submit(same, 1, priority=1000), oqkit.UsageError),
        (task.cancel, oqkit.IllegalTransition),
        (lambda: queue.submit("nobody_has_it", 1).wait(0), oqkit.WaitTimeout),
    ):
        with pytest.raises(kind) as caught:
            act()
        assert isinstance(caught.value, oqkit.OqError)


def test_original_1_22_a_b_running_call_learns_of_its_cancellation_and_does_not_complete(queue, start):
    started, told = [], []

    def patient(x, ctx: oqkit.Context):
        started.append(x)
        until(lambda: ctx.cancelled, what="the call is told")
        told.append(x)

    start(patient, queue=queue, lease_s=1.0)
    task = queue.submit("patient", 1)
    until(lambda: started, what="it runs")
    task.cancel(reason="changed my mind")
    task.cancel()  # twice is fine
    until(lambda: told, what="it was told without asking anew")
    assert task.status == "cancelled"
    with pytest.raises(oqkit.JobFailed):
        task.result(WAIT_S)


@pytest.mark.parametrize("kind", (ValueError, TimeoutError, OSError, KeyError, ConnectionError))
def test_original_1_36_any_error_is_retried(queue, kind):
    calls = []

    def shaky(x):
        calls.append(x)
        if len(calls) == 1:
            raise kind("once")
        return x

    task = queue.submit("shaky", 1, retries=1, backoff=oqkit.Backoff(initial_s=0.01))
    until(lambda: work_off(queue, shaky) and task.done(), what="it ends")
    assert (task.result(WAIT_S), len(calls)) == (1, 2)


def test_original_1_36_text_of_an_error_says_nothing_of_its_kind(queue):
    calls = []

    def misleading(x):
        calls.append(x)
        if x == "permanent":
            raise oqkit.PermanentError("upstream said ConnectionError, RetryableError, Reschedule")
        raise ValueError("PermanentError: RescheduleError after 60 seconds")

    job = queue.map("misleading", ["permanent", "other"], retries=1, backoff=oqkit.Backoff(initial_s=0.01))
    until(lambda: work_off(queue, misleading) and job.done(), what="both end")
    assert (calls.count("permanent"), calls.count("other")) == (1, 2)


# --- 4: values -----------------------------------------------------------------------------------

VALUES = (
    dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC), dt.date(2026, 1, 2), b"\x00\xff", {1: "a", "b": 2}, math.inf,
    (1, (2, 3)), [None, True, 1, 1.5, "x"], 2**70, "\u0000 text", {"nested": [{"at": dt.timedelta(seconds=1)}]}, {1, 2},
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_original_4_value_that_json_lacks_comes_back_as_it_is(queue, value):
    task = queue.submit(same, [value])
    work_off(queue, same)
    (found,) = task.result(WAIT_S)
    assert (type(found), found) == (type(value), value)


def test_original_4_nan_stays_nan(queue):
    task = queue.submit(same, [math.nan, None])
    work_off(queue, same)
    first, second = task.result(WAIT_S)
    assert isinstance(first, float)
    assert math.isnan(first)
    assert second is None


def test_original_4_status_is_its_text(queue):
    task = queue.submit(same, 1)
    assert task.status == "pending"
    assert {task.status: 1}["pending"] == 1


# --- 5: workers ----------------------------------------------------------------------------------


def test_original_5_coroutines_run_at_the_same_time(queue):
    there = []

    async def meet(x):
        there.append(x)
        while len(there) < 4:  # noqa: ASYNC110 - each needs the other three, whose loop may be another
            await asyncio.sleep(0.001)
        return x

    job = queue.map("meet", range(4))
    work_off(queue, meet)
    assert job.result(WAIT_S)["meet"].tolist() == [0, 1, 2, 3]


def test_original_5_calls_run_at_the_same_time_on_a_worker_with_more_than_one_slot(queue, start, gate):
    job = queue.map(gated, range(3), part_rows=1)
    start(gated, queue=queue, concurrency=3)
    until(lambda: len(STARTED) == 3, what="three run at once")
    gate.set()
    assert job.result(WAIT_S)["gated"].tolist() == [0, 10, 20]


def test_original_5_tasks_of_other_types_and_stale_entries_in_front_block_nobody(queue):
    others = [queue.submit("nobody_has_it", x, priority=255) for x in range(12)]
    stale = [queue.submit(same, x, priority=255) for x in range(12)]
    for task in stale:
        queue.storage.delete(next(name for name in names_below(queue.storage, "jobs/") if task.job.id in name))
    ours = queue.submit(same, "ours", priority=1)
    work_off(queue, same)
    assert ours.result(WAIT_S) == "ours"
    assert {task.status for task in others} == {"pending"}


def test_original_5_result_is_not_lost_when_the_storage_fails_at_the_end_of_a_task(queue, monkeypatch):
    calls, failures = [], []

    def note(x):
        calls.append(x)
        return x

    replace_as_ever = queue.storage.replace

    def failing(key, *arguments, **options):
        if "/parts/" in key and len(failures) < 5:
            failures.append(key)
            raise Unavailable("the storage is away")
        return replace_as_ever(key, *arguments, **options)

    monkeypatch.setattr(queue.storage, "replace", failing)
    task = queue.submit("note", 1)
    work_off(queue, note)
    assert len(failures) == 5
    assert (task.result(WAIT_S), calls) == (1, [1])
