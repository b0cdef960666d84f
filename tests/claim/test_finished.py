"""A worker that may not delete anything."""

from __future__ import annotations

import logging
import math

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Denied
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from tests.local import WAIT_S, until


class NoDelete(MemoryStore):
    """A bucket whose policy lets nobody delete."""

    def __init__(self):
        super().__init__()
        self.is_closed = False
        self.refused, self.looked_at = [], []

    def delete(self, key):
        if self.is_closed:
            self.refused.append(key)
            raise Denied(f"delete {key}: not allowed")
        super().delete(key)

    def read(self, key):
        self.looked_at.append(key)
        return super().read(key)


def queue_on(store):
    queue = Queue(open_repository(store), Settings(url=store.url))
    store.is_closed = True
    return queue


@oq.task
def double(x):
    return 2 * x


def markers_in(queue):
    return [entry.key for entry in queue.repository.store.list("open/").entries]


def test_worker_that_may_not_delete_says_so_once_and_looks_at_nothing_twice(start, caplog):
    store = NoDelete()
    queue = queue_on(store)
    with caplog.at_level(logging.INFO, "oqkit"):
        worker = start(double, queue=queue, trust_code=False)
        tasks = [queue.submit(double, {"x": x}) for x in range(60)]
        assert [task.result(WAIT_S) for task in tasks] == [2 * x for x in range(60)]
        until(lambda: worker._source._claimer.finished.wait_s() == math.inf)  # it has tried to delete them all
        assert len(markers_in(queue)) == 60
        store.looked_at.clear()
        assert queue.submit(double, {"x": 60}).result(WAIT_S) == 120
    assert not [key for key in store.looked_at if any(task.job.id in key for task in tasks)]
    assert [record.getMessage().count("cannot be deleted") for record in caplog.records] == [1]


def test_worker_deletes_again_as_soon_as_it_may(start):
    store = NoDelete()
    queue = queue_on(store)
    start(double, queue=queue, trust_code=False)
    assert queue.submit(double, {"x": 1}).result(WAIT_S) == 2
    until(lambda: store.refused)
    store.is_closed = False
    assert queue.submit(double, {"x": 2}).result(WAIT_S) == 4
    until(lambda: len(markers_in(queue)) == 1)
