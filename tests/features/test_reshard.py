"""A queue that is given another number of shards while there are jobs in it, and workers and clients at it."""

from __future__ import annotations

import json

import pytest

import oqkit
from oqkit.limits import Limits, QueueLimits
from oqkit.queue.key import SETTINGS
from oqkit.queue.layout import SETTINGS as KIND
from tests.local import WAIT_S, connect_with, names_below, until, work_off


@oqkit.task
def double(x):
    return 2 * x


def again(queue):
    """Another process at the same queue, which knows what is so now."""
    return oqkit.connect(queue.url)


def shards_of(queue, prefix):
    return {name.split("/")[1] for name in names_below(queue.storage, prefix)}


def test_live_queue_is_given_more_shards_and_everything_runs_once(queue, start):
    """Whoever was there before goes on: a worker, and a client that goes on to submit without knowing."""
    early = [queue.submit(double, n) for n in range(10)]
    start(double, queue=queue)
    frame = queue.map(double, range(30), name="before", part_rows=5)
    other = again(queue)
    assert other.reshard(16)["is_current"].to_dict() == {1: False, 16: True}
    late = [other.submit(double, 100 + n) for n in range(30)]
    unaware = [queue.submit(double, 200 + n) for n in range(5)]
    named = other.map(double, range(20), name="after", part_rows=5)
    assert [task.result(WAIT_S) for task in (*early, *late, *unaware)] == [
        2 * n for n in (*range(10), *range(100, 130), *range(200, 205))
    ]
    assert frame.result(WAIT_S)["double"].tolist() == [2 * n for n in range(30)]
    assert named.result(WAIT_S)["double"].tolist() == [2 * n for n in range(20)]
    assert {task.attempt for task in (*early, *late, *unaware)} == {1}
    assert len(shards_of(queue, "jobs/")) > 5
    assert len(shards_of(queue, "work/")) > 5
    assert len(other.jobs(limit=100)) == len(queue.jobs(limit=100)) == 47
    assert again(queue).get(late[0].id).result(WAIT_S) == queue.get(late[0].id).result(WAIT_S) == 200


def test_original_1_14_jobs_of_before_a_reshard_are_claimed_cancelled_and_retried(queue):
    """There, objects were copied and went on naming their old shard: the tasks could be neither claimed nor cancelled."""
    jobs = [queue.map(double, range(4), name=f"job{n}") for n in range(3)] + [queue.submit(double, 7).job]
    other = again(queue)
    other.reshard(64)
    jobs[0].cancel()
    other.job(jobs[1].id).cancel()
    assert {job.status for job in jobs[:2]} == {"cancelled"}
    other.job("job0").retry("cancelled")
    work_off(other, double)
    assert [job.status for job in jobs] == ["completed", "cancelled", "completed", "completed"]
    jobs[1].retry("cancelled")
    work_off(queue, double)
    assert other.job("job1").counts()["completed"] == 4


def test_key_makes_one_job_whichever_shards_its_submitters_know_of(queue):
    other = again(queue)
    other.reshard(64)
    first, second = queue.submit(double, 1, key="k"), other.submit(double, 1, key="k")
    third, fourth = other.submit(double, 2, key="l"), queue.submit(double, 2, key="l")
    assert (first, third) == (second, fourth)
    assert other.map(double, [1, 2], name="n").id == queue.map(double, [1, 2], name="n").id
    work_off(queue, double)
    assert [one.result(WAIT_S) for one in (first, second, third, fourth)] == [2, 2, 4, 4]
    assert len(queue.jobs()) == 3


def test_worker_from_before_finds_what_is_submitted_after(queue, start):
    """Without the bell: by the markers alone, in shards of which it has not heard."""
    start(double, queue=queue)
    other = again(queue)
    other.reshard(256)
    tasks = [other.submit(double, n) for n in range(20)]
    queue.storage.delete_many(["bell"])
    assert [task.result(WAIT_S) for task in tasks] == [2 * n for n in range(20)]
    assert queue.repository.settings.present == 256


def test_reshard_is_done_once_whatever_becomes_of_its_reply(queue, monkeypatch):
    store, replace = queue.repository.store, queue.repository.store.replace
    sent = []

    def lossy(key, *arguments, **options):
        etag = replace(key, *arguments, **options)
        sent.append(key)
        if len(sent) == 1:
            raise oqkit.errors.Unavailable("no reply")
        return etag

    monkeypatch.setattr(store, "replace", lossy)
    queue.reshard(8)
    assert sent == [SETTINGS]
    queue.reshard(8)
    assert sent == [SETTINGS], "to repeat it writes nothing"
    assert again(queue).repository.settings.counts == (1, 8)


def test_two_who_reshard_at_once_are_both_heard(queue):
    other = again(queue)
    other.reshard(8)
    queue.reshard(32)
    assert again(queue).repository.settings.counts == (1, 8, 32)
    assert [n for n, row in other.reshard(8).iterrows() if row["is_current"]] == [8], "which it had: no new layout"
    task = again(queue).submit(double, 1)
    assert task.id.startswith("1")
    work_off(queue, double)
    assert task.result(WAIT_S) == 2


def test_reshard_command_shows_what_would_be_and_does_it(queue, oq):
    def told(*arguments):
        return {row["shards"]: row["is_current"] for row in json.loads(oq("reshard", *arguments, "--json"))}

    before = queue.storage.read(SETTINGS)
    assert told(16, "--dry-run") == {1: False, 16: True}
    assert queue.storage.read(SETTINGS) == before
    assert told(16) == told(16) == {1: False, 16: True}
    assert again(queue).repository.settings.present == 16
    assert "from 1 to 4,096" in oq("reshard", 5000, code=2)


@pytest.mark.parametrize("shards", (0, -1, 4097, 1.5, True, "16"))
def test_impossible_number_of_shards_is_refused_and_nothing_is_written(queue, shards):
    before = queue.storage.read(SETTINGS)
    with pytest.raises(oqkit.UsageError, match="from 1 to 4,096"):
        queue.reshard(shards)
    assert queue.storage.read(SETTINGS) == before


def test_eleventh_number_of_shards_is_refused(queue):
    for n in range(2, 11):
        queue.reshard(n)
    with pytest.raises(oqkit.UsageError, match="10 numbers of shards"):
        queue.reshard(11)
    queue.reshard(1)
    tasks = [queue.submit(double, n) for n in range(3)]
    work_off(queue, double)
    assert [task.result(WAIT_S) for task in tasks] == [0, 2, 4]
    queue.reshard(10)
    with pytest.raises(oqkit.UsageError, match="has 10 shards"):
        oqkit.connect(queue.url, shards=4)


def test_jobs_of_every_layout_are_deleted_and_collected_whole(queue):
    tasks = [queue.submit(double, n) for n in range(2)] + [queue.submit(double, 5, key="k")]
    queue.reshard(64)
    tasks += [queue.submit(double, n) for n in range(5)]
    named = queue.map(double, range(20), name="named", part_rows=5)
    work_off(queue, double)
    for job in (*(task.job for task in tasks[::2]), named):
        job.delete()
    left = names_below(queue.storage, "work/")
    deleted = {job.id for job in (*(task.job for task in tasks[::2]), named)}
    assert not [name for name in left if any(job in name for job in deleted) and "/parts/" not in name]
    assert set(queue.jobs().index) == {task.job.id for task in tasks[1::2]}


def test_who_only_submits_asks_now_and_then_for_the_number_of_shards(queue, monkeypatch):
    connect_with(Limits(queue=QueueLimits(layout_fresh_s=0.0)), monkeypatch)
    unaware = again(queue)
    again(queue).reshard(16)
    assert unaware.submit(double, 1).id.startswith("1")


def test_older_oqkit_opens_no_queue_of_several_layouts_and_runs_no_job_of_a_later_one(queue, monkeypatch):
    other = again(queue)
    other.reshard(16)
    job = other.map(double, [1], name="n")
    until(lambda: json.loads(queue.storage.read(SETTINGS).data)["requires"] == ["layouts"], what="said")
    monkeypatch.setattr("oqkit.queue.document.FEATURES", frozenset())
    with pytest.raises(oqkit.OqError, match="layouts"):
        KIND.load(queue.storage.read(SETTINGS).data, SETTINGS)
    with pytest.raises(oqkit.OqError, match="layouts"):
        queue.repository.read_job(job.id)


def test_job_of_a_layout_that_the_queue_does_not_have_stops_nobody(queue):
    queue.reshard(4)
    task = queue.submit(double, 1)
    key = queue.repository.layouts.job_key(task.job.id)
    strange = f"9{task.job.id[1:]}"
    with pytest.raises(oqkit.UnknownJob):
        queue.job(strange)
    hostile = json.loads(queue.storage.read(key).data) | {"layout": 9}
    queue.storage.overwrite(key, json.dumps(hostile).encode())
    good = queue.submit(double, 2)
    queue.storage.delete_many(["bell"])
    work_off(queue, double)
    assert good.result(WAIT_S) == 4
