"""Damaged objects of every kind beside a live worker: it lives, it does not spin, other work is done, and listings show it.

``OQ_FUZZ_DOCUMENTS=2000`` damages so many objects instead of the few of a normal run.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from contextlib import suppress

import pandas as pd
import pytest

import oqkit as oq
from oqkit.claim.claimer import Claimer
from oqkit.claim.poller import Topics
from oqkit.notebook.board import Jobs, board_html, board_state, board_text
from oqkit.queue.repository import open_repository
from tests.fuzz.mutation import mutated, renamed
from tests.local import names_below

N_DAMAGED = int(os.environ.get("OQ_FUZZ_DOCUMENTS", "80"))
A_ROUND = 40
POLL_S = 2.0
WINDOW_S = 1.0
WINDOWS = 25
MOST_REQUESTS_S = 5.0
MOST_LOAD = 0.03
KINDS = ("job", "part", "marker", "bell", "worker", "code", "payload", "part", "job")
_numbers = itertools.count()
is_bad = threading.Event()


@oq.task(name="picky", retries=0)
def picky(x: int) -> dict:
    if is_bad.is_set() and x % 2:
        raise oq.PermanentError(f"{x} will not do")
    return {"x": x}


@oq.task(name="healthy")
def healthy(x: int) -> int:
    return x + 1


class Damaged:
    """A queue of jobs in many states; `damage` spoils one object of one of them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.queue = oq.connect(f"memory://damaged-{os.getpid()}-{next(_numbers)}")
        self.store = self.queue.repository.store
        self.told: list[str] = []
        self.jobs = [self._job(n) for n in range(A_ROUND // 2)]
        is_bad.set()
        oq.Worker(self.queue, [picky], trust_code=True, name="maker").run(until_idle=True)
        is_bad.clear()
        for job in self.jobs:
            job.retry("failed")
        self.jobs += [self._job(n) for n in range(A_ROUND // 2, A_ROUND)]
        for job in self.jobs[A_ROUND // 2 + 1 :: 4]:
            job.pause(reason="wait", resume_after=600)
        for _ in range(6):
            self._claimer().find()

    def _job(self, n: int) -> oq.Job:
        options = {"priority": 200, "retries": n % 3, "tags": {"n": str(n)}, "part_rows": (2, 6)[n % 2]}
        match n % 4:
            case 0:
                return self.queue.map(picky, range(6), name=f"map{n}", **options)
            case 1:
                return self.queue.submit_frame(pd.DataFrame({"x": range(6)}), picky, name=f"frame{n}", **options)
            case 2:
                return self.queue.map(lambda x, n=n: x + n, range(6), name=f"value{n}", **options)
            case _:
                job = self.queue.map(picky, range(6), name=f"steered{n}", **options)
                job.cancel([0, 2], reason="no")
                return job

    def _claimer(self) -> Claimer:
        """Return one that takes a lease and is not heard of again."""
        return Claimer(
            self.queue.repository,
            Topics(types=frozenset({"picky"})),
            worker="dead",
            lease_s=2.0,
            can_run=lambda job: not job.code.digest,
            lease_rows=lambda job: (2, 2),
        )

    def keys(self) -> list[str]:
        return names_below(self.store)

    def damage(self, kind: str, victims: list[str]) -> None:
        """Spoil one object of a kind, which is one of `victims`."""
        places = {
            "job": "jobs/",
            "part": "/parts/",
            "marker": "open/",
            "bell": "bell",
            "worker": "workers/",
            "code": "code/",
            "payload": "/in-",
        }
        key = self.rng.choice([one for one in victims if places[kind] in one])
        if kind == "marker":
            told = renamed(key, self.rng)
            with suppress(oq.UsageError):  # no key at all
                self.store.overwrite(told, b"")
            self.told.append(f"{key} as {told}")
            return
        told, data = mutated(self.store.read(key).data, self.rng)
        if kind == "bell":
            told, data = self._bell(victims)
        self.store.overwrite(key, data)
        self.told.append(f"{key}: {told}")

    def _bell(self, victims: list[str]) -> tuple[str, bytes]:
        """Ring of a job that is there, with damage to what is said of it."""
        marker = self.rng.choice([key for key in victims if key.startswith("open/")])
        job = next(key for key in victims if key.startswith("jobs/") and key[-23:-5] in marker)
        if self.rng.random() < 0.5:
            marker = renamed(marker, self.rng)
        else:
            told, body = mutated(self.store.read(job).data, self.rng)
            return told, b"\n".join((b"op", marker.encode(), body))
        return "marker", b"\n".join((b"op", marker.encode(), self.store.read(job).data))


class Live:
    """A worker in a thread; `died` holds what ended it."""

    def __init__(self, queue) -> None:
        self.worker = oq.Worker(queue, [picky, healthy], trust_code=True, concurrency=2, name="live", grace_s=5.0)
        self.died: list[BaseException] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.died.append(error)

    def stop(self) -> None:
        self.worker.stop()
        self.thread.join(60)


def seen(queue) -> None:
    """Look at everything that a person looks at; nothing of it may raise."""
    jobs = queue.jobs(limit=1_000)
    assert jobs["status"].map(bool).all()
    queue.workers()
    board = Jobs(queue.repository, limit=1_000).look()
    assert board_text(board)
    assert board_html(board)
    assert json.dumps(board_state(board))
    for job_id in jobs.index[~jobs["status"].str.startswith("unreadable: job object")]:
        job = queue.job(job_id)
        assert sum(job.counts().values()) == len(job)
        assert len(job.errors()) <= len(job)


def rates(store) -> tuple[float, float]:
    """Return requests a second, and the part of a processor that is used, over a short time."""
    requests, cpu_s, began = store.requests.snapshot().total(), time.process_time(), time.monotonic()
    time.sleep(WINDOW_S)
    passed_s = time.monotonic() - began
    return (store.requests.snapshot().total() - requests) / passed_s, (time.process_time() - cpu_s) / passed_s


def calm(store) -> tuple[float, float]:
    """Wait until a worker that has nothing left to do is as quiet as it must be; one that spins never is."""
    for _ in range(WINDOWS):
        rate, load = rates(store)
        if rate <= MOST_REQUESTS_S and load <= MOST_LOAD:
            break
    return rate, load


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("seed", range(-(-N_DAMAGED // A_ROUND)))
def test_worker_lives_beside_damaged_objects_and_does_the_other_work(seed, capsys):
    damaged = Damaged(seed)
    queue, store = damaged.queue, damaged.store
    victims = damaged.keys()
    before = [queue.map(healthy, range(20), name=f"before{n}", part_rows=5) for n in range(3)]
    for n in range(A_ROUND):
        damaged.damage(KINDS[n % len(KINDS)], victims)
    store.poll_s = POLL_S
    live = Live(queue)
    try:
        after = [queue.map(healthy, range(20), name=f"after{n}", part_rows=5) for n in range(3)]
        for job in (*before, *after):
            assert job.result(timeout=60)["healthy"].sum() == sum(range(1, 21)), damaged.told
        seen(queue)
        rate, load = calm(store)
        assert live.thread.is_alive(), (live.died, damaged.told)
    finally:
        live.stop()
    assert not live.died, damaged.told
    with capsys.disabled():
        print(f"\n[damage {seed}] {A_ROUND} objects: {rate:.1f} requests/s, {load:.1%} of a processor")
    assert rate <= MOST_REQUESTS_S, damaged.told
    assert load <= MOST_LOAD, damaged.told


@pytest.mark.parametrize("seed", range(60))
def test_damaged_settings_open_no_queue_or_the_right_one(seed):
    queue = oq.connect(f"memory://settings-{os.getpid()}-{next(_numbers)}", shards=4)
    store, rng = queue.repository.store, random.Random(seed)
    told, data = mutated(store.read("queue.json").data, rng)
    store.overwrite("queue.json", data)
    try:
        shards = open_repository(store).settings.shards
    except oq.OqError:
        return
    assert shards == json.loads(data)["shards"], told
