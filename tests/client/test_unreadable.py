"""What a person sees of jobs, parts and records that cannot be read: a row that says why, and all that is known."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

import oqkit as oq
from oqkit.client.shown_time import shown_times
from oqkit.errors import FormatError
from oqkit.notebook.board import Jobs, board_html, board_state, board_text
from oqkit.notebook.job_watch import JobWatch
from oqkit.queue.bound import MAX_TIME_S
from tests.local import names_below

NEWER = b'{"format": 1, "requires": ["telepathy"]}'
_numbers = itertools.count()


@oq.task(name="double", retries=0)
def double(x: int) -> int:
    if x % 10 == 3:
        raise oq.PermanentError("three")
    return 2 * x


@pytest.fixture
def queue():
    return oq.connect(f"memory://unreadable-{next(_numbers)}")


@pytest.fixture
def job(queue):
    """A job of three parts that is done; the second part is of a newer oqkit."""
    job = queue.map(double, range(30), name="half", part_rows=10)
    oq.Worker(queue, [double]).run(until_idle=True)
    spoil(queue, f"-{job.id}/parts/0000001.json", NEWER)
    return queue.job(job.id)


def spoil(queue, name, data):
    store = queue.repository.store
    (key,) = [key for key in names_below(store) if name in key]
    store.overwrite(key, data)
    return key


def changed(queue, name, **fields):
    store = queue.repository.store
    (key,) = [key for key in names_below(store) if name in key]
    store.overwrite(key, json.dumps({**json.loads(store.read(key).data), **fields}).encode())


def test_job_with_an_unreadable_part_gives_what_the_others_hold(job):
    assert job.status == "unreadable"
    counts = {name: n for name, n in job.counts().items() if n}
    assert counts == {"completed": 18, "failed": 2, "unreadable": 10}
    assert sum(counts.values()) == len(job)
    assert not job.done()
    assert job.errors()["row"].tolist() == [3, 23]
    assert job.tasks()["row"].tolist() == [*range(10), *range(20, 30)]
    assert len(job.partial()) == 18
    assert len(job.result(errors="drop")) == 18
    assert job.result(errors="coerce")["double"].isna().sum() == 12


def test_waiting_for_an_unreadable_part_ends_and_says_why(job):
    why = "0000001.json.*newer oqkit, which knows 'telepathy'"
    for call in (job.wait, job.result, lambda: list(job.as_completed())):
        with pytest.raises(FormatError, match=why):
            call()
    with pytest.raises(FormatError, match=why):
        asyncio.run(awaited(job))


async def awaited(job):
    await job


def test_task_in_an_unreadable_part_says_why(queue, job):
    for call in (lambda task: task.status, lambda task: task.wait(), lambda task: task.result()):
        with pytest.raises(FormatError, match="telepathy"):
            call(queue.get(f"{job.id}.15"))
    assert queue.get(f"{job.id}.5").result() == 10


def test_part_that_can_be_read_again_counts_again(queue, job):
    store, known = queue.repository.store, job._view
    (key,) = [key for key in names_below(store) if "0000001.json" in key]
    good = [version.data for version in store.versions(key) if b"telepathy" not in version.data]
    assert job.counts()["unreadable"] == 10
    before = store.requests.snapshot()
    job.counts()
    assert store.requests.snapshot() - before == {"list": 1}, "it is not read over and over"
    other = json.loads(store.read(key.replace("0000001", "0000000")).data)
    store.overwrite(key, good[0] if good else json.dumps({**other, "part": 1}).encode())
    assert "unreadable" not in job.counts()
    assert known.state.is_final


@pytest.mark.parametrize(
    ("field", "value"),
    (("created", -5), ("created", 1e300), ("created", "now"), ("requires", ["telepathy"]), ("type", "../x")),
)
def test_unreadable_job_is_a_row_that_says_why(queue, field, value):
    good, bad = queue.submit(double, {"x": 1}), queue.submit(double, {"x": 2})
    changed(queue, f"jobs/0000/{bad.job.id}", **{field: value})
    jobs = queue.jobs()
    assert set(jobs.index) == {good.job.id, bad.job.id}
    assert jobs.loc[bad.job.id, "status"].startswith("unreadable: ")
    assert bad.job.id in jobs.loc[bad.job.id, "status"]
    assert jobs.loc[good.job.id, "status"] == "pending"
    assert abs(jobs.loc[bad.job.id, "created"] - jobs.loc[good.job.id, "created"]).total_seconds() < 60
    assert queue.jobs(status="unreadable").index.tolist() == [bad.job.id]
    assert queue.jobs(status="pending").index.tolist() == [good.job.id]


def test_every_moment_that_a_document_may_hold_is_shown(queue):
    job = queue.map(double, range(2), name="late")
    oq.Worker(queue, [double]).run(until_idle=True)
    queue.publish_schema("double", {"input": {"type": "integer"}})
    (part,) = [key for key in names_below(queue.storage) if f"-{job.id}/parts/0000000.json" in key]
    for prefix, field in (("jobs/", "created"), ("workers/", "seen"), ("schemas/", "at")):
        (key,) = [key for key in names_below(queue.storage) if key.startswith(prefix)]
        changed(queue, key, **{field: MAX_TIME_S})
    log = json.loads(queue.storage.read(part).data)["log"]
    changed(queue, part, log=[{**event, "at": MAX_TIME_S} for event in log])
    shown = (
        queue.jobs()["created"],
        queue.workers()["seen"],
        queue.schemas()["published"],
        queue.history(f"{job.id}.0")["at"],
    )
    for times in shown:
        assert times.max().timestamp() == MAX_TIME_S
    assert shown_times([MAX_TIME_S, None, 0.0015]).isna().tolist() == [False, True, False]


def test_job_with_an_unreadable_part_is_a_row_with_what_is_known(queue, job):
    row = queue.jobs().loc[job.id]
    assert row["status"].startswith("unreadable: part object")
    assert (row["tasks"], row["completed"], row["failed"], row["pending"]) == (30, 18, 2, 0)


def test_board_and_displays_show_what_cannot_be_read(queue, job):
    bad = queue.submit(double, {"x": 2})
    spoil(queue, f"jobs/0000/{bad.job.id}", b"poison")
    board = Jobs(queue.repository, limit=10).look()
    assert {line.id: line.status for line in board.lines} == {job.id: "unreadable", bad.job.id: "unreadable"}
    for text in (board_text(board), str(board_html(board)), json.dumps(board_state(board))):
        assert "telepathy" in text
        assert "does not parse" in text
    watch = JobWatch(job)
    watch.refresh()
    assert "telepathy" in watch.snapshot().trouble


def test_unreadable_record_of_a_worker_is_a_row(queue):
    oq.Worker(queue, [double], name="fine").run(until_idle=True)
    queue.repository.store.overwrite("workers/odd.json", b'{"format": 1, "name": "odd", "pid": "many"}')
    queue.repository.store.overwrite("workers/newer.json", NEWER)
    workers = queue.workers()
    assert set(workers.index) == {"fine", "odd", "newer"}
    assert workers.loc["newer", "host"].startswith("unreadable: ")


def test_job_that_was_spoilt_while_it_was_watched_shows_what_is_known(queue):
    job = queue.map(double, range(8), part_rows=4)
    other = queue.job(job.id)
    assert other.counts()["pending"] == 8
    job.cancel([0])
    spoil(queue, f"jobs/0000/{job.id}", b"poison")
    assert {name: n for name, n in other.counts().items() if n} == {"pending": 7, "cancelled": 1}
    assert other.status == "unreadable"
