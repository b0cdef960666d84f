"""`oq.progress`: a bar for what is waited for, as users of tqdm expect one."""

from __future__ import annotations

import concurrent.futures as cf
import io

import pytest

import oqkit
from tests.local import WAIT_S, work_off


def same(x):
    return x


def fail(x):
    raise ValueError(x)


@pytest.fixture
def drawn():
    return io.StringIO()


def last(drawn):
    """Return what a bar shows in the end."""
    return drawn.getvalue().rstrip().rpartition("\r")[2]


def test_jobs_come_in_their_order_once_they_have_ended(queue, start, drawn):
    start()
    jobs = [queue.map(same, [x], delay=3600 if not x else None) for x in range(4)]
    oqkit.wait_all(jobs[1:], WAIT_S)
    found = oqkit.progress(jobs, timeout=0, file=drawn, mininterval=0, desc="runs")
    with pytest.raises(TimeoutError):
        next(found)
    assert last(drawn).startswith("runs:  75%")
    assert "3/4" in last(drawn)
    jobs[0].cancel()
    drawn.seek(0)
    assert list(oqkit.progress(jobs, file=drawn, mininterval=0)) == jobs
    assert "4/4" in last(drawn)


def test_tasks_and_futures_as_well_and_one_that_is_there_twice(queue, start, drawn):
    start()
    tasks = [queue.submit(same, 1), queue.submit(fail, 2, retries=0)]
    assert list(oqkit.progress([*tasks, tasks[0]], file=drawn)) == [*tasks, tasks[0]]
    assert "2/2" in last(drawn)
    with oqkit.Executor(queue) as executor:
        futures = [executor.submit(same, x) for x in range(3)]
        assert [future.result() for future in oqkit.progress(futures, file=drawn)] == [0, 1, 2]
        assert "3/3" in last(drawn)


def test_as_they_end(queue, start, drawn):
    start()
    late, soon = queue.submit(same, 1, delay=3600), queue.submit(same, 2)
    assert next(iter(oqkit.progress(oqkit.as_completed([late, soon]), file=drawn))) == soon
    assert "/2" in drawn.getvalue(), "it knows how many there are"
    late.cancel()


def test_one_is_waited_for_and_returned(queue, start, drawn, capsys):
    start()
    job = queue.map(same, range(5), name="five")
    assert oqkit.progress(job, timeout=WAIT_S) is job
    assert "5/5" in capsys.readouterr().err
    task = queue.submit(same, 3)
    assert oqkit.progress(task, file=drawn) is task
    assert task.done()
    future: cf.Future[int] = cf.Future()
    with pytest.raises(TimeoutError):
        oqkit.progress(future, timeout=0, file=drawn)
    with pytest.raises(oqkit.UsageError, match="a bar of its own"):
        oqkit.progress(job, desc="mine")


def test_frames_of_a_job_move_a_bar_of_its_tasks(queue, drawn):
    job = queue.map(same, range(40), part_rows=10)
    work_off(queue)
    frames = list(oqkit.progress(job.as_completed(), file=drawn))
    assert sum(map(len, frames)) == 40
    assert "40/40" in last(drawn)
    assert "tasks" in last(drawn)


@pytest.mark.parametrize("items", (range(3), [1, 2, 3], iter("abc"), []))
def test_anything_else_is_what_it_is_to_tqdm(items, drawn):
    expected = list(items) if not hasattr(items, "__next__") else list("abc")
    assert list(oqkit.progress(items, file=drawn)) == expected
    assert "3/3" in last(drawn) or "3it" in last(drawn) or not expected


def test_time_out_needs_something_to_wait_for():
    with pytest.raises(oqkit.UsageError, match="timeout="):
        oqkit.progress(range(3), timeout=1)
