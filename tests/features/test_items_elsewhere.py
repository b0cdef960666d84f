"""Who waits for a job of `map(key=)`, or reads it, means all items of its call: also those that are tasks of other jobs."""

from __future__ import annotations

import asyncio

import pytest

import oqkit as oqk
from tests.local import WAIT_S, work_off


@oqk.task(retries=0)
def fetch(id):  # noqa: A002 - the field that items are known by
    if id < 0:
        raise oqk.PermanentError("less than nothing")
    return 10 * id


def after(x):
    return x


def total(results):
    return results


def call(queue, *ids, **options):
    return queue.map(fetch, [{"id": one} for one in ids], key="id", **options)


@pytest.fixture
def jobs(queue):
    """Two jobs of items: of the call of the second, two items are tasks of the first."""
    return call(queue, 1, 2, 3), call(queue, 3, 4, 1)


def test_job_that_depends_on_items_starts_when_all_of_them_have_ended(queue, jobs):
    first, second = jobs
    nothing_new = call(queue, 1, 2)
    tasks = [queue.submit(after, {"x": n}, depends_on=[job]) for n, job in enumerate((second, nothing_new.id))]
    assert [task.status for task in tasks] == ["blocked", "blocked"]
    assert set(tasks[0].options.depends_on) == {first.id, second.id}
    work_off(queue, fetch, after)
    assert [task.wait(WAIT_S).status for task in tasks] == ["completed", "completed"]
    ended = {job: max(queue.get(f"{job.id}.{row}").completed for row in range(len(job))) for job in jobs}
    assert tasks[0].started >= max(ended.values())
    assert tasks[1].started >= ended[first]


@pytest.mark.parametrize(("ids", "status"), (((1, 2, 3), "completed"), ((1, -1), "failed")))
def test_items_that_are_not_of_the_call_do_not_count(queue, ids, status):
    call(queue, 1, -1, 2)
    work_off(queue, fetch)
    task = queue.submit(after, {"x": 1}, depends_on=[call(queue, *ids)])
    work_off(queue, fetch, after)
    assert task.wait(WAIT_S).status == status


def test_job_and_items_of_it_are_one_parent(queue, jobs):
    first, second = jobs
    job = queue.map(after, [1], depends_on=[second, first])
    assert sorted(job.options.depends_on) == sorted([first.id, second.id])
    assert queue.map(after, [1], depends_on=[second, first], name=job.name).id == job.id


def test_all_items_are_gathered_in_the_order_of_the_call(queue, jobs):
    task = queue.gather([jobs[1], jobs[0]], total)
    assert task.status == "blocked"
    work_off(queue, fetch, total)
    assert task.result(WAIT_S) == [[30, 40, 10], [10, 20, 30]]


def test_gathered_item_that_failed_elsewhere_is_none_if_it_runs_all_the_same(queue):
    call(queue, 1, -1)
    task = queue.gather([call(queue, -1, 2, 1, 2)], total, on_failure="run")
    work_off(queue, fetch, total)
    assert task.result(WAIT_S) == [[None, 20, 10, 20]]


def test_several_wait_for_all_items(queue, jobs):
    first, second = jobs
    nothing_new = call(queue, 2)
    with pytest.raises(oqk.WaitTimeout, match="1 of 1"):
        oqk.wait_all([nothing_new], 0)
    with pytest.raises(oqk.WaitTimeout):
        oqk.wait_any([nothing_new], 0)
    work_off(queue, fetch)
    assert oqk.wait_all([nothing_new, second, first], WAIT_S) == [nothing_new, second, first]

    async def ended():
        return [job.id async for job in oqk.as_completed([second], WAIT_S)]

    assert asyncio.run(ended()) == [second.id]


def test_command_line_submits_what_waits_for_all_items(queue, jobs, oq):
    made = oq("submit", "after", '{"x": 1}', "--depends-on", jobs[1].id).strip()
    gathered = oq("gather", "total", jobs[1].id).strip()
    assert set(queue.get(made).options.depends_on) == {jobs[0].id, jobs[1].id}
    work_off(queue, fetch, after, total)
    assert queue.get(made).wait(WAIT_S).status == "completed"
    assert queue.get(gathered).result(WAIT_S) == [[30, 40, 10]]
