"""`q.outbox(connection)`: what is recorded is part of the caller's transaction."""

from __future__ import annotations

import json
import sqlite3

import pytest
import sqlalchemy as sa

import oqkit as oq
from oqkit.errors import SchemaError, UsageError
from tests.client.sample import n_jobs, scaled
from tests.local import WAIT_S, keys_in, work_off


def both(x, y):
    return x + y


def set_up(queue, place, **more):
    connection = place.connect()
    queue.outbox_setup(connection, **more)
    queue.outbox_setup(connection, **more)  # again does no harm
    connection.commit()
    connection.close()


def execute(connection, sql):
    """Do something of the application's own."""
    if hasattr(connection, "cursor"):
        connection.cursor().execute(sql)
    else:
        connection.execute(sa.text(sql))


def test_recorded_call_reaches_the_queue_once_it_is_committed(queue, place):
    set_up(queue, place)
    connection = place.connect()
    with queue.outbox(connection) as box:
        task_id = box.submit(scaled, {"x": 21}, priority="high", tags={"team": "risk"})
    if not place.is_sqlite:  # where whoever writes locks all others out
        assert queue.outbox_relay(place.url).deliver_all().n_delivered == 0
    connection.commit()
    connection.close()
    assert n_jobs(queue) == 0
    with pytest.raises(oq.UnknownJob):
        queue.get(task_id)
    assert queue.outbox_relay(place.url).deliver_all().n_delivered == 1
    task = queue.get(task_id)
    assert (task.input, task.tags, task.options.priority) == ({"x": 21}, {"team": "risk"}, 175)
    work_off(queue, scaled)
    assert task.result(WAIT_S) == 42


def test_nothing_reaches_the_queue_when_the_transaction_is_rolled_back(queue, place):
    set_up(queue, place)
    before = keys_in(queue)
    connection = place.connect()
    execute(connection, "CREATE TABLE orders (id INTEGER)")
    connection.commit()
    execute(connection, "INSERT INTO orders VALUES (1)")
    with queue.outbox(connection) as box:
        box.submit(scaled, {"x": 1})
    connection.rollback()
    execute(connection, "INSERT INTO orders VALUES (2)")
    with queue.outbox(connection) as box:
        kept = box.submit(scaled, {"x": 2})
    connection.commit()
    connection.close()
    assert keys_in(queue) == before
    queue.outbox_relay(place.url).deliver_all()
    assert n_jobs(queue) == 1
    assert queue.get(kept).input == {"x": 2}
    with place.open() as look:
        assert look.exec_driver_sql("SELECT id FROM orders").fetchall() == [(2,)]


def test_block_that_raises_records_nothing_of_it(queue, one_place):
    set_up(queue, one_place)
    connection = one_place.connect()

    def block():
        with queue.outbox(connection) as box:
            box.submit(scaled, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    connection.commit()
    connection.close()
    assert one_place.rows() == []


def test_many_calls_are_recorded_in_their_order(queue, one_place):
    set_up(queue, one_place)
    connection = one_place.connect()
    with queue.outbox(connection) as box:
        tasks = [box.submit(scaled, {"x": x}) for x in range(250)]
    connection.commit()
    connection.close()
    assert [row["task"] for row in one_place.rows()] == tasks
    assert queue.outbox_relay(one_place.url).deliver_all().n_delivered == 250
    assert set(queue.jobs(limit=300).index) == {task.partition(".")[0] for task in tasks}


def test_table_may_have_another_name(queue, one_place):
    set_up(queue, one_place, table="app_outbox")
    connection = one_place.connect()
    with queue.outbox(connection, table="app_outbox") as box:
        box.submit("report", {"x": 1})
    connection.commit()
    connection.close()
    assert queue.outbox_relay(one_place.url, table="app_outbox").deliver_all().n_delivered == 1


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "told"),
    (
        (lambda box: box.submit(both, 1), SchemaError, "y"),
        (lambda box: box.submit("t", 1j), SchemaError, "cannot be stored"),
        (lambda box: box.submit("a b", 1), UsageError, "cannot be a task type"),
        (lambda box: box.submit("t", 1, retries=-1), UsageError, "retries=-1"),
        (lambda box: box.submit("t", 1, colour="red"), UsageError, "colour= is no option"),
        (lambda box: box.submit("t", 1, key="k"), UsageError, "key= is not for an outbox"),
        (lambda box: box.submit("t", 1, scope="queue"), UsageError, "scope= is not for an outbox"),
        (lambda box: box.submit(lambda x: x, 1), UsageError, "takes no function by value"),
        (lambda box: box.submit("t", "a" * 2**20), UsageError, "more than 1,048,576 bytes"),
    ),
    ids=["binding", "value", "type", "option", "unknown option", "key", "scope", "by value", "size"],
)
def test_call_that_cannot_be_is_refused_when_it_is_recorded(queue, call, error, told):
    connection = sqlite3.connect(":memory:")
    queue.outbox_setup(connection)
    before = keys_in(queue)

    def block():
        with queue.outbox(connection) as box:
            box.submit("fine", 1)
            call(box)

    with pytest.raises(error, match=told):
        block()
    assert connection.execute("SELECT count(*) FROM oq_outbox").fetchone() == (0,)
    assert keys_in(queue) == before
    connection.close()


def test_outbox_is_used_in_a_block(queue):
    connection = sqlite3.connect(":memory:")
    with pytest.raises(UsageError, match="record in a block"):
        queue.outbox(connection).submit("t", 1)
    connection.close()


class Asynchronous:
    sync_session = None


class Odd:
    """Neither SQLAlchemy's nor a driver's."""

    def cursor(self):
        raise AssertionError

    commit = cursor


@pytest.mark.parametrize(
    ("connection", "told"),
    (
        (None, "and not a NoneType"),
        ("sqlite://", "and not a str"),
        (Asynchronous(), "run_sync"),
        (Odd(), "no database driver"),
    ),
    ids=["none", "url", "async", "odd"],
)
def test_what_is_no_connection_is_refused(queue, connection, told):
    with pytest.raises(UsageError, match=told):
        queue.outbox(connection)


@pytest.mark.parametrize("table", ("", "a b", "x; DROP TABLE users", "a.b.c", 'o"q', 7, "x" * 99))
def test_name_that_is_no_table_is_refused(queue, table):
    connection = sqlite3.connect(":memory:")
    for call in (
        lambda: queue.outbox(connection, table=table),
        lambda: queue.outbox_setup(connection, table=table),
        lambda: queue.outbox_relay("sqlite://", table=table),
    ):
        with pytest.raises(UsageError, match="must be a name"):
            call()
    connection.close()


# --- who vouches for it -------------------------------------------------------------------------


def test_record_is_signed_by_who_recorded_it_and_not_by_the_relay(monkeypatch, one_place, tmp_path):
    """A relay passes on what it finds: whoever can write the table makes no signed job of it."""
    place = tmp_path / "queue"
    monkeypatch.setenv("OQ_SIGNING_KEY", "a" * 64)
    ours = oq.connect(place)
    set_up(ours, one_place)
    connection = one_place.connect()
    with ours.outbox(connection) as box:
        signed, forged = box.submit(scaled, {"x": 1}), box.submit(scaled, {"x": 2})
    connection.commit()
    connection.close()
    document = json.loads(next(row["document"] for row in one_place.rows() if row["task"] == forged))
    del document["signature"]
    (text,) = [json.dumps(document).replace("'", "''")]
    one_place.change(f"UPDATE oq_outbox SET document = '{text}' WHERE task = '{forged}'".replace("%", "%%"))
    assert oq.connect(place).outbox_relay(one_place.url).deliver_all().n_delivered == 2
    worker = oq.Worker(ours, [scaled], grace_s=1.0)
    worker.run(until_idle=True)
    assert ours.get(signed).status == "completed"
    assert ours.get(forged).status == "pending"
