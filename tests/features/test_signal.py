"""Tasks that wait for a signal, without holding a worker."""

from __future__ import annotations

from contextlib import suppress

import pytest

import oqkit as oqk
from tests.local import WAIT_S, until, work_off

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def double(x):
    return 2 * x


def approved(x, ctx: oqk.Context):
    CALLS.append("began")
    try:
        answer = ctx.wait_for_signal("approval")
    except Exception:
        return "swallowed"
    return [x, answer]


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_task_waits_without_a_worker_and_goes_on_when_the_signal_comes(queue, start, executor):
    """In the original a wait held its worker, which asked once a second."""
    start(approved, double, queue=queue, concurrency=1, executor=executor)
    task = queue.submit(approved, 7, retries=0)
    until(lambda: task.status == "pending" and task.attempt == 1)
    assert queue.submit(double, 4).result(WAIT_S) == 8, "the only slot is free"
    assert task.job.why() == "Tasks wait for the signal 'approval': job.signal(name, value) sends one."
    task.job.signal("approval", {"by": ("ana", 3)})
    assert task.result(WAIT_S) == [7, {"by": ("ana", 3)}]
    assert task.attempt == 2


def test_signal_that_comes_first_is_not_lost(queue):
    task = queue.submit(approved, 7)
    task.job.signal("approval", "yes")
    task.job.signal("something else", "no")
    work_off(queue, approved)
    assert task.result(WAIT_S) == [7, "yes"]
    assert CALLS == ["began"]


def several(ctx: oqk.Context):
    first, other, second = (ctx.wait_for_signal(name) for name in ("a", "b", "a"))
    CALLS.append("all")
    if len(CALLS) == 1:
        raise ValueError("once more")
    return [first, other, second]


def test_signals_come_in_order_and_again_at_every_attempt(queue):
    task = queue.submit(wait_for_several, 0, backoff=0.0)
    for name, value in (("a", 1), ("a", 2), ("b", 3), ("a", 4)):
        task.job.signal(name, value)
    work_off(queue, wait_for_several)
    assert task.result(WAIT_S) == [1, 3, 2]
    assert len(CALLS) == 2


def wait_for_several(x, ctx: oqk.Context):
    return several(ctx)


def test_signal_to_one_task_leaves_the_others_waiting(queue, start):
    start(approved, queue=queue)
    job = queue.map(approved, [0, 1, 2])
    until(lambda: job.tasks()["attempt"].sum() == 3 and job.counts()["pending"] == 3)
    queue.get(f"{job.id}.1").signal("approval", "you")
    assert queue.get(f"{job.id}.1").result(WAIT_S) == [1, "you"]
    assert job.counts()["pending"] == 2
    job.signal("approval", "all")
    assert [queue.get(f"{job.id}.{row}").result(WAIT_S)[1] for row in range(3)] == ["all", "you", "all"]


def impatient(x, ctx: oqk.Context):
    CALLS.append("began")
    try:
        return ctx.wait_for_signal("never", timeout=0.3)
    except TimeoutError as error:
        return str(error)


def test_wait_ends_with_its_time(queue):
    task = queue.submit(impatient, 0)
    work_off(queue, impatient)
    assert task.result(WAIT_S) == "the signal 'never' has not come in time"
    assert len(CALLS) == 2


def insatiable(x, ctx: oqk.Context):
    for number in range(3):
        with suppress(TimeoutError):
            ctx.wait_for_signal(f"never {number}", timeout=0.05)


def test_task_that_waits_too_often_fails_and_leaves_the_others_alone(queue, monkeypatch):
    """Its state would be too large to be stored, and the commit, with all of its lease, be refused again and again."""
    monkeypatch.setattr("oqkit.queue.signal.MAX_WAITS", 2)
    task = queue.submit(insatiable, 0, retries=0)
    work_off(queue, insatiable)
    assert task.status == "failed"
    assert "UsageError: a task may wait 2 times" in str(task.error())


async def later(x, ctx: oqk.Context):
    return await ctx.wait_for_signal("go")


def test_coroutine_awaits_its_signal(queue, start):
    start(later, queue=queue)
    task = queue.submit(later, 0)
    until(lambda: task.status == "pending" and task.attempt == 1)
    task.signal("go", 5)
    assert task.result(WAIT_S) == 5


def published(x, ctx: oqk.Context):
    answer = ctx.wait_for_signal("approval")
    if not answer["ok"]:
        raise oqk.PermanentError("rejected")
    return "published"


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_retry_by_hand_asks_for_a_new_answer(queue, start, executor):
    start(published, queue=queue, executor=executor)
    task = queue.submit(published, 7)
    task.signal("approval", {"ok": False})
    assert task.wait(WAIT_S).status == "failed"
    task.retry()
    until(lambda: "Tasks wait for the signal 'approval'" in task.job.why())
    task.signal("approval", {"ok": True})
    assert task.result(WAIT_S) == "published"


def failing(x, ctx: oqk.Context):
    CALLS.append(ctx.wait_for_signal("go"))
    raise ValueError("not yet")


def test_task_that_waits_for_its_retry_does_not_wait_for_a_signal(queue, start):
    start(failing, queue=queue)
    task = queue.submit(failing, 7, backoff=3600.0, retries=3)
    task.signal("go", 1)
    until(lambda: task.status == "pending" and task.error())
    assert "signal" not in task.job.why()
    due = task._state().due
    task.signal("go", 2)
    assert task._state().due == due
    assert CALLS == [1]


def test_history_says_who_sent_what(queue):
    task = queue.submit(approved, 7)
    task.signal("approval", 1, by="ana")
    notes = queue.history(task.id).set_index("note")["by"]
    assert notes["signal approval"] == "ana"


def test_what_is_wrong_is_refused(queue):
    task = queue.submit(approved, 7)
    with pytest.raises(oqk.UsageError, match="may have 10,000"):
        task.signal("approval", "x" * 20_000)
    with pytest.raises(oqk.SchemaError, match="'approval' cannot carry"):
        task.signal("approval", object())
    with pytest.raises(oqk.UsageError, match="name="):
        task.signal("", 1)
    task.cancel()
    with pytest.raises(oqk.UsageError, match="has ended"):
        task.signal("approval", 1)


def test_signals_of_a_job_are_bounded(queue):
    task = queue.submit(approved, 7)
    for _ in range(27):
        task.signal("many", "x" * 9_900)
    with pytest.raises(oqk.UsageError, match="signal 'many' is refused: the job was sent 27 signals of"):
        task.signal("many", 1)


def test_command_line_sends_a_signal(queue, oq):
    task = queue.submit(approved, 7)
    oq("signal", task.job.id, "approval", '{"ok": true}')
    work_off(queue, approved)
    assert task.result(WAIT_S) == [7, {"ok": True}]
