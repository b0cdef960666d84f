"""Waiting for several jobs, and looking at all of a pipeline."""

from __future__ import annotations

import asyncio
import json

import pytest

import oqkit as oqk
from tests.local import WAIT_S, work_off


def half(x):
    if x % 2:
        raise oqk.PermanentError("odd")
    return x // 2


def test_wait_all_returns_what_was_given_in_its_order_however_it_ended(queue):
    jobs = [queue.submit(half, 4), queue.map(half, [1, 2]), queue.submit(half, 3)]
    work_off(queue, half)
    assert oqk.wait_all(jobs, WAIT_S) == jobs
    assert [job.status for job in jobs] == ["completed", "failed", "failed"]
    assert oqk.wait_all([]) == []


def test_wait_all_says_what_has_not_ended(queue):
    done = queue.submit(half, 4)
    work_off(queue, half)
    waiting = queue.map("nobody", [1], name="never begun")
    with pytest.raises(oqk.WaitTimeout, match=r"1 of 2 have not ended after 0\.2 s: never begun"):
        oqk.wait_all([done, waiting], 0.2)


def test_wait_any_returns_the_first_that_has_ended(queue):
    waiting, done = queue.submit("nobody", 1), queue.submit(half, 4)
    work_off(queue, half)
    assert oqk.wait_any([waiting, done], WAIT_S) == done
    with pytest.raises(oqk.UsageError, match="nothing to wait for"):
        oqk.wait_any([])


def test_as_completed_gives_each_once(queue):
    tasks = [queue.submit(half, x) for x in range(6)]
    work_off(queue, half)
    assert sorted(task.id for task in oqk.as_completed(tasks, WAIT_S)) == sorted(task.id for task in tasks)


def test_as_completed_is_also_asynchronous(queue):
    tasks = [queue.submit(half, x) for x in range(3)]
    work_off(queue, half)

    async def ids():
        return {task.id async for task in oqk.as_completed(tasks, WAIT_S)}

    assert asyncio.run(ids()) == {task.id for task in tasks}


def test_something_else_is_refused(queue):
    with pytest.raises(oqk.UsageError, match="'abc' is no job or task"):
        oqk.as_completed(["abc"])


def test_trace_draws_a_diamond_and_names_each_job_once(queue, oq):
    first = queue.map(half, [2, 4], name="first")
    left, right = (queue.map(half, [n], name=name, depends_on=[first]) for n, name in ((6, "left"), (8, "right")))
    last = queue.submit(half, 10, depends_on=[left, right])
    work_off(queue, half)
    trace = queue.trace(left)
    lines = str(trace).splitlines()
    assert [line.split("  0")[0].split("  k")[0] for line in lines] == ["first", "├─ left", "└─ right", "   └─ half"]
    assert lines[0] == f"first  {first.id}  completed (2 completed)"
    assert lines[1].endswith("<- this")
    found = trace.to_json()
    assert (found["job"], found["root"]) == (left.id, first.id)
    assert found["jobs"][0]["id"] == first.id
    by_id = {job["id"]: job for job in found["jobs"]}
    assert set(by_id[first.id]["children"]) == {left.id, right.id}
    assert set(by_id[last.job.id]["depends_on"]) == {left.id, right.id}
    assert json.loads(oq("trace", "left", "--json")) == json.loads(json.dumps(found))
    assert oq("trace", left.id).splitlines() == lines
    assert oqk.trace(last).root == first.id


def test_trace_of_jobs_from_several_beginnings_shows_them_all(queue):
    first, second = queue.submit(half, 2), queue.submit(half, 4)
    last = queue.submit(half, 6, depends_on=[first, second])
    for one in (first, second, last):
        assert set(queue.trace(one).jobs) == {first.job.id, second.job.id, last.job.id}


def test_trace_of_a_job_alone_is_one_line(queue):
    task = queue.submit(half, 2)
    assert str(queue.trace(task)) == f"half  {task.job.id}  pending  <- this"
    with pytest.raises(oqk.UnknownJob):
        queue.trace("nobody")


def test_command_line_submits_what_waits(queue, oq):
    first = queue.submit(half, 2)
    given = json.loads(oq("submit", "half", "4", "--depends-on", first.job.id, "--on-failure", "skip", "--json"))
    assert queue.get(given["task"]).status == "blocked"
    work_off(queue, half)
    assert queue.get(given["task"]).result(WAIT_S) == 2
