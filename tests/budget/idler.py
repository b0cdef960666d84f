"""A worker in virtual time."""

from __future__ import annotations

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.store.s3 import S3Store
from tests.clock import FakeClock


class FakeEvent:
    """The worker's stop sign: waiting for it takes no time but the clock's, and it goes up at `end_s`."""

    def __init__(self, clock):
        self._clock = clock
        self.end_s = float("inf")
        self.while_waiting = lambda: None

    def is_set(self):
        return self._clock.time_s >= self.end_s

    def wait(self, seconds=None):
        self._clock.sleep(max(seconds, 0.001))
        self.while_waiting()
        return self.is_set()

    def set(self):
        self.end_s = self._clock.time_s


class Idler:
    """A whole worker, but for its threads, on a store in memory that has the pace of a bucket and the test's clock."""

    def __init__(self, name, *functions):
        self.clock = FakeClock()
        self.queue, self.client = self._connect(name), self._connect(name)
        self.stop_sign = FakeEvent(self.clock)
        self.noticed = []

        @oq.task
        def arrive(sent_s: float) -> None:
            self.noticed.append(self.clock.time_s - sent_s)

        self._worker = oq.Worker(self.queue, [arrive, *functions])
        self._worker._source.stopping = self.stop_sign
        self._slot, self._duties = self._worker._slot(self._worker._source), self._worker._take_up_duties()
        self._report()

    def _report(self):
        self._duties.begin_due()
        for thread in self._duties.threads:  # where no time passes
            thread.join()

    def _connect(self, name):
        store = MemoryStore.named(name, clock=self.clock)
        store.poll_s, store.ring_s = S3Store.poll_s, S3Store.ring_s
        return Queue(open_repository(store), Settings(url=store.url))

    def idle(self, seconds, *, arrivals=()):
        """Run for so long, while tasks arrive at these moments (seconds from now); return the requests sent."""
        start_s, due = self.clock.time_s, sorted(arrivals)
        self.stop_sign.end_s = start_s + seconds

        def pass_time():
            for commit in list(self._slot._committing):  # in a thread, where no time passes
                commit.result()
            self._report()
            while due and self.clock.time_s >= start_s + due[0]:
                self.client.submit("arrive", {"sent_s": start_s + due.pop(0)})

        self.stop_sign.while_waiting = pass_time
        before = self.queue.repository.store.requests.snapshot()
        self._slot._loop()
        self._slot._settle(leave=0)
        return self.queue.repository.store.requests.snapshot() - before
