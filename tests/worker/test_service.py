"""What a function asks of its worker and tells it, wherever it runs."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from oqkit.errors import LeaseLost, TaskError, UsageError
from oqkit.limits import Limits
from oqkit.queue.rows import Rows
from oqkit.task.context import Context
from oqkit.task.request import ExtendLease
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.executor import ThreadExecutor
from oqkit.worker.process import ProcessExecutor
from tests.local import WAIT_S, until
from tests.worker.execution import results, work_of


@pytest.fixture(params=(ThreadExecutor, ProcessExecutor), ids=("thread", "process"), scope="module")
def executor(request):
    executor = request.param() if request.param is ThreadExecutor else request.param(Limits())
    yield executor
    executor.close()


class Asked:
    """Answers what calls ask, and remembers it."""

    def __init__(self, answer=None):
        self.found = []
        self._answer = answer

    def __call__(self, rows, request):
        self.found.append((list(rows), request))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def started(executor, function, rows=range(1), *, ask=None, **options):
    work = replace(work_of(function, rows, **options), ask=ask or Asked(), lease="L")
    buffer = ResultBuffer(limit=len(work.rows))
    return executor.start(work, buffer), buffer


def ended(execution, buffer):
    assert execution.finished.wait(WAIT_S)
    assert execution.crash == ""
    return buffer.drain()


def asking(x: int, ctx: Context):
    return ctx.extend_lease("2m")


def telling(x: int, ctx: Context):
    for n in range(1, 4):
        ctx.progress(n, 3, f"step {n}")
    while not ctx.cancelled:
        time.sleep(0.01)


def minding(x: int, ctx: Context):
    """Wait until the outcome is not wanted, and try to go on all the same."""
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.progress(1)


async def asking_later(x: int, ctx: Context):
    """Ask, and let the others go on until all have asked."""
    return await ctx.extend_lease(60)


def asking_for_all(rows, ctx: Context):
    ctx.extend_lease(5)
    return rows


def test_answer_goes_back_to_the_call_that_asked(executor):
    asked = Asked(answer="granted")
    found = ended(*started(executor, asking, range(3), ask=asked))
    assert results(found) == dict.fromkeys(range(3), "granted")
    assert asked.found == [([row], ExtendLease(seconds=120.0)) for row in range(3)]


def test_batch_call_asks_for_all_its_rows(executor):
    asked = Asked()
    ended(*started(executor, asking_for_all, range(10), ask=asked, batch=True, first_batch=4))
    assert [rows for rows, _ in asked.found] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]


@pytest.mark.parametrize("error", (LeaseLost("L"), UsageError("no"), ValueError("a plain error")))
def test_error_of_an_answer_is_raised_in_the_function(executor, error):
    found = ended(*started(executor, asking, ask=Asked(error)))
    assert (found.failures[0].type, found.failures[0].message) == (type(error).__name__, str(error))


def test_error_that_does_not_pickle_arrives_as_what_it_says(executor):
    error = ValueError("lock", threading.Lock())
    found = ended(*started(executor, asking, ask=Asked(error)))
    assert found.failures[0].type in {"ValueError", TaskError.__name__}
    assert "lock" in found.failures[0].message


def test_coroutines_go_on_while_one_waits_for_its_answer(executor):
    everybody = threading.Barrier(2)

    def answer(rows, request):
        everybody.wait(WAIT_S)  # two ask at the same time
        return list(rows)

    found = ended(*started(executor, asking_later, range(2), ask=answer))
    assert results(found) == {0: [0], 1: [1]}


def test_results_go_on_to_come_while_a_call_of_a_child_waits_for_its_answer():
    executor, is_open = ProcessExecutor(Limits()), threading.Event()

    def work(x: int, ctx: Context):
        return ctx.extend_lease(1) if x == 3 else x

    def answer(rows, request):
        assert is_open.wait(WAIT_S)

    execution, buffer = started(executor, work, range(4), ask=answer)
    until(lambda: buffer.n_outcomes == 3)
    is_open.set()
    assert results(ended(execution, buffer)) == {0: 0, 1: 1, 2: 2, 3: None}
    executor.close()


def test_last_word_of_each_call_is_what_is_known_of_its_progress(executor):
    execution, buffer = started(executor, telling, range(1))
    heard = {}

    def is_told():
        heard.update(buffer.drain_notes())
        return heard and heard[0].current == 3

    until(is_told)
    assert (heard[0].rows, heard[0].total, heard[0].message) == (Rows.span(0, 1), 3, "step 3")
    assert buffer.notes == {}
    execution.stop(0)
    ended(execution, buffer)


def test_stop_alone_takes_no_right_from_a_call_that_goes_on(executor):
    execution, buffer = started(executor, minding)
    until(lambda: buffer.taken == 1)
    execution.stop(0)
    assert results(ended(execution, buffer)) == {0: None}


def test_call_that_is_disowned_is_told_and_then_refused_everything(executor):
    execution, buffer = started(executor, minding, range(2))
    until(lambda: buffer.taken == 1)
    execution.disown(Rows.span(0, 1))
    until(lambda: buffer.taken == 2, what="the next row is nobody's loss")
    execution.stop(0)
    found = ended(execution, buffer)
    assert found.failures[0].type == "LeaseLost"
    assert results(found) == {1: None}


def test_batch_call_goes_on_while_one_of_its_rows_is_wanted(executor):
    def batch(rows, ctx: Context):
        while not ctx.cancelled:
            time.sleep(0.01)
        return rows

    execution, buffer = started(executor, batch, range(4), batch=True)
    until(lambda: buffer.busy[1] == 4)
    execution.disown(Rows.span(0, 3))
    assert not execution.finished.wait(0.3)
    execution.disown(Rows.span(3, 4))
    assert ended(execution, buffer).tables


class SlowToLoad:
    """Takes its time to be unpickled."""

    def __reduce__(self):
        return time.sleep, (0.5,)


def test_child_heeds_what_it_is_told_while_it_loads_its_order():
    executor, slow = ProcessExecutor(Limits()), SlowToLoad()

    def work(x: int, ctx: Context):
        assert slow is None
        ctx.progress(1)

    execution, buffer = started(executor, work, range(9))
    execution.disown(Rows.span(0, 9))
    execution.stop(2)
    found = ended(execution, buffer)
    assert {row: failure.type for row, failure in found.failures.items()} == dict.fromkeys(range(2), "LeaseLost")
    executor.close()


def test_thread_that_a_call_left_running_asks_for_nobody_else(tmp_path):
    executor = ProcessExecutor(Limits())

    def leave(x: int, ctx: Context):
        def ask():
            until((tmp_path / "go").exists)
            try:
                ctx.extend_lease(5)
            except LeaseLost:
                (tmp_path / "refused").touch()

        threading.Thread(target=ask, daemon=True).start()

    def wait(x: int):
        until((tmp_path / "refused").exists)

    ended(*started(executor, leave))
    asked, first = Asked(), work_of(wait, range(1))
    buffer = ResultBuffer(limit=1)
    execution = executor.start(replace(first, ask=asked, lease="another"), buffer)
    until(lambda: buffer.taken == 1)
    (tmp_path / "go").touch()
    ended(execution, buffer)
    assert asked.found == []
    executor.close()
