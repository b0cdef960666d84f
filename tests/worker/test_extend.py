"""`ctx.extend_lease`: more time for a call, and only for its own lease. Faults of the original that are named by their number."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import oqkit as oq
from oqkit.queue.part import Part
from tests.local import WAIT_S, until


def note(folder: str, name: str) -> None:
    Path(folder, name).touch()


def may_end(folder: str) -> bool:
    return Path(folder, "end").exists()


def hold(x: int, folder: str, extension_s: float, ctx: oq.Context) -> int:
    """Note that the call has begun, and wait until it may end."""
    if extension_s:
        ctx.extend_lease(extension_s)
    note(folder, f"{x}.{ctx.attempt}.begun")
    end = time.monotonic() + WAIT_S
    while not may_end(folder) and time.monotonic() < end:
        time.sleep(0.01)
    return ctx.attempt


async def hold_coroutine(x: int, folder: str, extension_s: float, ctx: oq.Context) -> int:
    """Do the same beside others."""
    if extension_s:
        await ctx.extend_lease(extension_s)
    note(folder, f"{x}.{ctx.attempt}.begun")
    while not may_end(folder):  # noqa: ASYNC110 - another process may end it
        await asyncio.sleep(0.01)
    return ctx.attempt


WAYS = {"thread": ("thread", hold), "process": ("process", hold), "coroutine": ("thread", hold_coroutine)}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def part_of(job: oq.Job) -> Part:
    return job._repository.read_part(job._view.state.job, 0).doc


def has_begun(folder: Path, name: str) -> bool:
    return (folder / f"{name}.begun").exists()


def test_lease_lasts_as_long_as_was_asked_for(queue, start, tmp_path, way):
    executor, function = way
    start(function, executor=executor, lease_s=3.0)
    now = queue.repository.now()
    job = queue.map(function, [{"x": 0, "folder": str(tmp_path), "extension_s": 3600.0}])
    until(lambda: has_begun(tmp_path, "0.1"))
    commits = part_of(job).leases[0].commits
    assert part_of(job).leases[0].expires >= now + 3600.0
    until(lambda: part_of(job).leases[0].commits > commits + 1)
    assert part_of(job).leases[0].expires >= now + 3600.0, "heartbeats leave it as it is"
    (tmp_path / "end").touch()
    assert list(job.result(WAIT_S)["hold" if function is hold else "hold_coroutine"]) == [1]


def test_extension_holds_no_other_row_of_the_lease(queue, start, tmp_path, way):
    """A long wish of one row used to keep all rows of its lease from others if the worker died."""
    executor, function = way
    start(function, executor=executor, lease_s=30.0)
    now = queue.repository.now()
    items = [{"x": x, "folder": str(tmp_path), "extension_s": 0.0 if x else 3600.0} for x in range(3)]
    job = queue.map(function, items, part_rows=3)
    until(lambda: has_begun(tmp_path, "0.1"))
    part = part_of(job)
    lease = part.lease(part.state_at(0).lease)
    assert part.state_at(0).held_until >= now + 3600.0
    assert len(part.held(lease.id)) > 1
    assert lease.expires < now + 3600.0
    (tmp_path / "end").touch()
    assert job.wait(WAIT_S).counts()["completed"] == 3


def test_original_1_2_c_extension_lengthens_the_time_out_of_the_call_that_asks(queue, start, tmp_path, way):
    """There, the time-out of a task cut it in spite of its extension."""
    executor, function = way
    start(function, executor=executor)
    start(function, executor=executor)
    options = {"timeout": 1.0, "retries": 0, "part_rows": 1}
    asks = queue.map(function, [{"x": 0, "folder": str(tmp_path), "extension_s": 600.0}], **options)
    until(lambda: has_begun(tmp_path, "0.1"))
    does_not = queue.map(function, [{"x": 1, "folder": str(tmp_path), "extension_s": 0.0}], **options)
    does_not.wait(WAIT_S)
    assert list(does_not.errors()["type"]) == ["TimeoutError"]
    (tmp_path / "end").touch()
    assert asks.wait(WAIT_S).counts()["completed"] == 1


def test_original_1_2_a_extension_goes_through_while_somebody_cancels_other_rows(queue, start, tmp_path):
    """There, any write of somebody else made the next extension fail as if the lease were lost."""
    start(hold)
    items = [{"x": x, "folder": str(tmp_path), "extension_s": 600.0} for x in range(3)]
    (tmp_path / "end").touch()
    job = queue.map(hold, items, part_rows=3)
    job.cancel([2])
    assert job.wait(WAIT_S).counts()["completed"] == 2


def reschedule_once(x: int, ctx: oq.Context) -> int:
    ctx.extend_lease(60)
    if ctx.attempt == 1 and not SEEN:
        SEEN.append(x)
        raise oq.Reschedule(0)
    return x


SEEN: list[int] = []


def test_original_1_2_d_reschedule_after_an_extension_is_recorded(queue, start):
    """There, it used the version from before, and the task stayed running."""
    SEEN.clear()
    start(reschedule_once)
    assert queue.map(reschedule_once, [7]).result(WAIT_S)["reschedule_once"].tolist() == [7]
    assert SEEN == [7]


def test_extension_of_a_cancelled_row_is_refused(queue, start, tmp_path):
    def work(x, ctx: oq.Context):
        Path(tmp_path, "begun").touch()
        until((tmp_path / "end").exists)
        try:
            ctx.extend_lease(60)
        except oq.LeaseLost:
            Path(tmp_path, "refused").touch()
            raise

    start(work)
    job = queue.map(work, [1], retries=0)
    until((tmp_path / "begun").exists)
    job.cancel()
    (tmp_path / "end").touch()
    until((tmp_path / "refused").exists)
    assert job.wait(WAIT_S).counts()["cancelled"] == 1


def test_extension_beyond_a_week_and_none_at_all_are_refused(queue, start):
    def work(x, ctx: oq.Context):
        ctx.extend_lease(x)

    start(work)
    job = queue.map(work, [8 * 86_400.0, -1.0], retries=0)
    assert list(job.wait(WAIT_S).errors()["type"]) == ["UsageError", "UsageError"]


def test_context_that_was_made_for_a_test_asks_nobody():
    ctx = oq.Context(task_id="t", job_id="j", attempt=1, worker="w")
    ctx.extend_lease(5)
    ctx.progress(1, 2)
    assert not ctx.cancelled
