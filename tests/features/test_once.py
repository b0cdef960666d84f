"""The same thing once: keys, their scopes and times; an outbox; keys for effects outside of the queue."""

from __future__ import annotations

import json
import sqlite3

import pytest

import oqkit
from tests.local import WAIT_S, until, work_off

CALLS: list[int] = []


@oqkit.task
def half(x):
    CALLS.append(x)
    return x / 2


@oqkit.task
def other(x):
    return x


@oqkit.task
def numbered(n, more=0):
    CALLS.append(n)
    return n * 10


@oqkit.task(backoff=0.01)
def pay(x, ctx: oqkit.Context):
    CALLS.append(ctx.effect_key("charge"))
    if ctx.attempt < 2:
        raise OSError("the service did not answer")
    return ctx.effect_key("charge")


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_task_with_a_key_is_submitted_once_and_run_once(queue, oq):
    first = queue.submit(half, {"x": 3}, key="order 7")
    assert oq("submit", "half", '{"x": 3}', "--key", "order 7").strip() == first.id
    work_off(queue, half)
    again = queue.submit(half, {"x": 3}, key="order 7")
    assert (again.id, again.status, again.result(WAIT_S)) == (first.id, "completed", 1.5)
    assert CALLS == [3]
    with pytest.raises(oqkit.DuplicateJob, match="x is 3 there and 4 here"):
        queue.submit(half, {"x": 4}, key="order 7")
    assert "x is 3 there and 4 here" in oq("submit", "half", '{"x": 4}', "--key", "order 7", code=2)


def test_key_counts_in_its_scope(queue, oq):
    own = queue.submit(half, {"x": 1}, key="k", scope="invoices")
    ids = {queue.submit(half, {"x": 1}, key="k", scope=scope).id for scope in ("type", "queue")} | {own.id}
    assert len(ids) == 3
    assert oq("submit", "half", '{"x": 1}', "--key", "k", "--scope", "invoices").strip() == own.id
    with pytest.raises(oqkit.DuplicateJob, match="of type 'half' there and 'other' here"):
        queue.submit(other, {"x": 1}, key="k", scope="queue")
    work_off(queue, half)
    assert CALLS == [1, 1, 1]


def test_key_is_free_again_after_its_time(queue, oq):
    first = queue.submit(half, {"x": 1}, key="k", key_ttl="1h")
    assert oq("submit", "half", '{"x": 1}', "--key", "k", "--key-ttl", "1h").strip() == first.id
    short = queue.submit(half, {"x": 1}, key="short", key_ttl=0.001)
    until(lambda: queue.submit(half, {"x": 1}, key="short", key_ttl=0.001).id != short.id)
    assert queue.submit(half, {"x": 1}, key="k").id == first.id


def test_item_that_is_known_is_not_run_again(queue):
    first = queue.map(numbered, [{"n": 1}, {"n": 2}], key="n")
    second = queue.map(numbered, [{"n": 3}, {"n": 2}], key="n")
    assert (len(first), len(second)) == (2, 1)
    work_off(queue, numbered)
    assert sorted(CALLS) == [1, 2, 3]
    assert queue.job(second.id).result(WAIT_S)["numbered"].tolist() == [30, 20]
    assert queue.map(numbered, [{"n": 1}, {"n": 2}], key="n").id == first.id
    with pytest.raises(oqkit.DuplicateJob, match="was submitted before with another input, as task"):
        queue.map(numbered, [{"n": 1, "more": 1}], key="n")


def test_outbox_delivers_what_was_committed(queue, oq, tmp_path):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    assert oq("outbox", "setup", "--database", url) == "oq_outbox is there\n"
    connection = sqlite3.connect(tmp_path / "shop.db")
    with queue.outbox(connection) as box:
        box.submit(half, {"x": 1})
    connection.rollback()
    with queue.outbox(connection) as box:
        task_id = box.submit(half, {"x": 8}, tags={"shop": "north"})
    connection.commit()
    assert json.loads(oq("outbox", "relay", "--once", "--json", "--database", url)) == {
        "delivered": 1,
        "put_aside": {},
    }
    assert oq("outbox", "relay", "--once", "--database", url) == "0 delivered\n"
    work_off(queue, half)
    assert (queue.get(task_id).result(WAIT_S), queue.get(task_id).tags) == (4.0, {"shop": "north"})
    assert CALLS == [8]
    connection.execute("UPDATE oq_outbox SET document = 'damaged', delivered = NULL")
    connection.commit()
    assert "0 delivered, 1 put aside" in oq("outbox", "relay", "--once", "--database", url, code=1)
    connection.close()


def test_effect_key_is_the_same_at_every_attempt(queue):
    task = queue.submit(pay, 1)
    work_off(queue, pay)
    key = task.result(WAIT_S)
    assert list(CALLS) == [key, key]
    task_of_another = queue.submit(pay, 1)
    work_off(queue, pay)
    assert task_of_another.result(WAIT_S) not in CALLS[:2]
