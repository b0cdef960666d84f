"""`ctx.effect_key(name)`: a key for effects outside of the queue, one for each task and name, at every attempt."""

from __future__ import annotations

import uuid

import pandas as pd
import pytest

import oqkit as oq
from tests.local import WAIT_S, names_below

SEEN: list[tuple[int, str]] = []


@pytest.fixture(autouse=True)
def _unseen():
    SEEN.clear()


def pay(x, ctx: oq.Context):
    SEEN.append((x, ctx.effect_key("charge")))
    if len([one for one, _ in SEEN if one == x]) < 2:
        raise OSError("the service did not answer")
    return {"charge": ctx.effect_key("charge"), "mail": ctx.effect_key("mail")}


def fails(x, ctx: oq.Context):
    SEEN.append((x, ctx.effect_key("charge")))
    raise oq.PermanentError("no such account")


def named(x, ctx: oq.Context):
    return ctx.effect_key("charge")


def test_effect_key_is_the_same_at_every_attempt_and_another_for_each_task_and_name(queue, start):
    start()
    keys = queue.map(pay, range(3), backoff=0.01).result(WAIT_S)
    assert {(x, keys["charge"][x]) for x in range(3)} == set(SEEN)
    assert len(SEEN) == 6
    both = [*keys["charge"], *keys["mail"]]
    assert len(set(both)) == 6
    assert [uuid.UUID(key).hex for key in both] == both


def test_effect_key_is_the_same_after_a_retry_with_another_function(queue, start):
    start()
    task = queue.submit(fails, 7)
    task.wait(WAIT_S)
    task.retry(fn=named)
    assert task.result(WAIT_S) == SEEN[0][1]


@pytest.mark.slow
def test_effect_key_reaches_a_child_process(queue, start):
    start(executor="process")
    task = queue.submit(named, 1)
    key = task.result(WAIT_S)
    assert uuid.UUID(key).hex == key


def test_effect_key_reaches_coroutines(queue, start):
    async def later(x, ctx: oq.Context):
        return ctx.effect_key("charge")

    start()
    assert queue.map(later, range(3)).result(WAIT_S)["later"].nunique() == 3


def test_effect_key_of_a_task_in_the_place_of_a_deleted_one_is_another(queue, start):
    """The key of a submission gives the same task id, and still the task is another one."""
    start()
    first = queue.submit(named, 1, key="order 7")
    key = first.result(WAIT_S)
    store = queue.repository.store
    store.delete_many([name for name in names_below(store) if first.job.id in name])
    second = queue.submit(named, 1, key="order 7")
    assert second.id == first.id
    assert second.result(WAIT_S) != key


def test_effect_key_is_refused_in_a_batch_function(queue, start):
    @oq.task(batch=True, retries=0)
    def pay_all(frame, ctx: oq.Context):
        return [ctx.effect_key("charge")] * len(frame)

    start()
    job = queue.submit_frame(pd.DataFrame({"x": [1, 2]}), pay_all)
    job.wait(WAIT_S)
    assert set(job.errors()["type"]) == {"UsageError"}
    assert job.errors()["message"].str.contains("use a row function").all()


@pytest.mark.parametrize("name", ("", None, 7))
def test_effect_key_wants_a_name(name):
    ctx = oq.Context(task_id="t.0", job_id="t", attempt=1, worker="w", _origin="o")
    with pytest.raises(oq.UsageError, match="name the effect with a text"):
        ctx.effect_key(name)
