"""A queue in memory or in a directory, and workers in threads of this process that end with the test."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import oqkit as oq
from oqkit.client import connect, connection
from oqkit.limits import ClientLimits, Limits, WorkerLimits
from oqkit.queue.repository import open_repository
from oqkit.store.base import Store

WAIT_S = 90.0
"""How long a test waits for what must come; it says nothing of how soon that is, so a busy machine fails no test."""
_numbers = itertools.count()


@pytest.fixture
def queue(monkeypatch) -> oq.Queue:
    """A new queue in memory, which is also the default queue."""
    monkeypatch.setattr(connect, "_default", [])
    return oq.connect(f"memory://test-{next(_numbers)}")


@pytest.fixture
def folder_queue(monkeypatch, tmp_path) -> oq.Queue:
    """A new queue in a directory, which other processes can reach."""
    monkeypatch.setattr(connect, "_default", [])
    return oq.connect(tmp_path / "queue")


class Crew:
    """Workers in threads; call it to start one more."""

    def __init__(self) -> None:
        self.workers: list[oq.Worker] = []
        self._threads: list[threading.Thread] = []

    def __call__(self, *functions: Callable[..., Any], queue: oq.Queue | None = None, **options: Any) -> oq.Worker:
        """Start a worker that trusts shipped code, unless told otherwise."""
        worker = oq.Worker(queue, functions, **{"trust_code": True, "grace_s": 0.3, **options})
        self._threads.append(threading.Thread(target=worker.run, daemon=True))
        self._threads[-1].start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Stop them all, and see that they do."""
        for worker in self.workers:
            worker.stop()
        for thread in self._threads:
            thread.join(WAIT_S)
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.fixture
def start() -> Iterator[Crew]:
    """Start workers for the default queue."""
    crew = Crew()
    yield crew
    crew.stop()


def work_off(queue: oq.Queue, *functions: Callable[..., Any], **options: Any) -> oq.Worker:
    """Run a worker in this thread until there is nothing left that it can do; it trusts shipped code, unless told otherwise."""
    worker = oq.Worker(queue, functions, **{"trust_code": True, **options})
    worker.run(until_idle=True)
    return worker


def connect_with(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `oq.connect` give queues with these limits from now on."""
    monkeypatch.setattr(connection, "open_repository", functools.partial(open_repository, limits=limits))


QUICK_NEWS = Limits(
    client=ClientLimits(look_every_s=0.0, patience_s=0.0),
    worker=WorkerLimits(report_news_s=0.0),
)


@pytest.fixture
def quick_news(monkeypatch) -> None:
    """Let workers of queues made after this say at once what they leave alone, and clients ask at once why nothing happens."""
    connect_with(QUICK_NEWS, monkeypatch)


def until(claim: Callable[[], Any], *, wait_s: float = WAIT_S, what: str = "it never came true") -> Any:
    """Return what `claim` says once that is true; fail, saying `what`, if that takes too long."""
    end = time.monotonic() + wait_s
    while not (said := claim()):
        assert time.monotonic() < end, f"not within {wait_s:g} s: {what}"
        time.sleep(0.005)
    return said


def refusal(job: oq.Job | oq.Task, *, said: str = "cannot run it", wait_s: float = WAIT_S) -> str:
    """Return why nothing happens to a job, once it is said that a worker cannot run it."""
    return until(lambda: (why := job.why()) and said in why and why, wait_s=wait_s)


def names_below(store: Store, prefix: str = "") -> list[str]:
    """Return every key of a store that starts with `prefix`."""
    return [entry.key for page in store.list_all(prefix) for entry in page.entries]


def keys_in(queue: oq.Queue) -> list[str]:
    """Return every key of a queue."""
    return names_below(queue.repository.store)
