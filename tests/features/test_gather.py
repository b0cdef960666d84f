"""Fan-in: one call on what others returned."""

from __future__ import annotations

import pandas as pd
import pytest

import oqkit as oqk
from tests.local import WAIT_S, work_off


def double(x):
    return 2 * x


def maybe(x):
    if x < 0:
        raise oqk.PermanentError("less than nothing")
    return x


def total(results):
    return sum(sum(one) if isinstance(one, list) else one or 0 for one in results)


def described(results):
    return [type(one).__name__ for one in results] + [list(results[-1].columns), len(results[-1])]


def test_original_1_35_d_step_sees_the_results_of_those_before_it(queue):
    """In the original a step saw the data that its workflow was started with, and nothing of other steps."""
    parents = [queue.submit(double, {"x": x}) for x in range(5)]
    task = queue.gather([*parents, queue.map(double, [10, 20])], total)
    assert task.status == "blocked"
    work_off(queue, double, total)
    assert task.result(WAIT_S) == 2 * 10 + 60


def test_each_kind_of_job_comes_as_it_is(queue):
    job = queue.map(double, [1, 2], name="both")
    frame = queue.submit_frame(pd.DataFrame({"x": [1, 2, 3]}), double)
    task = queue.gather(["both", f"{job.id}.1", frame], described)
    work_off(queue, double, described)
    assert task.result(WAIT_S) == ["list", "int", "DataFrame", ["double"], 3]


@pytest.mark.parametrize(("on_failure", "status"), ((None, "failed"), ("skip", "cancelled"), ("run", "completed")))
def test_what_failed_is_none_if_it_runs_all_the_same(queue, on_failure, status):
    parents = [queue.submit(maybe, {"x": x}) for x in (3, -1)]
    task = queue.gather(parents, total, **({} if on_failure is None else {"on_failure": on_failure}))
    work_off(queue, maybe, total)
    assert task.wait(WAIT_S).status == status
    if status == "completed":
        assert task.result() == 3


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_results_reach_a_child_process(queue, executor):
    task = queue.gather([queue.map(double, list(range(100)))], total)
    work_off(queue, double, total, executor=executor)
    assert task.result(WAIT_S) == 9_900


def test_key_makes_one_call_of_it(queue):
    parents = [queue.submit(double, {"x": x}) for x in range(2)]
    assert queue.gather(parents, total, key="a").id == queue.gather(parents, total, key="a").id
    with pytest.raises(oqk.DuplicateJob):
        queue.gather(parents[:1], total, key="a")


def test_what_is_wrong_is_refused(queue):
    with pytest.raises(oqk.UsageError, match="nothing to gather"):
        queue.gather([], total)
    with pytest.raises(oqk.UsageError, match="7 is no job or task"):
        queue.gather([7], total)
    with pytest.raises(oqk.UnknownJob):
        queue.gather(["nobody"], total)
    with pytest.raises(oqk.UsageError, match="has rows 0 to 0, not 4"):
        queue.gather([queue.submit(double, 1).job.id + ".4"], total)


def test_command_line_gathers(queue, oq):
    parents = [queue.submit(double, {"x": x}) for x in (1, 2)]
    made = oq("gather", "total", *[task.id for task in parents]).strip()
    work_off(queue, double, total)
    assert queue.get(made).result(WAIT_S) == 6
