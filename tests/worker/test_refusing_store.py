"""A store that never answers, or refuses: the worker is gone after its grace time, or waits until it may go on."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from oqkit.claim.claimer import Claimer
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Denied, StoreError, Unavailable
from oqkit.limits import Limits, WorkerLimits
from oqkit.observe.observer import Observers
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.worker import reporter
from oqkit.worker.registry import HandlerRegistry
from oqkit.worker.source import LeaseSource
from oqkit.worker.thread import SystemThreads
from oqkit.worker.trouble import Trouble
from tests.local import WAIT_S
from tests.queue.faulty import World, WrappedStore


class Store(MemoryStore):
    """Parts are claimed with a create and committed with a replace: how often each is refused, and whether commits hang."""

    def __init__(self):
        super().__init__()
        self.open, self.is_hanging = threading.Event(), threading.Event()
        self.open.set()
        self.n_denied = {"create": 0, "replace": 0}

    def create(self, key, data):
        self._deny("create", key)
        return super().create(key, data)

    def replace(self, key, data, *, etag):
        self._deny("replace", key)
        if not self.open.is_set():
            self.is_hanging.set()
            self.open.wait()
        return super().replace(key, data, etag=etag)

    def _deny(self, verb, key):
        if "/parts/" in key and self.n_denied[verb] > 0:
            self.n_denied[verb] -= 1
            raise Denied(f"{verb} {key}: not allowed")


@pytest.fixture
def store():
    store = Store()
    yield store
    store.open.set()


def queue_on(store, **worker):
    limits = Limits(worker=WorkerLimits(**worker))
    return Queue(open_repository(store, limits=limits), Settings(url=store.url))


@oq.task
def double(x):
    return 2 * x


def started(queue, **options):
    """Run a worker in a thread; the list gets what `run` raises."""
    made, raised = oq.Worker(queue, [double], **options), []

    def run():
        try:
            made.run()
        except Unavailable as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return made, thread, raised


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_worker_whose_commit_never_returns_is_gone_after_its_grace_time(store, executor):
    queue = queue_on(store, settle_s=0.2)
    store.open.clear()
    queue.submit_frame(pd.DataFrame({"x": range(10)}), double, part_rows=10)
    made, thread, raised = started(queue, grace_s=0.2, executor=executor)
    assert store.is_hanging.wait(WAIT_S)
    made.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert made.is_stuck
    assert "run again by others" in str(raised[0])


def test_worker_whose_record_is_never_written_can_be_stopped(store, monkeypatch):
    queue, shut = queue_on(store, farewell_s=0.2), threading.Event()
    monkeypatch.setattr(reporter, "put_worker", lambda *_: shut.wait())
    made, thread, raised = started(queue, grace_s=0.2)
    job = queue.submit_frame(pd.DataFrame({"x": [1]}), double)
    assert job.result(WAIT_S)["double"].tolist() == [2]
    made.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert len(raised) == 1
    shut.set()


SCRIPT = """
import sys, threading
from functools import partial
from oqkit.cli.main import main
from oqkit.limits import Limits, WorkerLimits
from oqkit.queue import repository
from oqkit.store.directory import DirectoryStore

repository.Limits = partial(Limits, worker=WorkerLimits(settle_s=0.2))
write = DirectoryStore.replace

def replace(self, key, data, *, etag):
    if "/parts/" in key:
        print("hangs", flush=True)
        threading.Event().wait()
    return write(self, key, data, etag=etag)

DirectoryStore.replace = replace
sys.exit(main(["worker", "tests.worker.test_refusing_store:double", "--grace", "0.2"]))
"""


@pytest.mark.slow
def test_process_of_a_worker_whose_commit_never_returns_ends_and_says_so(tmp_path):
    queue = oq.connect(tmp_path / "queue")
    queue.submit_frame(pd.DataFrame({"x": range(10)}), "double", part_rows=10)
    environment = {**os.environ, "OQ_URL": queue.url, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=WAIT_S)
    assert process.returncode == 3
    assert "gone after its grace time" in log


def test_worker_that_may_not_write_waits_until_it_may_and_says_so_once(store, caplog):
    queue = queue_on(store, commit_first_wait_s=0.01)
    store.n_denied["replace"] = 3
    with caplog.at_level(logging.WARNING, "oqkit"):
        made, thread, raised = started(queue, grace_s=5.0)
        job = queue.submit_frame(pd.DataFrame({"x": range(10)}), double, part_rows=10)
        assert job.result(WAIT_S)["double"].tolist() == list(range(0, 20, 2))
        made.stop()
        thread.join(WAIT_S)
    assert not raised
    assert store.n_denied["replace"] == 0
    assert [record.getMessage().count("not allowed") for record in caplog.records] == [1]


def test_worker_that_may_not_claim_waits_until_it_may_and_says_so_once(store, caplog):
    queue = queue_on(store, fetch_first_wait_s=0.01)
    store.n_denied["create"] = 3
    with caplog.at_level(logging.WARNING, "oqkit"):
        made, thread, raised = started(queue, grace_s=5.0)
        job = queue.submit_frame(pd.DataFrame({"x": range(10)}), double, part_rows=10)
        assert job.result(WAIT_S)["double"].tolist() == list(range(0, 20, 2))
        made.stop()
        thread.join(WAIT_S)
    assert not raised
    assert [record.getMessage().count("not allowed") for record in caplog.records] == [1]


def test_slots_of_a_worker_that_may_not_claim_say_so_once_together(store, caplog):
    queue = queue_on(store, fetch_longest_wait_s=0.01)
    store.n_denied["create"] = 12
    with caplog.at_level(logging.WARNING, "oqkit"):
        made, thread, raised = started(queue, grace_s=5.0, concurrency=4)
        job = queue.submit_frame(pd.DataFrame({"x": range(40)}), double, part_rows=10)
        assert job.result(WAIT_S)["double"].tolist() == list(range(0, 80, 2))
        made.stop()
        thread.join(WAIT_S)
    assert not raised
    assert store.n_denied["create"] == 0
    assert [record.getMessage().count("not allowed") for record in caplog.records] == [1]


def test_trouble_is_told_once_and_the_waits_double_until_it_is_over(caplog):
    one = Trouble(SystemThreads(), limits=WorkerLimits())
    now, waits = 100.0, []
    with caplog.at_level(logging.INFO, "oqkit"):
        for _ in range(8):
            one.note(Denied("no"), since=now, now=now)
            waits.append(one.left_s(now))
            now += waits[-1]
        one.note(Denied("no for another key"), since=now, now=now)
        one.note(Unavailable("away"), since=now, now=now)
        one.note(Denied("no"), since=now, now=now)
        one.works(since=now + 60, has_work=True, answered=now + 60)
        one.works(since=now + 61, has_work=True, answered=now + 60)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert one.left_s(now) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def test_slots_that_fail_together_wait_as_long_as_one_does():
    one = Trouble(SystemThreads(), limits=WorkerLimits())
    for at in (100.0, 100.1, 100.2):
        one.note(Unavailable("away"), since=90.0, now=at)
    assert one.left_s(100.0) == 1.0
    one.works(since=99.0, has_work=True, answered=99.0)  # begun before the others failed: it proves nothing
    assert one.left_s(100.0) == 1.0


LISTED, NOT_ASKED = object(), object()
AWAY, FORBIDDEN = Unavailable("the store is away"), Denied("create parts/0: not allowed")


@pytest.mark.parametrize(
    ("tries", "said"),
    (
        ([FORBIDDEN, NOT_ASKED, FORBIDDEN, LISTED, FORBIDDEN], ["WARNING"]),
        ([AWAY, NOT_ASKED, AWAY, NOT_ASKED, AWAY], ["WARNING"]),
        ([AWAY, FORBIDDEN, AWAY, FORBIDDEN], ["WARNING", "WARNING"]),
        ([AWAY, LISTED, NOT_ASKED, AWAY], ["WARNING", "INFO", "WARNING"]),
        ([FORBIDDEN, AWAY, LISTED, AWAY, FORBIDDEN], ["WARNING", "WARNING", "WARNING"]),
    ),
)
def test_outage_is_over_only_when_what_failed_has_worked(monkeypatch, caplog, tries, said):
    world, left = World(), list(tries)

    def find(claimer):
        one = left.pop(0)
        if one is LISTED:
            claimer.discovery.look()
        elif one is not NOT_ASKED:
            raise one

    monkeypatch.setattr(Claimer, "find", find)
    source = source_of(world.repository())
    with caplog.at_level(logging.INFO, "oqkit"):
        while left:
            world.clock.sleep(max(fetch(source), 0.01))
    assert [record.levelname for record in caplog.records] == said


@pytest.mark.parametrize("idle_s", (0.0, 3600.0), ids=("fresh", "long idle"))
def test_outage_of_an_hour_is_one_line_and_its_end_another(caplog, idle_s):
    world = World()
    store = AbsentStore(world.inner)
    source = source_of(world.repository(store))
    spend(source, world, idle_s)
    with caplog.at_level(logging.INFO, "oqkit"):
        store.is_away = True
        spend(source, world, 3600.0)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        store.is_away = False
        spend(source, world, 120.0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class AbsentStore(WrappedStore):
    is_away = False

    def _do(self, verb, key, call):
        if self.is_away:
            raise Unavailable(f"{verb} {key}: no answer")
        return call()


def source_of(repository):
    return LeaseSource(
        repository,
        ParquetCodec(repository),
        HandlerRegistry(repository, [double], trusts_code=False),
        worker="w",
        lease_s=60.0,
        grace_s=0.0,
        isolates_after=2,
        concurrency=1,
        threads=SystemThreads(),
        observers=Observers(),
    )


def fetch(source):
    """Try once, as a slot does; return how long to wait before the next try."""
    try:
        assert source.acquire(None) is None
    except StoreError:
        return source.trouble.left_s(source.monotonic())
    return min(source.wait_s(), 1.0)


def spend(source, world, seconds):
    end = world.clock.time_s + seconds
    while world.clock.time_s < end:
        world.clock.sleep(max(fetch(source), 0.01))


def test_calls_of_a_queue_come_in_order_and_their_errors_to_whoever_asks():
    from oqkit.worker.thread import SystemQueue

    made, calls = SystemQueue("test"), []
    futures = [made.submit(calls.append, n) for n in range(100)]
    broken = made.submit(divmod, 1, 0)
    made.shutdown()
    assert [future.result(WAIT_S) for future in futures] == [None] * 100
    assert calls == list(range(100))
    with pytest.raises(ZeroDivisionError):
        broken.result(WAIT_S)
