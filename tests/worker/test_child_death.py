"""What a crash or a kill of a child leaves, and who dies with whom."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from oqkit.limits import Limits
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.process import ProcessExecutor
from tests.local import until
from tests.worker.execution import FakeLease, ran, work_of, worked_off

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
    until(lambda: buffer.n_outcomes == 1)
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
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.process import ProcessExecutor
from tests.worker.execution import work_of

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
