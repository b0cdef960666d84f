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
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Denied, Unavailable
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.worker import checkpoint, trouble, worker
from tests.local import WAIT_S


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


def queue_on(store):
    return Queue(open_repository(store), Settings(url=store.url))


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
def test_worker_whose_commit_never_returns_is_gone_after_its_grace_time(store, monkeypatch, executor):
    monkeypatch.setattr(worker, "SETTLE_S", 0.2)
    queue = queue_on(store)
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
    monkeypatch.setattr(worker, "FAREWELL_S", 0.2)
    queue, shut = queue_on(store), threading.Event()
    monkeypatch.setattr(worker, "put_worker", lambda *_: shut.wait())
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
from oqkit.cli import main
from oqkit.store.directory import DirectoryStore

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
        _, log = process.communicate(timeout=WAIT_S + worker.SETTLE_S)
    assert process.returncode == 3
    assert "gone after its grace time" in log


def test_worker_that_may_not_write_waits_until_it_may_and_says_so_once(store, monkeypatch, caplog):
    monkeypatch.setattr(checkpoint, "FIRST_WAIT_S", 0.01)
    queue = queue_on(store)
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


def test_worker_that_may_not_claim_waits_until_it_may_and_says_so_once(store, monkeypatch, caplog):
    monkeypatch.setattr(trouble, "FIRST_WAIT_S", 0.01)
    queue = queue_on(store)
    store.n_denied["create"] = 3
    with caplog.at_level(logging.WARNING, "oqkit"):
        made, thread, raised = started(queue, grace_s=5.0)
        job = queue.submit_frame(pd.DataFrame({"x": range(10)}), double, part_rows=10)
        assert job.result(WAIT_S)["double"].tolist() == list(range(0, 20, 2))
        made.stop()
        thread.join(WAIT_S)
    assert not raised
    assert [record.getMessage().count("not allowed") for record in caplog.records] == [1]


def test_trouble_is_told_once_and_the_waits_double_until_it_is_over(caplog):
    one = trouble.Trouble()
    waits = []
    with caplog.at_level(logging.INFO, "oqkit"):
        for _ in range(8):
            one.note(Denied("no"), now=100.0)
            waits.append(one.left_s(100.0))
        one.note(Denied("no for another key"), now=100.0)
        one.note(Unavailable("away"), now=100.0)
        one.over()
        one.over()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert one.left_s(100.0) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


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
