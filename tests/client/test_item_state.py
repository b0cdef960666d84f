"""`status`, `counts()` and `as_completed()` of a job of `map(key=)` are about all items of its call, also those of other jobs."""

from __future__ import annotations

import asyncio
from collections import Counter

import pandas as pd
import pytest

import oqkit as oq
from tests.local import WAIT_S, work_off


@oq.task(retries=0)
def fetch(id):  # noqa: A002 - the field that items are known by
    if id < 0:
        raise oq.PermanentError("less than nothing")
    return 10 * id


def call(queue, *ids, **options):
    return queue.map(fetch, [{"id": one} for one in ids], key="id", **options)


def told(job):
    return {status: n for status, n in job.counts().items() if n}


@pytest.fixture
def known(queue):
    """A job whose items later calls have, too."""
    return call(queue, 1, 2, 3)


def test_items_of_other_jobs_are_counted_and_those_that_occur_twice_twice(queue, known):
    job, nothing_new = call(queue, 3, 4, 1, 3), call(queue, 2, 2)
    assert (len(job), len(nothing_new)) == (1, 0)
    assert (told(job), told(nothing_new)) == ({"pending": 4}, {"pending": 2})
    assert (job.status, nothing_new.status) == ("pending", "pending")
    work_off(queue, fetch)
    for one in (job, nothing_new, queue.job(nothing_new.id)):
        assert told(one) == {"completed": len(one.result(WAIT_S))}
        assert one.status == "completed"


def test_what_others_completed_before_has_begun(queue, known):
    work_off(queue, fetch)
    job = call(queue, 1, 4)
    assert (told(job), job.status) == ({"completed": 1, "pending": 1}, "running")
    job.pause("later")
    assert job.status == "paused"


@pytest.mark.parametrize(
    ("ids", "status", "counts"),
    (
        ((1, 5), "completed", {"completed": 2}),
        ((-1, 5), "failed", {"failed": 1, "completed": 1}),
        ((-1, -1), "failed", {"failed": 2}),
        ((7, 5), "cancelled", {"cancelled": 1, "completed": 1}),
        ((7, -1), "failed", {"cancelled": 1, "failed": 1}),
    ),
)
def test_only_items_of_the_call_say_how_it_ended(queue, ids, status, counts):
    first = call(queue, 1, -1, 7)
    first.cancel([2])
    work_off(queue, fetch)
    job = call(queue, *ids)
    work_off(queue, fetch)
    assert (job.status, told(job)) == (status, counts)


@pytest.mark.parametrize("n_known", (1, 20))
def test_tasks_of_the_other_job_that_are_no_items_of_the_call_do_not_count(queue, n_known):
    first = call(queue, *range(n_known + 1), part_rows=1)
    first.cancel([n_known])
    work_off(queue, fetch)
    job = call(queue, *range(n_known))
    assert (job.status, told(job)) == ("completed", {"completed": n_known})


def test_items_that_wait_say_for_what(queue):
    before = queue.submit("other", {"x": 1})
    blocked = call(queue, 1, depends_on=[before])
    job = call(queue, 1, 1)
    assert (job.status, told(job)) == ("blocked", {"blocked": 2})
    paused = call(queue, 2)
    paused.pause("wait")
    assert call(queue, 2, 2).status == "paused"
    assert call(queue, 2, 1, 2).status == "blocked"
    assert blocked.status == "blocked"
    assert call(queue, 2, 1, 3).status == "pending"


def test_items_whose_job_was_deleted_are_unreadable(queue, known):
    job = call(queue, 1, 4)
    work_off(queue, fetch)
    known.delete()
    again = queue.job(job.id)
    assert (again.status, told(again)) == ("unreadable", {"completed": 1, "unreadable": 1})


def test_orders_concern_the_new_items_alone_and_say_how_many(queue, known):
    job = call(queue, 1, 4, 5)
    assert queue.cancel(job, dry_run=True) == 2
    assert job.cancel() == 2
    assert told(job) == {"pending": 1, "cancelled": 2}
    assert told(known) == {"pending": 3}
    assert queue.retry(job, "cancelled", dry_run=True) == 2
    assert job.retry("cancelled") == 2
    work_off(queue, fetch)
    assert told(job) == {"completed": 3}


# --- as_completed ---------------------------------------------------------------------------------


def all_of(frames):
    """Return what frames have together, by the number of the item in the call."""
    frames = list(frames)
    assert all(len(frame) for frame in frames)
    found = pd.concat(frames)
    assert found.index.is_unique
    return found.sort_index()["fetch"].tolist()


def test_every_item_of_the_call_comes_once(queue, known):
    job, nothing_new = call(queue, 3, 4, 1, 3), call(queue, 1, 1)
    work_off(queue, fetch)
    assert all_of(job.as_completed(WAIT_S)) == [30, 40, 10, 30]
    assert all_of(nothing_new.as_completed(WAIT_S)) == [10, 10]

    async def frames():
        return [frame async for frame in job.as_completed(WAIT_S)]

    assert all_of(asyncio.run(frames())) == [30, 40, 10, 30]


def test_what_is_there_comes_at_once_and_the_rest_as_it_is_committed(queue):
    first = call(queue, 1, 2, part_rows=1)
    work_off(queue, fetch)
    later = call(queue, 3)
    job = call(queue, 1, 3, 4)
    seen = Counter()
    stream = iter(job.as_completed(WAIT_S))
    seen.update(next(stream)["fetch"].tolist())
    assert seen == {10: 1}
    assert not later.done()
    work_off(queue, fetch)
    for frame in stream:
        seen.update(frame["fetch"].tolist())
    assert seen == {10: 1, 30: 1, 40: 1}
    assert first.done()


def test_stream_that_is_late_names_the_job_that_has_the_item(queue, known):
    job = call(queue, 1, 4)
    known.pause("not now")
    with pytest.raises(oq.WaitTimeout, match=f"{job.id} is not done after 0 s"):
        list(job.as_completed(0))
    job.cancel()
    with pytest.raises(oq.WaitTimeout, match=f"{known.id} is not done after 0 s: 3 pending"):
        list(job.as_completed(0))
