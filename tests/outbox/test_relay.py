"""The relay of an outbox: each record becomes one task, whatever dies when, and however many relays there are."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import threading

import pytest
from pg8000 import dbapi as pg8000

import oqkit as oq
from oqkit.client import outbox_database
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Unavailable, UsageError
from oqkit.limits import Limits, OutboxLimits
from oqkit.queue.key import parse_marker
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.testing.race import race
from tests.client.sample import n_jobs
from tests.clock import FakeClock
from tests.local import names_below, until, work_off
from tests.outbox.conftest import Place
from tests.queue.faulty import Crash, CrashingStore, FaultyStore

FEW = Limits(outbox=OutboxLimits(batch_records=3, poll_s=0.01, first_wait_s=0.01, longest_wait_s=0.02))
BRIEF = Limits(outbox=OutboxLimits(batch_records=3, claim_s=0.0))
"""Claims run out at once, so that nobody has to wait for those of the dead."""


def queue_on(store, limits=BRIEF) -> Queue:
    return Queue(open_repository(store, limits=limits), Settings(url=store.url))


@pytest.fixture
def store():
    store = MemoryStore()
    queue_on(store)  # which makes the queue
    return store


def record(queue, place, n, *, first=0):
    """Record `n` calls in one transaction, and return their tasks."""
    connection = place.connect()
    queue.outbox_setup(connection)
    with queue.outbox(connection) as box:
        tasks = [box.submit("score", first + x) for x in range(n)]
    connection.commit()
    connection.close()
    return tasks


def jobs_in(store):
    return {key.rpartition("/")[2].removesuffix(".json") for key in names_below(store, "jobs/")}


def jobs_of(tasks):
    return {task.partition(".")[0] for task in tasks}


class DyingConnection:
    """A DB-API connection of a process that dies at its n-th statement or commit, before or after it is carried out."""

    def __init__(self, inner, *, at, is_after, steps):
        self._inner, self._at, self._is_after, self._steps = inner, at, is_after, steps

    def step(self, act):
        is_last = next(self._steps) == self._at
        if is_last and not self._is_after:
            raise Crash
        done = act()
        if is_last:
            raise Crash
        return done

    def cursor(self):
        return DyingCursor(self, self._inner.cursor())

    def commit(self):
        self.step(self._inner.commit)

    def close(self):
        self._inner.close()


class DyingCursor:
    def __init__(self, connection, inner):
        self._connection, self._inner = connection, inner

    def execute(self, sql, values):
        self._connection.step(lambda: self._inner.execute(sql, values))

    def executemany(self, sql, rows):
        self._connection.step(lambda: self._inner.executemany(sql, rows))

    def fetchall(self):
        return self._inner.fetchall()

    @property
    def description(self):
        return self._inner.description

    def close(self):
        self._inner.close()


def die(queue, connect):
    """Let a relay work until its process dies; whether it did. What it has open, the system closes."""
    opened = []

    def connect_and_note():
        opened.append(connect())
        return opened[-1]

    try:
        queue().outbox_relay(connect_and_note).deliver_all()
    except Crash:
        return True
    finally:
        for connection in opened:
            with contextlib.suppress(MODULES[False].InterfaceError):  # it is closed
                connection.close()
    return False


def delivered(store, place):
    """Let another relay deliver; whether all is. A server keeps rows locked until it has noticed that a connection is gone."""
    queue_on(store).outbox_relay(place.connect).deliver_all()
    return all(row["delivered"] for row in place.rows())


@pytest.mark.parametrize("is_after", (False, True), ids=["before", "after"])
def test_relay_that_dies_at_any_request_to_the_queue_loses_and_doubles_nothing(one_place, is_after):
    for at in itertools.count():
        store = MemoryStore()
        tasks = record(queue_on(store), one_place, 4, first=10 * at)
        dying = CrashingStore(store, at=at, is_after=is_after)
        has_died = die(lambda dying=dying: queue_on(dying), one_place.connect)
        until(lambda store=store: delivered(store, one_place), what="all is delivered")
        assert jobs_in(store) == jobs_of(tasks)
        assert len(names_below(store, "open/")) == 4
        if not has_died:
            break
    assert at > 8  # the settings, and a job and its marker for each


@pytest.mark.parametrize("is_after", (False, True), ids=["before", "after"])
def test_relay_that_dies_at_any_request_to_the_database_loses_and_doubles_nothing(one_place, is_after, monkeypatch):
    for at in itertools.count():
        store, steps = MemoryStore(), itertools.count()
        tasks = record(queue_on(store), one_place, 4, first=10 * at)

        def connect(at=at, steps=steps):
            return DyingConnection(one_place.connect(), at=at, is_after=is_after, steps=steps)

        monkeypatch.setattr(outbox_database, "_module_of", lambda connection: MODULES[one_place.is_sqlite])
        has_died = die(lambda store=store: queue_on(store), connect)
        monkeypatch.undo()
        until(lambda store=store: delivered(store, one_place), what="all is delivered")
        assert jobs_in(store) == jobs_of(tasks)
        if not has_died:
            break
    assert at > 8


MODULES = {True: sqlite3, False: pg8000}
"""What connections are of, by whether they are SQLite's."""


def test_task_runs_once_although_its_record_was_delivered_twice(one_place, store):
    """The relay died after the task was stored, and the task had ended before the next relay came."""
    queue = queue_on(store)
    (task_id,) = record(queue, one_place, 1)
    queue.outbox_relay(one_place.connect).deliver_all()
    calls = []
    count = oq.task(name="score")(calls.append)
    work_off(queue, count)
    one_place.change("UPDATE oq_outbox SET delivered = NULL")
    assert queue.outbox_relay(one_place.connect).deliver_all().n_delivered == 1
    work_off(queue, count)
    assert calls == [0]
    assert queue.get(task_id).status == "completed"
    assert n_jobs(queue) == 1


def test_record_of_a_task_that_was_deleted_meanwhile_does_not_bring_it_back(one_place, store):
    """The relay died after the task was stored; the task ended, and was deleted, before the next relay came."""
    queue = queue_on(store)
    (task_id,) = record(queue, one_place, 1)
    queue.outbox_relay(one_place.connect).deliver_all()
    calls = []
    work_off(queue, oq.task(name="score")(calls.append))
    queue.get(task_id).job.delete()
    one_place.change("UPDATE oq_outbox SET delivered = NULL")
    done = queue.outbox_relay(one_place.connect).deliver_all()
    assert (done.n_delivered, done.troubles) == (1, {})
    work_off(queue, oq.task(name="score")(calls.append))
    assert calls == [0]
    with pytest.raises(oq.UnknownJob):
        queue.get(task_id)


@pytest.mark.parametrize("fault", ("drop", "zombie", "late", "conflict", "unsure", "refuse"))
def test_lost_replies_of_the_queue_make_no_second_task(one_place, store, fault):
    tasks = record(queue_on(store), one_place, 3)
    faulty = FaultyStore(store, (fault,) * 3, only="jobs/")
    queue_on(faulty).outbox_relay(one_place.connect).deliver_all()
    assert jobs_in(store) == jobs_of(tasks)


# --- several relays -----------------------------------------------------------------------------


def test_relays_at_once_deliver_each_record_once(one_place, store):
    tasks = record(queue_on(store), one_place, 40)
    limits = Limits(outbox=OutboxLimits(batch_records=3))
    creates = []
    watched = FaultyStore(store)
    watched.before_write = lambda verb, key: creates.append(key) if key.startswith("jobs/") else None
    relays = [queue_on(watched, limits).outbox_relay(one_place.connect) for _ in range(4)]
    race([relay.deliver_all for relay in relays])
    assert jobs_in(store) == jobs_of(tasks)
    assert len(creates) == 40  # nor did they do each other's work
    assert all(row["delivered"] for row in one_place.rows())


def test_record_of_a_relay_that_died_is_taken_over_once_its_claim_is_over(one_place, store):
    limits = Limits(outbox=OutboxLimits(claim_s=3600.0))
    record(queue_on(store), one_place, 2)
    assert die(lambda: queue_on(CrashingStore(store, at=1, is_after=False), limits), one_place.connect)
    queue = queue_on(store, limits)
    assert queue.outbox_relay(one_place.connect).deliver_all().n_delivered == 0  # somebody may be at it
    one_place.change("UPDATE oq_outbox SET claimed_until = claimed_until - 3600.0")
    assert queue.outbox_relay(one_place.connect).deliver_all().n_delivered == 2


def test_tasks_are_queued_in_the_order_in_which_they_were_recorded(one_place):
    """Whoever delivers them, and in whatever order."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    tasks = []
    for x in range(6):
        tasks += record(queue_on(store), one_place, 1, first=x)
        clock.sleep(1.0)
    one_place.change("UPDATE oq_outbox SET seq = 100 - seq")
    queue_on(store).outbox_relay(one_place.connect).deliver_all()
    order = [parse_marker(key).job for key in names_below(store, "open/")]
    assert order == [task.partition(".")[0] for task in tasks]


def test_recorded_task_may_wait_for_others(one_place, store):
    queue = queue_on(store)
    parent = queue.submit("score", 1)
    connection = one_place.connect()
    queue.outbox_setup(connection)
    with queue.outbox(connection) as box:
        child = box.submit("score", 2, depends_on=[parent.job])
    connection.commit()
    connection.close()
    queue.outbox_relay(one_place.connect).deliver_all()
    assert queue.get(child).status == "blocked"
    calls = []
    work_off(queue, oq.task(name="score")(calls.append))
    assert calls == [1, 2]


# --- trouble ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "told"),
    (
        (lambda text, other: "no JSON", "does not parse"),
        (lambda text, other: "{}", "does not parse"),
        (lambda text, other: other, "its document is that of job"),
        (lambda text, other: json.dumps({**json.loads(text), "requires": ["magic"]}), "newer oqkit"),
        (lambda text, other: json.dumps({**json.loads(text), "priority": 900}), "does not parse"),
    ),
    ids=["no json", "empty", "another job's", "newer", "out of bounds"],
)
def test_record_that_cannot_be_delivered_is_put_aside_and_named(one_place, store, caplog, spoil, told):
    queue = queue_on(store)
    first, bad, last = record(queue, one_place, 3)
    before = {row["task"]: row for row in one_place.rows()}
    text = spoil(before[bad]["document"], before[first]["document"]).replace("'", "''").replace("%", "%%")
    one_place.change(f"UPDATE oq_outbox SET document = '{text}' WHERE task = '{bad}'")
    done = queue.outbox_relay(one_place.connect).deliver_all()
    assert done.n_delivered == 2  # those behind it do not wait
    assert list(done.troubles) == [before[bad]["id"]]
    assert told in done.troubles[before[bad]["id"]]
    assert jobs_in(store) == jobs_of([first, last])
    (record_said,) = [one for one in caplog.records if "is put aside" in one.getMessage()]
    assert before[bad]["id"] in record_said.getMessage()
    assert queue.outbox_relay(one_place.connect).deliver_all().n_claimed == 0  # and it is tried no more
    original = before[bad]["document"].replace("'", "''").replace("%", "%%")
    one_place.change(f"UPDATE oq_outbox SET document = '{original}', trouble = NULL WHERE task = '{bad}'")
    assert queue.outbox_relay(one_place.connect).deliver_all().n_delivered == 1  # once somebody has mended it


@pytest.mark.parametrize(
    ("column", "poison"),
    (("document", "x'fffe'"), ("document", "CAST(x'fffe' AS TEXT)"), ("document", "5"), ("id", "x'fffe'")),
)
def test_record_that_holds_no_text_is_put_aside_and_those_behind_it_go_on(tmp_path, store, column, poison):
    """SQLite stores any kind of value in any column."""
    place = Place(
        url=f"sqlite:///{tmp_path / 'app.db'}", connect=lambda: sqlite3.connect(tmp_path / "app.db"), is_sqlite=True
    )
    queue = queue_on(store)
    _, bad, _ = tasks = record(queue, place, 3)
    place.change(f"UPDATE oq_outbox SET {column} = {poison} WHERE task = '{bad}'")
    done = queue.outbox_relay(place.connect).deliver_all()
    assert (done.n_delivered, len(done.troubles)) == (2, 1)
    assert jobs_in(store) == jobs_of(tasks) - jobs_of([bad])
    assert queue.outbox_relay(place.connect).deliver_all().n_claimed == 0


def test_job_that_is_another_ones_is_not_touched(one_place, store):
    """Whoever can write the table may choose the id of a record, and so a job that is there: it is left as it is."""
    queue = queue_on(store)
    (task,) = record(queue, one_place, 1)
    queue.outbox_relay(one_place.connect).deliver_all()
    before = store.read(next(iter(names_below(store, "jobs/")))).data
    document = json.loads(one_place.rows()[0]["document"])
    text = json.dumps({**document, "origin": "other"}).replace("'", "''").replace("%", "%%")
    one_place.change(f"UPDATE oq_outbox SET document = '{text}', delivered = NULL")
    done = queue.outbox_relay(one_place.connect).deliver_all()
    assert [why for why in done.troubles.values() if f"job {task.partition('.')[0]} is another one's" in why]
    assert store.read(next(iter(names_below(store, "jobs/")))).data == before


def test_queue_that_is_away_is_waited_for(one_place, store):
    tasks = record(queue_on(store), one_place, 5)
    away = FaultyStore(store)

    def refuse(verb, key):
        raise Unavailable("the network is away")

    queue = queue_on(away, Limits(queue=oq.limits.QueueLimits(patience_s=0.0), outbox=FEW.outbox))
    away.before_write = refuse
    with pytest.raises(Unavailable):
        queue.outbox_relay(one_place.connect).deliver_all()
    stop = threading.Event()
    relay = queue.outbox_relay(one_place.connect)
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    away.before_write = None
    try:
        until(lambda: jobs_in(store) == jobs_of(tasks))
        until(lambda: all(row["delivered"] for row in one_place.rows()))
    finally:
        stop.set()
        thread.join()


class LosableConnection:
    """A connection that can be lost, and once that happened it takes a while to get another."""

    def __init__(self, inner, error):
        self._inner, self._error, self.is_lost = inner, error, threading.Event()

    def cursor(self):
        if self.is_lost.is_set():
            raise self._error
        return self._inner.cursor()

    def commit(self):
        self._inner.commit()

    def close(self):
        self._inner.close()


def test_database_that_is_away_is_waited_for(one_place, store, caplog, monkeypatch):
    module = MODULES[one_place.is_sqlite]
    monkeypatch.setattr(outbox_database, "_module_of", lambda connection: module)
    tasks = record(queue_on(store), one_place, 2)
    opened, n_refused = [], itertools.count()

    def connect():
        if opened and next(n_refused) < 3:
            raise module.OperationalError("gone away")
        opened.append(LosableConnection(one_place.connect(), module.OperationalError("connection lost")))
        return opened[-1]

    stop = threading.Event()
    thread = threading.Thread(target=queue_on(store, FEW).outbox_relay(connect).run, args=(stop,))
    thread.start()
    try:
        until(lambda: jobs_in(store) == jobs_of(tasks))
        opened[0].is_lost.set()
        more = record(queue_on(store), one_place, 2, first=50)
        until(lambda: jobs_in(store) == jobs_of([*tasks, *more]))
    finally:
        stop.set()
        thread.join()
    assert len(opened) == 2
    assert "the database of the outbox did not answer: connection lost" in caplog.text
    assert "the database of the outbox did not answer: gone away" in caplog.text


def test_table_that_is_not_there_is_said_at_once(one_place, store):
    queue = queue_on(store)
    for act in (lambda relay: relay.run(threading.Event()), lambda relay: relay.deliver_all()):
        with pytest.raises(UsageError, match=r"outbox oq_outbox cannot be read .*oq outbox setup"):
            act(queue.outbox_relay(one_place.connect))


@pytest.mark.parametrize("url", ("", "nonsense", "nobody+knows://x"))
def test_url_that_is_none_is_refused(queue, url):
    with pytest.raises(UsageError, match="database: "):
        queue.outbox_relay(url)


# --- what is kept -------------------------------------------------------------------------------


def test_what_was_delivered_is_deleted_after_its_time_and_nothing_else(one_place, store):
    queue = queue_on(store)
    old, new, *waiting = record(queue, one_place, 4)
    queue.outbox_relay(one_place.connect).deliver_all()
    one_place.change(f"UPDATE oq_outbox SET delivered = delivered - 86500.0 WHERE task = '{old}'")
    one_place.change(f"UPDATE oq_outbox SET delivered = delivered - 86300.0 WHERE task = '{new}'")
    one_place.change(f"UPDATE oq_outbox SET delivered = NULL, trouble = 'x', recorded = 0 WHERE task = '{waiting[0]}'")
    queue.outbox_relay(one_place.connect, keep="1d").deliver_all()
    assert [row["task"] for row in one_place.rows()] == [new, *waiting]
    queue.outbox_relay(one_place.connect, keep=0).deliver_all()
    assert [row["task"] for row in one_place.rows()] == [waiting[0]]
    assert len(jobs_in(store)) == 4
