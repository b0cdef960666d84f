"""Work in a child process: what comes back, and what one child does for many leases."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace

import pytest

from oqkit.errors import Skip
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.context import Context
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import run
from tests.local import WAIT_S, until
from tests.worker.execution import FakeInputs, Ran, ran, results, work_of


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("stays here")


class Unreadable:
    """Pickles, but what it becomes cannot be read."""

    def __reduce__(self):
        return int, ("x",)


# --- what comes back -----------------------------------------------------------------------------


def test_rows_come_back_with_what_a_closure_of_the_test_returned(executor):
    offset = 100
    buffer, crash = ran(executor, work_of(lambda x: x + offset, range(5, 10)))
    assert crash == ""
    assert results(buffer) == {row: row + 100 for row in range(5, 10)}
    assert buffer.mark() == (5, 0)
    assert buffer.is_over


def test_scattered_rows_keep_their_numbers(executor):
    buffer, _ = ran(executor, work_of(lambda x: -x, (1, 2, 7)))
    assert results(buffer) == {1: -1, 2: -2, 7: -7}


def test_errors_come_back_as_a_thread_would_lay_them(executor):
    def work(x):
        if x == 1:
            raise ValueError("odd")
        if x == 2:
            raise Skip
        return x

    buffer, _ = ran(executor, work_of(work, range(3)))
    assert results(buffer) == {0: 0, 2: None}
    assert buffer.verbs == {1: Verb.RETRY}
    assert (buffer.failures[1].type, buffer.failures[1].attempt) == ("ValueError", 2)
    assert "in work" in buffer.failures[1].traceback


def test_batches_are_converted_in_the_parent_and_isolated_in_the_child(executor):
    def work(rows):
        if 3 in rows:
            raise ValueError("three")
        return [row * 2 for row in rows] if 8 not in rows else [1]

    buffer, crash = ran(executor, work_of(work, range(10), batch=True, first_batch=6))
    assert crash == ""
    found = {row: value for ranges, table in buffer.tables for row, value in zip(ranges.numbers(), table, strict=True)}
    assert found == {row: row * 2 for row in range(6) if row != 3}
    assert buffer.failures[3].type == "ValueError"
    for row in range(6, 10):
        assert buffer.verbs[row] is Verb.FAIL
        assert buffer.failures[row].type == "SchemaError"
    assert buffer.busy[1] == 0


def test_batch_result_is_taken_before_the_function_uses_its_memory_again(executor):
    buffer = [0, 0]

    def work(rows):
        buffer[:] = rows
        return buffer

    buffer, _ = ran(executor, work_of(work, range(4), batch=True, first_batch=2))
    assert buffer.tables[0] == (Rows.span(0, 2), [0, 1])


def test_coroutines_run_together_in_the_child(executor):
    everybody, all_here = [], asyncio.Event()

    async def work(x):
        everybody.append(x)
        if len(everybody) == 50:
            all_here.set()
        await all_here.wait()
        return x

    buffer, _ = ran(executor, work_of(work, range(50), timeout_s=5))
    assert results(buffer) == {row: row for row in range(50)}


def test_context_shows_the_task_and_that_it_is_cancelled(executor):
    def work(x: int, context: Context) -> tuple[str, int]:
        while not context.cancelled:
            time.sleep(0.01)
        return context.task_id, context.attempt

    buffer = ResultBuffer(limit=3)
    execution = executor.start(work_of(work, range(3)), buffer)
    until(lambda: buffer.taken == 1)
    execution.stop(0)
    assert execution.finished.wait(WAIT_S)
    assert [attempt for _, attempt in Ran(buffer).values] == [2]


@dataclass
class Point:
    x: int


def test_values_of_the_users_classes_come_back_as_such(executor):
    @dataclass
    class Local:
        x: int

    buffer, _ = ran(executor, work_of(lambda x: Local(x) if x % 2 else Point(x), range(1000)))
    assert results(buffer)[4] == Point(4)
    assert results(buffer)[5] == Local(5)


@pytest.mark.parametrize("kind", (Unpicklable, Unreadable))
def test_value_that_cannot_travel_fails_its_row_alone(executor, kind):
    buffer, crash = ran(executor, work_of(lambda x: kind() if x in {2, 7} else x, range(10)))
    assert crash == ""
    assert results(buffer) == {row: row for row in range(10) if row not in {2, 7}}
    assert buffer.verbs == {2: Verb.FAIL, 7: Verb.FAIL}
    failure = buffer.failures[7]
    assert failure.type == "SchemaError"
    assert kind.__name__ in failure.message


def test_batch_result_that_cannot_travel_fails_its_rows(executor):
    buffer, _ = ran(executor, work_of(lambda rows: [Unpicklable()] * len(rows), range(4), batch=True))
    assert {one.type for one in buffer.failures.values()} == {"SchemaError"}
    assert len(buffer.failures) == 4


def test_function_that_cannot_travel_fails_the_rows_with_the_reason(executor):
    lock = threading.Lock()
    buffer, crash = ran(executor, work_of(lambda x: lock.locked(), range(3)))
    assert crash == ""
    assert set(buffer.verbs.values()) == {Verb.FAIL}
    assert "lock" in buffer.failures[2].message


def test_results_arrive_while_the_work_goes_on(executor):
    def work(x, context: Context):
        while x == 1 and not context.cancelled:
            time.sleep(0.01)
        return x

    buffer = ResultBuffer(limit=2)
    execution = executor.start(work_of(work, range(2)), buffer)
    until(lambda: buffer.n_outcomes == 1)
    assert buffer.drain().values == [0]
    assert not execution.finished.is_set()
    execution.stop(0)
    assert execution.finished.wait(WAIT_S)


# --- one child -----------------------------------------------------------------------------------


def test_child_and_its_copy_of_a_function_serve_many_leases(executor):
    seen = []

    def work(x):
        seen.append(x)
        return os.getpid(), len(seen)

    task = work_of(work, range(1))
    first, _ = ran(executor, task)
    second, _ = ran(executor, replace(task, rows=Rows.span(0, 2), inputs=FakeInputs([0, 1])))
    ((pid, n),), ((again, m), _) = first.values, second.values
    assert (pid, n, m) == (again, 1, 2)
    assert pid not in {os.getpid(), 0}
    assert first.taken == 1, "an old buffer keeps its own numbers"


def test_child_ignores_ctrl_c(executor):
    def work(x):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return x

    buffer, crash = ran(executor, work_of(work, range(2)))
    assert (crash, results(buffer)) == ("", {0: 0, 1: 1})


def test_programs_started_in_the_child_end_on_ctrl_c(executor):
    def work(x):
        with subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1) as process:
            process.stdout.readline()
            process.terminate()
        return process.returncode

    buffer, _ = ran(executor, work_of(work, range(1)))
    assert buffer.values == [-signal.SIGTERM]


@pytest.mark.parametrize(("n", "pause_s"), ((100_000, 0.0), (10_000, 0.001)), ids=["quick rows", "slow rows"])
def test_stop_reaches_the_child_which_answers_with_what_it_had_started(executor, n, pause_s):
    def work(x):
        if pause_s:
            time.sleep(pause_s)
        return sum(range(200)) * 0 + x

    for _ in range(8):
        buffer = ResultBuffer(limit=n)
        execution = executor.start(work_of(work, range(n)), buffer)
        while buffer.taken < 3:
            pass
        limit = buffer.taken + 2
        execution.stop(limit)
        until(lambda one=execution: one.stopped() is not None)
        stop = max(limit, execution.stopped())  # from here on the rows may be given to others
        assert execution.finished.wait(WAIT_S)
        assert list(buffer.drain().rows) == list(range(buffer.taken))
        assert buffer.taken <= stop
        assert stop < n or not pause_s


def test_child_that_does_not_listen_can_be_asked_to_stop_again_and_again(executor):
    def hold(x):
        return ctypes.PyDLL(None).sleep(600)  # and nothing else of the process runs meanwhile

    buffer = ResultBuffer(limit=1)
    execution = executor.start(work_of(hold, range(1)), buffer)
    until(lambda: buffer.taken)
    asking = threading.Thread(target=lambda: [execution.stop(0) for _ in range(2_000)], daemon=True)
    asking.start()
    asking.join(WAIT_S / 3)
    is_asking = asking.is_alive()
    execution.abandon()
    assert not is_asking, "the pipe is full, and nobody can see to the time-out"
    assert execution.finished.wait(WAIT_S)


def test_limit_cuts_a_batch(executor):
    buffer, _ = ran(executor, work_of(list, range(10), batch=True, first_batch=4), limit=6)
    assert [ranges for ranges, _ in buffer.tables] == [Rows.span(0, 4), Rows.span(4, 6)]


# --- a lease worked off by children --------------------------------------------------------------


def test_thread_and_child_lay_the_same(executor):
    work = work_of(lambda x: 10 // x, range(4))
    here, there = ResultBuffer(limit=4), ran(executor, work)[0]
    run(work, here)
    assert list(here.meter) == there.meter
    here = here.drain()
    assert results(here) == results(there) == {1: 10, 2: 5, 3: 3}
    assert here.failures[0].message == there.failures[0].message


def test_value_that_is_on_the_buffer_is_not_taken_back_by_a_late_exception():
    """A signal of the user's may raise right after a call: that must not count as the row's call_error as well."""

    class Log(list):
        def append(self, value):
            super().append(value)
            if value == 20:
                raise TimeoutError("an alarm that came late")

    buffer = ResultBuffer(limit=4)
    buffer.log = Log()
    with pytest.raises(TimeoutError):
        run(work_of(lambda x: 10 * x, range(4)), buffer)
    found = buffer.drain()
    assert results(found) == {0: 0, 1: 10, 2: 20}
    assert not found.outcomes
