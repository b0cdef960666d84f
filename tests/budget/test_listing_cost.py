"""What it costs to find jobs among many, by counting requests: it follows how many are asked for, not how many there are."""

from __future__ import annotations

import itertools
import time

import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import open_repository
from oqkit.queue.submission import Submission
from oqkit.store.memory import MemoryStore
from oqkit.store.s3 import S3Store
from tests.local import work_off

pytestmark = pytest.mark.xdist_group("crowd")  # each crowd is made once

LIMIT = 20

_numbers = itertools.count()


@oq.task
def rare(x: int) -> int:
    return x


@oq.task
def failing(x: int) -> int:
    raise oq.PermanentError(str(x))


class Crowd:
    """A queue with `n_open` open tasks of type ``crowd``, of which each has a key; and what a person asks of it."""

    def __init__(self, n_open):
        self.name = f"crowd-{next(_numbers)}"
        self.queue = self.client()
        repository = self.queue.repository
        for n in range(n_open):
            tags = {"batch": "all"} if n % 10 == 0 else {}
            tags |= {"tenth": "yes"} if n < 10 else {}
            job = Job(
                id=keys.keyed_job_id("own", f"{self.name} {n}", 1), type="crowd", name="", n_tasks=1, part_rows=1, mode="single",
                created=repository.now(), origin=f"{n}", input={"kind": "inline", "text": "1"}, tags=tags,
            )  # fmt: skip
            self.last = Submission(repository, job).commit(job).job.id

    def client(self):
        store = MemoryStore.named(self.name)
        store.ring_s = S3Store.ring_s
        return Queue(open_repository(store), Settings(url=store.url))

    def ask(self, *arguments, **options):
        """Return the frame and the requests of a client that knows nothing."""
        queue = self.client()
        before = queue.repository.store.requests.snapshot()
        frame = queue.jobs(*arguments, limit=LIMIT, **options)
        return frame, queue.repository.store.requests.snapshot() - before


@pytest.fixture(scope="module", params=(3_000, pytest.param(30_000, marks=pytest.mark.slow)))
def crowd(request):
    return Crowd(request.param)


def newest_first(frame):
    return list(frame["created"]) == sorted(frame["created"], reverse=True)


@pytest.mark.parametrize(
    ("arguments", "options", "n_found"),
    (
        ((), {}, LIMIT),
        ((), {"type": "crowd"}, LIMIT),
        (("pending",), {}, LIMIT),
        (("pending",), {"type": "crowd"}, LIMIT),
        ((), {"tags": {"batch": "all"}}, LIMIT),
        ((), {"tags": {"tenth": "yes"}}, 10),
        ((), {"tags": {"tenth": "yes", "batch": "all"}}, 1),
        ((), {"tags": {"tenth": "no"}}, 0),
        ((), {"type": "nobody"}, 0),
        (("failed",), {}, 0),
        (("failed",), {"type": "crowd"}, 0),
    ),
)
def test_jobs_cost_what_is_asked_for(crowd, arguments, options, n_found):
    frame, requests = crowd.ask(*arguments, **options)
    assert len(frame) == n_found
    assert newest_first(frame)
    assert requests["list"] <= 3
    assert requests["get"] <= 3 * LIMIT
    assert set(requests) <= {"get", "list"}


def test_newest_of_a_crowd_with_keys_are_the_newest(crowd):
    time.sleep(crowd.queue.repository.store.ring_s)  # the bell rings once a second
    last = [crowd.queue.submit("crowd", n, key=f"last {n}").job.id for n in range(LIMIT)][::-1]
    assert crowd.ask()[0].index.tolist() == last
    assert crowd.ask(type="crowd")[0].index.tolist() == last
    assert crowd.ask("pending")[0].index.tolist() == last
    assert crowd.ask("pending", type="crowd")[0].index.tolist() == last


def test_jobs_of_other_types_in_front_hide_none(crowd):
    found = crowd.queue.map(rare, [1], name="rare")
    for n in range(100):
        crowd.queue.submit("other", n)
    frame, requests = crowd.ask(type="rare")
    assert frame.index.tolist() == [found.id]
    assert requests["list"] <= 3
    assert requests["get"] <= 3 * LIMIT
    assert crowd.ask("pending", type="rare")[0].index.tolist() == [found.id]


def test_jobs_that_ended_are_found_behind_open_ones(crowd):
    ended = [crowd.queue.submit(failing, n, key=f"ended {n}").job.id for n in range(3)][::-1]
    assert crowd.queue.cancel(type="failing") == 3
    for n in range(50):
        crowd.queue.submit("crowd", n, key=f"after {n}")
    frame, requests = crowd.ask("cancelled")
    assert frame.index.tolist() == ended
    assert requests["list"] <= 3
    assert requests["get"] <= 3 * LIMIT
    assert crowd.ask(type="failing")[0].index.tolist() == ended


def test_twelve_newer_jobs_of_another_type_hide_none():
    queue = oq.connect(f"memory://twelve-{next(_numbers)}")
    found = queue.submit(rare, 1).job.id
    work_off(queue, rare)
    for n in range(12):
        queue.submit("other", n)
    assert queue.jobs(type="rare", limit=5).index.tolist() == [found]
    assert queue.jobs(type="rare", limit=5).attrs["is_complete"]


def test_a_listing_that_stopped_early_says_so():
    queue = oq.connect(f"memory://early-{next(_numbers)}")
    found = queue.submit(rare, 1).job.id
    work_off(queue, rare)
    jobs = [queue.submit(failing, n).job.id for n in range(60)]
    work_off(queue, failing)
    frame = queue.jobs(type="rare", limit=5)
    assert frame.empty
    assert not frame.attrs["is_complete"]
    assert queue.jobs(type="rare", limit=100).index.tolist() == [found]
    assert len(queue.jobs("failed", limit=5)) == 5
    assert jobs


def test_cancel_of_ten_jobs_with_a_tag_reads_no_others(crowd):
    queue = crowd.client()
    before = queue.repository.store.requests.snapshot()
    assert queue.cancel(tags={"tenth": "yes"}, dry_run=True) == 10
    assert queue.cancel(tags={"tenth": "yes"}) == 10
    assert queue.cancel(tags={"tenth": "yes"}) == 0
    requests = queue.repository.store.requests.snapshot() - before
    assert requests["list"] <= 3 * (1 + 10)
    assert requests["get"] <= 10 * 12
