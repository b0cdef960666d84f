"""Calls whose outcome is not wanted any more: told, refused, left after the grace time, killed where that is possible."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from oqkit.queue.part import settle
from tests.local import WAIT_S, until

QUICK = {"lease_s": 0.6}
"""So that a worker soon notices what became of its lease."""


def mind(x: int, folder: str, ctx: oq.Context) -> str:
    """Wait to be told, and say whether the next call of the worker was refused."""
    Path(folder, f"{x}.pid").write_text(str(os.getpid()))
    end = time.monotonic() + WAIT_S
    while not ctx.cancelled and time.monotonic() < end:
        time.sleep(0.01)
    Path(folder, f"{x}.told").touch()
    try:
        ctx.progress(1)
    except oq.LeaseLost:
        Path(folder, f"{x}.refused").touch()
        raise
    return "not refused"


def ignore(x: int, folder: str, ctx: oq.Context) -> int:
    """Go on for ever, whatever is told."""
    Path(folder, f"{x}.pid").write_text(str(os.getpid()))
    until(lambda: x >= 10 or Path(folder, "end").exists())
    return x


def ignore_all(x: int, folder: str) -> int:
    """The same, and nobody could tell it."""
    Path(folder, f"{x}.pid").write_text(str(os.getpid()))
    until(lambda: x >= 10 or Path(folder, "end").exists())
    return x


@oq.task(batch=True)
def ignore_batch(frame, ctx: oq.Context):
    return [ignore(int(x), folder, ctx) for x, folder in zip(frame["x"], frame["folder"], strict=True)]


def there(path: Path) -> str:
    """Return what a file says, once it says something."""
    return until(lambda: path.exists() and path.read_text())


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that has ended and was not asked for is none."""
    try:
        return "\nState:\tZ" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False


def take_over(queue: oq.Queue, job: oq.Job) -> None:
    """Let the leases of the first part run out, as if its holder had stood still."""
    repository, document = queue.repository, job._view.state.job
    later = repository.now() + 3600.0
    repository.update_part(
        document,
        0,
        lambda part: settle(part, now=later, policy=document.policy, chance=0.5),
        applied=lambda part: not part.leases,
    )


@pytest.fixture(params=("cancel", "take over"))
def lose(request, queue):
    """Take the rows of a running job from its worker."""
    return {"cancel": lambda job: job.cancel(), "take over": lambda job: take_over(queue, job)}[request.param]


def items(folder, *numbers):
    return [{"x": x, "folder": str(folder)} for x in numbers]


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_call_is_told_and_then_refused(queue, start, tmp_path, lose, executor):
    worker = start(mind, executor=executor, grace_s=WAIT_S, **QUICK)
    job = queue.map(mind, items(tmp_path, 0), retries=0)
    there(tmp_path / "0.pid")
    lose(job)
    until((tmp_path / "0.refused").exists)
    worker.stop()


@pytest.mark.parametrize("function", (ignore, ignore_batch), ids=("rows", "batch"))
def test_process_that_does_not_listen_is_killed_after_the_grace_time(queue, start, tmp_path, lose, function):
    start(function, executor="process", grace_s=0.2, **QUICK)
    job = (
        queue.map(function, items(tmp_path, 0))
        if function is ignore
        else queue.submit_frame(frame_of(tmp_path), function)
    )
    pid = there(tmp_path / "0.pid")
    lose(job)
    until(lambda: not is_alive(pid))


def frame_of(folder):
    return pd.DataFrame(items(folder, 0))


def test_process_has_the_grace_time_to_end_by_itself(queue, start, tmp_path, lose):
    start(mind, executor="process", grace_s=WAIT_S, **QUICK)
    job = queue.map(mind, items(tmp_path, 0))
    pid = there(tmp_path / "0.pid")
    lose(job)
    until((tmp_path / "0.refused").exists)
    assert is_alive(pid), "the next lease needs no new process"


def test_process_whose_function_cannot_be_told_is_killed_at_once_when_others_may_run_its_rows(queue, start, tmp_path):
    start(ignore_all, executor="process", grace_s=WAIT_S, **QUICK)
    job = queue.map(ignore_all, items(tmp_path, 0))
    pid = there(tmp_path / "0.pid")
    take_over(queue, job)
    until(lambda: not is_alive(pid))


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_worker_goes_on_with_other_rows_when_a_cancelled_one_does_not_end(queue, start, tmp_path, executor):
    start(ignore, executor=executor, grace_s=0.2, **QUICK)
    job = queue.map(ignore, items(tmp_path, 0, 11, 12), part_rows=3, retries=0)
    there(tmp_path / "0.pid")
    assert job.cancel([0]) == 1
    assert job.wait(WAIT_S).counts() | {"completed": 2, "cancelled": 1} == job.counts()
    assert list(job.tasks()["attempt"]) == [1, 1, 1], "in the lease that they have, and nobody is charged"


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_cancelling_twice_is_as_cancelling_once(queue, start, tmp_path, executor):
    start(mind, executor=executor, grace_s=WAIT_S, **QUICK)
    job = queue.map(mind, items(tmp_path, 0))
    there(tmp_path / "0.pid")
    assert (job.cancel(), job.cancel()) == (1, 0)
    until((tmp_path / "0.refused").exists)
    assert job.counts()["cancelled"] == 1


def test_call_in_a_thread_that_does_not_end_is_left_after_the_grace_time(queue, start, tmp_path):
    start(ignore, grace_s=0.2, **QUICK)
    job = queue.map(ignore, items(tmp_path, 0))
    there(tmp_path / "0.pid")
    job.cancel()
    other = queue.map(ignore, items(tmp_path, 10))
    assert other.wait(WAIT_S).counts()["completed"] == 1
    (tmp_path / "end").touch()


def test_cancel_of_others_is_not_told_to_a_call(queue, start, tmp_path):
    start(mind, **QUICK)
    job = queue.map(mind, items(tmp_path, 0, 1), part_rows=2)
    there(tmp_path / "0.pid")
    job.cancel([1])
    gen = until(lambda: job._refresh() or job._view.state.known[0].doc.gen > 1)
    assert gen
    rev = job._view.state.known[0].doc.rev
    until(lambda: job._refresh() or job._view.state.known[0].doc.rev > rev + 1, what="the worker has seen it")
    assert not (tmp_path / "0.told").exists()
    job.cancel()
    until((tmp_path / "0.refused").exists)


def hold_first(x: int, folder: str) -> int:
    Path(folder, f"{x}.begun").touch()
    until(lambda: x > 0 or Path(folder, "end").exists())
    return x


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_row_that_is_cancelled_while_it_waits_in_a_lease_is_not_started(queue, start, tmp_path, executor):
    start(hold_first, executor=executor, **QUICK)
    job = queue.map(hold_first, items(tmp_path, 0, 1, 2), part_rows=3)
    until((tmp_path / "0.begun").exists)
    assert job.tasks()["status"].tolist() == ["running"] * 3
    job.cancel([2])
    until(lambda: job.tasks()["status"].tolist() == ["running", "pending", "cancelled"])
    (tmp_path / "end").touch()
    assert job.wait(WAIT_S).counts() | {"completed": 2, "cancelled": 1} == job.counts()
    assert not (tmp_path / "2.begun").exists()
