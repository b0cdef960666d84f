"""Work in a child process: what comes back, what a crash or a kill leaves, and who dies with whom."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from oqkit.errors import SchemaError, Skip
from oqkit.limits import Limits, TaskLimits, WorkerLimits
from oqkit.observe.observer import Observers
from oqkit.queue.job import Code
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.context import Context
from oqkit.task.function import Options, TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work, run
from oqkit.worker.process import ProcessExecutor
from oqkit.worker.runner import LeaseRunner

WAIT_S = 60.0


class FakeInputs:
    """Row n has the one column x, whose value is n."""

    columns = ("x",)

    def __init__(self, rows):
        self.rows = rows

    def only(self, ranges):
        return FakeInputs(list(ranges.numbers()))

    def arguments(self, names, ranges):
        return iter([(row,) for row in self.frame(ranges)])

    def frame(self, ranges):
        rows = list(ranges.numbers())
        assert set(rows) <= set(self.rows), "only() came before"
        return rows


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("stays here")


class Unreadable:
    """Pickles, but what it becomes cannot be read."""

    def __reduce__(self):
        return int, ("x",)


def the_table(_lock, result, n_rows):
    if len(result) != n_rows:
        raise SchemaError(f"{len(result)} rows instead of {n_rows}")
    return list(result)


def work_of(function, rows=range(10), *, batch=False, timeout_s=None, first_batch=256):
    return Work(
        handler=Handler(TaskFunction(function, name="work", batch=batch, options=Options())),
        job_id="job",
        mode="rows",
        first_task=0,
        rows=Rows.of(rows),
        inputs=FakeInputs(list(rows)),
        attempts=((Rows.span(0, 1_000_000), 2),),
        worker="here",
        timeout_s=timeout_s,
        first_batch=first_batch,
        max_batch=len(rows),
        table=partial(the_table, threading.Lock()),  # does not pickle, as a codec with a store may not
        limits=WorkerLimits(),
    )


@pytest.fixture(scope="module")
def executor():
    executor = ProcessExecutor(Limits())
    yield executor
    executor.close()


class Ran:
    """What an execution left: its outcomes, and the numbers of its buffer."""

    def __init__(self, buffer):
        results = buffer.drain()
        self.rows, self.values, self.tables = list(results.rows), results.values, results.tables
        self.failures, self.verbs = results.failures, verbs_of(results)
        self.mark, self._buffer = buffer.mark, buffer

    @property
    def meter(self):
        return list(self._buffer.meter)

    @property
    def taken(self):
        return self._buffer.taken

    @property
    def busy(self):
        return self._buffer.busy

    @property
    def is_over(self):
        return self._buffer.is_over


def verbs_of(results):
    return {row: outcome.verb for outcome in results.outcomes for row in outcome.rows}


def ran(executor, work, *, limit=None):
    buffer = ResultBuffer(limit=len(work.rows) if limit is None else limit)
    execution = executor.start(work, buffer)
    assert execution.finished.wait(WAIT_S)
    return Ran(buffer), execution.crash


def wait_until(claim):
    end = time.monotonic() + WAIT_S
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.005)


def results(buffer):
    return dict(zip(buffer.rows, buffer.values, strict=True))


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
    wait_until(lambda: buffer.taken == 1)
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
    wait_until(lambda: buffer.n_outcomes == 1)
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
        wait_until(lambda one=execution: one.stopped() is not None)
        stop = max(limit, execution.stopped())  # from here on the rows may be given to others
        assert execution.finished.wait(WAIT_S)
        assert list(buffer.drain().rows) == list(range(buffer.taken))
        assert buffer.taken <= stop
        assert stop < n or not pause_s


def test_limit_cuts_a_batch(executor):
    buffer, _ = ran(executor, work_of(list, range(10), batch=True, first_batch=4), limit=6)
    assert [ranges for ranges, _ in buffer.tables] == [Rows.span(0, 4), Rows.span(4, 6)]


# --- deaths --------------------------------------------------------------------------------------


def test_crash_tells_how_and_which_row_was_running(executor):
    def leave(x):
        if x == 4:
            os._exit(3)
        return x

    def fall(x):
        if x == 2:
            ctypes.string_at(0)
        return x

    buffer, crash = ran(executor, work_of(leave))
    assert crash == "exited with code 3"
    assert buffer.taken == 5
    assert set(buffer.rows) <= {0, 1, 2, 3}
    buffer, crash = ran(executor, work_of(fall))
    assert crash == "killed by signal 11 (SIGSEGV)"
    assert buffer.taken == 3


def test_crash_in_a_batch_tells_the_rows_of_the_call(executor):
    def leave(rows):
        if 5 in rows:
            os._exit(3)
        return rows

    buffer, _ = ran(executor, work_of(leave, range(10), batch=True, first_batch=4))
    assert buffer.busy == (4, 10)


def test_abandoned_child_is_killed_and_replaced(executor):
    def stay(x):
        if x == 1:
            time.sleep(1000)
        return os.getpid()

    buffer = ResultBuffer(limit=3)
    execution = executor.start(work_of(stay, range(3)), buffer)
    wait_until(lambda: buffer.n_outcomes == 1)
    execution.abandon()
    (pid,) = buffer.drain().values
    assert not psutil.pid_exists(pid)
    assert execution.finished.is_set()
    assert execution.crash == ""
    assert (buffer.n_outcomes, buffer.taken) == (0, 2)
    again, _ = ran(executor, work_of(lambda x: os.getpid(), range(1)))
    assert again.values != [pid]


def test_close_ends_the_child():
    executor = ProcessExecutor(Limits())
    first, _ = ran(executor, work_of(lambda x: os.getpid(), range(1)))
    executor.close()
    assert not psutil.pid_exists(first.values[0])
    executor.close()


def test_children_die_with_their_parent_from_a_script_without_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import os, time
from oqkit.limits import Limits, TaskLimits, WorkerLimits
from tests.worker.test_process import ProcessExecutor, ResultBuffer, work_of

def sleep(x):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(1000)

def hold_the_interpreter(x):
    os.write(1, b"%d\\n" % os.getpid())
    10 ** 10 ** 9

executors = [ProcessExecutor(Limits()), ProcessExecutor(Limits())]
works = [work_of(sleep, range(1)), work_of(hold_the_interpreter, range(1))]
runs = [executor.start(work, ResultBuffer(limit=1)) for executor, work in zip(executors, works)]
runs[0].finished.wait()
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as parent:
        children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        assert [child.ppid() for child in children] == [parent.pid] * 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        child.kill()
    assert alive == []


# --- a lease worked off by children --------------------------------------------------------------


@dataclass
class FakeLease:
    """A lease whose commits are remembered, not written."""

    n_rows: int
    id: str = "lease"
    lease_s: float = 60.0
    job: Any = None
    fates: dict[int, Verb] = field(default_factory=dict)
    is_over: bool = False
    max_losses = 3
    is_alone: bool = False
    has_room: bool = True
    limits = Limits()
    certain: list[bool] = field(default_factory=list)

    def __post_init__(self):
        self.job = SimpleNamespace(id="job", type="work", code=Code())

    monotonic = staticmethod(time.monotonic)

    @property
    def rows(self):
        return Rows.of(row for row in range(self.n_rows) if row not in self.fates)

    def deaths(self, row):
        return 0

    def put_output(self, data):
        raise AssertionError

    def commit(self, given, **_):
        for outcome in given.outcomes:
            self.certain += [outcome.is_certain] if outcome.verb is Verb.LOSE else []
            for row in outcome.rows.numbers():
                assert self.fates.setdefault(row, outcome.verb) is outcome.verb
        self.is_over = given.is_last or not self.rows


class FakeCodec:
    """Keeps what would be stored."""

    def __init__(self):
        self.failures = {}

    def pack(self, results, *, refuse, has_room):
        self.failures.update(results.failures)
        return {}, {}


def worked_off(executor, work, lease=None):
    lease, codec, timer = lease or FakeLease(len(work.rows)), FakeCodec(), RowTimer(TaskLimits())
    runner = LeaseRunner(lease, work, codec=codec, executor=executor, timer=timer, observers=Observers())
    runner.start()
    end = time.monotonic() + WAIT_S
    while not runner.step():
        assert time.monotonic() < end
    runner.finish()
    assert lease.is_over
    completed = {row for row, verb in lease.fates.items() if verb is Verb.COMPLETE}
    assert completed | set(codec.failures) == set(work.rows)
    return codec.failures


def leaves(x):
    if x == 2:
        os._exit(3)
    return x


def leaves_with_batch(rows):
    if 2 in rows:
        os._exit(3)
    return rows


async def leaves_among_others(x):
    await asyncio.sleep(0.01 if x == 2 else 0.05)
    return leaves(x)


@pytest.mark.parametrize(
    ("function", "batch"),
    ((leaves, False), (leaves_with_batch, True), (leaves_among_others, False)),
    ids=["row", "batch", "coroutine"],
)
def test_crash_costs_the_row_that_caused_it_an_attempt_and_no_other(executor, function, batch):
    failures = worked_off(executor, work_of(function, range(4), batch=batch))
    assert list(failures) == [2]
    assert (failures[2].type, failures[2].message) == ("WorkerCrashed", "exited with code 3")


@pytest.mark.parametrize("is_alone", (False, True))
@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGSEGV))
def test_kill_from_outside_is_certain_to_be_the_rows_doing_only_while_it_runs_alone(executor, number, is_alone):
    def falls(x):
        if x == 2:
            os.kill(os.getpid(), number)
        return x

    lease = FakeLease(4, is_alone=is_alone)
    assert list(worked_off(executor, work_of(falls, range(4)), lease)) == [2]
    assert lease.certain == [is_alone or number is not signal.SIGKILL]


def hangs(x):
    if x == 2:
        time.sleep(1000)
    return x


async def hangs_the_loop(x):
    return hangs(x)


@pytest.mark.parametrize(("function", "n"), ((hangs, 5), (hangs_the_loop, 3)), ids=["row", "coroutine"])
def test_call_past_its_time_out_is_killed_and_the_others_complete(executor, function, n):
    failures = worked_off(executor, work_of(function, range(n), timeout_s=0.3))
    assert list(failures) == [2]
    assert failures[2].type == "TimeoutError"


def test_time_out_does_not_count_the_loading_of_the_function(executor):
    class Slow:
        def __reduce__(self):
            return time.sleep, (0.5,)

    slow = Slow()
    assert worked_off(executor, work_of(lambda x: (slow, x), range(3), timeout_s=0.2)) == {}


def test_child_that_never_starts_a_row_ends_in_failures_not_in_a_loop(executor):
    class Fatal:
        def __reduce__(self):
            return os._exit, (4,)

    fatal = Fatal()
    failures = worked_off(executor, work_of(lambda x: (fatal, x), range(3)))
    assert {one.message for one in failures.values()} == {"exited with code 4"}


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
