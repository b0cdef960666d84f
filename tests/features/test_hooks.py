"""Hooks of a worker and of a client. Faults of the original that are named by their number must not come back."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import oqkit
from oqkit.claim.lease import HeldLease
from oqkit.errors import Unavailable
from oqkit.observe.hook import TaskEvent
from tests.local import WAIT_S, until, work_off
from tests.worker.test_unwanted import take_over

OCCASIONS = ("on_startup", "on_success", "on_error", "on_retry", "on_shutdown")


def moody(x: int, ctx: oqkit.Context) -> int:
    """Fail for good at 1, once at 2, ask to be put back once at 3."""
    if x == 1:
        raise oqkit.PermanentError("never")
    if x == 2 and ctx.attempt == 1:
        raise ValueError("not yet")
    if x == 3 and ctx.attempt == 1 and not PUT_BACK:
        PUT_BACK.append(x)
        raise oqkit.Reschedule(0)
    return x


PUT_BACK: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_was_put_back():
    PUT_BACK.clear()


def hooked(queue, *functions, **options):
    """Return a worker, and what all of its hooks were told, in order."""
    worker, told = oqkit.Worker(queue, functions, trust_code=True, **options), []
    for occasion in OCCASIONS:
        getattr(worker, occasion)(lambda event, occasion=occasion: told.append((occasion, event)))
    return worker, told


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_each_hook_is_told_of_its_tasks(queue, executor):
    worker, told = hooked(queue, moody, executor=executor)
    job = queue.map(moody, range(4), backoff=0.001, tags={"team": "a"}, part_rows=4)
    worker.run(until_idle=True)
    assert [occasion for occasion, _ in told][0 :: len(told) - 1] == ["on_startup", "on_shutdown"]
    assert told[0][1].worker == told[-1][1].worker == worker.name
    tasks = [(occasion, event) for occasion, event in told if isinstance(event, TaskEvent)]
    assert sorted((occasion, event.row, event.attempt) for occasion, event in tasks) == [
        ("on_error", 1, 1),
        ("on_retry", 2, 1),
        ("on_success", 0, 1),
        ("on_success", 2, 2),
        ("on_success", 3, 1),
    ]
    errors = {event.row: event.error and (event.error.type, event.error.message) for _, event in tasks}
    assert errors == {0: None, 1: ("PermanentError", "never"), 2: None, 3: None}
    retried = next(event for occasion, event in tasks if occasion == "on_retry")
    assert (retried.task_id, retried.error.type) == (f"{job.id}.2", "ValueError")
    assert "in moody" in retried.error.traceback
    for _, event in tasks:
        assert (event.job_id, event.type, event.tags, event.worker) == (job.id, "moody", {"team": "a"}, worker.name)


def test_task_that_is_put_back_too_often_is_an_error(queue):
    def again(x):
        raise oqkit.Reschedule(0)

    worker, told = hooked(queue, again)
    queue.map(again, [1], max_reschedules=1)
    worker.run(until_idle=True)
    assert [(occasion, event.error.type) for occasion, event in told[1:-1]] == [("on_error", "Reschedule")]


def test_hooks_are_called_in_the_order_in_which_they_came_and_several_of_each(queue):
    worker, told = oqkit.Worker(queue, [moody]), []

    @worker.on_success
    def first(event: TaskEvent) -> None:
        told.append(("first", event.row))

    @worker.on_success
    async def second(event: TaskEvent) -> None:
        await asyncio.sleep(0)
        told.append(("second", event.row))

    worker.on_success(lambda: told.append("needs to be told nothing"))
    assert first.__name__ == "first"
    queue.map(moody, [0])
    worker.run(until_idle=True)
    assert told == [("first", 0), ("second", 0), "needs to be told nothing"]


def test_coroutine_hooks_share_one_event_loop(queue):
    worker, loops = oqkit.Worker(queue, [moody]), []

    async def note():
        loops.append(asyncio.get_running_loop())

    worker.on_startup(note)
    worker.on_success(note)
    worker.on_shutdown(note)
    queue.map(moody, [0, 4], part_rows=1)
    worker.run(until_idle=True)
    assert len(loops) == 4
    assert len(set(loops)) == 1


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_error_in_a_hook_is_logged_and_changes_nothing(queue, caplog, occasion):
    worker, told = oqkit.Worker(queue, [moody]), []

    def fail(event):
        raise SystemExit(f"in {occasion}")

    getattr(worker, occasion)(fail)
    getattr(worker, occasion)(told.append)
    job = queue.map(moody, range(4), backoff=0.001)
    with caplog.at_level(logging.WARNING, "oqkit"):
        worker.run(until_idle=True)
    assert job.counts() | {"completed": 3, "failed": 1} == job.counts()
    assert told, "the one after it is called"
    records = [record for record in caplog.records if occasion in record.getMessage()]
    assert [(record.exc_info[0], record.name) for record in records] == [(SystemExit, "oqkit.observe.hook")]


HAS_RUN = threading.Event()


def running(x):
    HAS_RUN.set()


def test_work_begins_when_the_hooks_of_the_startup_have_returned(queue):
    HAS_RUN.clear()
    worker, ran_before = oqkit.Worker(queue, [running]), []
    worker.on_startup(lambda: ran_before.append(HAS_RUN.wait(0.5)))
    queue.map(running, [0])
    worker.run(until_idle=True)
    assert ran_before == [False]
    assert HAS_RUN.is_set()


def test_worker_can_be_stopped_while_a_hook_of_its_startup_hangs(queue):
    worker, go_on = oqkit.Worker(queue, [moody], grace_s=0.1), threading.Event()
    worker.on_startup(lambda: go_on.wait(WAIT_S))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    worker.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    go_on.set()


def test_what_is_no_function_is_refused(queue):
    with pytest.raises(oqkit.UsageError, match="on_success takes a function, and 'print' is none"):
        oqkit.Worker(queue, [moody]).on_success("print")


def test_worker_without_hooks_has_no_listener(queue):
    worker = oqkit.Worker(queue, [moody])
    assert worker._observers.listeners == ()
    worker.on_error(print)
    worker.on_retry(print)
    assert len(worker._observers.listeners) == 1


# --- faults of the original ----------------------------------------------------------------------


def test_original_1_12_success_is_told_once_the_outcome_is_stored_and_what_is_told_is_so_by_then(queue):
    """There, hooks got the task as it had been claimed: running, and without a result."""
    worker, seen = oqkit.Worker(queue, [moody]), []
    worker.on_success(lambda event: seen.append((task := queue.get(event.task_id)) and (task.status, task.result())))
    queue.map(moody, [0, 4], part_rows=2)
    worker.run(until_idle=True)
    assert seen == [("completed", 0), ("completed", 4)]


def test_original_1_12_success_is_not_told_of_an_outcome_that_could_not_be_stored(queue, start, tmp_path):
    """There, it was told also when the lease was lost."""

    def work(x, ctx: oqkit.Context):
        Path(tmp_path, f"begun.{ctx.attempt}").touch()
        until(lambda: Path(tmp_path, "end").exists())
        return ctx.worker

    job = queue.map(work, ["a"])
    loser, won = start(work), []
    lost = []
    loser.on_success(lost.append)
    until((tmp_path / "begun.1").exists)
    loser.stop()  # it is to take nothing more
    take_over(queue, job)
    winner = start(work)
    winner.on_success(won.append)
    until(lambda: job.tasks("running")["worker"].tolist() == [winner.name])
    (tmp_path / "end").touch()
    job.wait(WAIT_S)
    until(lambda: won)
    start.stop()
    assert (len(won), lost) == (1, [])
    assert job.result()["work"].tolist() == [winner.name]


def test_original_1_12_success_is_not_told_while_the_store_is_away(queue, monkeypatch):
    """There, the result was dropped after three tries, and success was told."""
    worker, told, real = oqkit.Worker(queue, [moody]), [], HeldLease.commit
    worker.on_success(told.append)
    n_tries = []

    def commit(lease, given, **more):
        if given.outcomes and len(n_tries) < 3:
            n_tries.append(len(told))
            raise Unavailable("away")
        real(lease, given, **more)

    monkeypatch.setattr(HeldLease, "commit", commit)
    queue.map(moody, [0])
    worker.run(until_idle=True)
    assert (n_tries, len(told)) == ([0, 0, 0], 1)


SCRIPT = """
import sys, time
from pathlib import Path
import oqkit as oq

def work(x, ctx: oq.Context):
    Path(sys.argv[2], "begun").touch()
    while not ctx.cancelled:
        time.sleep(0.01)
    return x

worker = oq.Worker(oq.connect(sys.argv[1]), [work], grace_s=30)
worker.on_shutdown(lambda event: Path(sys.argv[2], "told").touch())
worker.on_success(lambda event: Path(sys.argv[2], "done").touch())
worker.run()
Path(sys.argv[2], "returned").touch()
"""


@pytest.mark.parametrize(("number", "code"), ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)))
def test_original_1_12_shutdown_is_told_also_when_a_signal_ends_the_worker(tmp_path, number, code):
    """There, it was told only of a worker that had done as many tasks as it was to do."""
    queue = oqkit.connect(tmp_path / "queue")
    job = queue.map("work", [1])
    worker = subprocess.Popen([sys.executable, "-c", SCRIPT, queue.url, str(tmp_path)])
    until((tmp_path / "begun").exists)
    worker.send_signal(number)
    assert worker.wait(WAIT_S) == code
    assert (tmp_path / "told").exists()
    assert (tmp_path / "done").exists(), "what came within the grace time counts"
    assert (tmp_path / "returned").exists() == (number == signal.SIGINT)
    assert job.status == "completed"


# --- clients -------------------------------------------------------------------------------------


def test_hooks_of_a_client_are_told_of_what_it_did(queue):
    told = []
    for occasion in ("on_submit", "on_attach", "on_order"):
        getattr(queue, occasion)(lambda event, occasion=occasion: told.append((occasion, event)))
    oqkit.on_submit(lambda event: told.append(("by the shortcut", event)))
    job = queue.map(moody, [0], name="twice")
    queue.map(moody, [0], name="twice")
    job.cancel(reason="enough")
    until(lambda: len(told) == 4)
    assert [(occasion, event.job.id) for occasion, event in told] == [
        ("on_submit", job.id),
        ("by the shortcut", job.id),
        ("on_attach", job.id),
        ("on_order", job.id),
    ]
    assert (told[-1][1].verb, told[-1][1].n_tasks, told[-1][1].reason) == ("cancel", 1, "enough")
    work_off(queue, moody)
