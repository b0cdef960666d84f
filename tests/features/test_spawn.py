"""A running task submits others."""

from __future__ import annotations

import asyncio

import pytest

import oqkit as oqk
from tests.local import WAIT_S, work_off

CALLS: list[int] = []


def double(x):
    return 2 * x


def fan_out(n, ctx: oqk.Context):
    """Submit calls, and fail after them the first time: what a retry submits is there already."""
    ids = [ctx.spawn(double, {"x": x}) for x in range(n)]
    CALLS.append(n)
    if len(CALLS) == 1:
        raise ValueError("once more")
    return ids


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_spawned_calls_are_the_same_at_every_attempt(queue):
    """In the original's proposal, a retry spawned each of them again."""
    task = queue.submit(fan_out, {"n": 3}, backoff=0.0)
    work_off(queue, fan_out, double)
    children = [queue.get(one) for one in task.result(WAIT_S)]
    assert [child.result(WAIT_S) for child in children] == [0, 2, 4]
    assert len(CALLS) == 2
    assert len(queue.jobs()) == 4


def test_trace_shows_what_a_task_spawned(queue):
    task = queue.submit(fan_out, {"n": 2}, backoff=0.0)
    work_off(queue, fan_out, double)
    found = queue.trace(task).to_json()["jobs"]
    assert [job["type"] for job in found] == ["fan_out", "double", "double"]
    assert [job["parent"] for job in found] == [None, task.id, task.id]
    assert set(found[0]["children"]) == {job["id"] for job in found[1:]}
    assert queue.trace(task.result(WAIT_S)[0]).root == task.job.id


def in_turn(x, ctx: oqk.Context):
    first = ctx.spawn(double, {"x": x}, key="first")
    return ctx.spawn(double, {"x": x + 1}, key="second", depends_on=[first], priority=200)


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_spawned_calls_may_depend_on_each_other_wherever_their_task_runs(queue, executor):
    task = queue.submit(in_turn, {"x": 5})
    work_off(queue, in_turn, double, executor=executor)
    second = queue.get(task.result(WAIT_S))
    assert second.result(WAIT_S) == 12
    assert len(queue.trace(second).jobs) == 3


async def spawn_later(x, ctx: oqk.Context):
    await asyncio.sleep(0)
    return await ctx.spawn(double, {"x": x})


def test_coroutine_awaits_what_it_spawns(queue):
    task = queue.submit(spawn_later, {"x": 4})
    work_off(queue, spawn_later, double)
    assert queue.get(task.result(WAIT_S)).result(WAIT_S) == 8


def changeable(x, ctx: oqk.Context):
    CALLS.append(x)
    child = ctx.spawn(double, {"x": len(CALLS)}, key="only")
    if len(CALLS) == 1:
        raise ValueError("once more")
    return child


def test_another_input_under_one_key_is_refused(queue):
    task = queue.submit(changeable, {"x": 1}, retries=1, backoff=0.0)
    work_off(queue, changeable, double)
    assert task.error()["type"] == "DuplicateJob"
    assert len(queue.jobs()) == 2


@oqk.task(batch=True)
def whole(frame, ctx: oqk.Context):
    ctx.spawn(double, 1)


def test_batch_function_cannot_spawn(queue):
    job = queue.map(whole, [1, 2], retries=0)
    work_off(queue, whole)
    assert job.errors()["message"].str.contains("a batch function cannot spawn").all()


def test_context_made_by_hand_asks_nobody_and_gives_the_same_ids():
    def context():
        return oqk.Context(task_id="0" * 18 + ".0", job_id="0" * 18, attempt=1, worker="me", _origin="test")

    assert fan_out_ids(context()) == fan_out_ids(context())
    assert len(set(fan_out_ids(context()))) == 3


def fan_out_ids(ctx):
    return [ctx.spawn(double, x) for x in range(3)]


def test_children_outlive_their_parent(queue):
    task = queue.submit(fan_out, {"n": 2}, backoff=0.0)
    work_off(queue, fan_out)
    task.job.cancel()
    work_off(queue, double)
    assert {queue.get(one).status for one in task.result(WAIT_S)} == {"completed"}
