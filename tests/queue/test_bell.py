from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.limits import Limits
from oqkit.queue import control
from oqkit.queue.bell import News, dump_news, load_news
from oqkit.queue.document import load_job
from oqkit.queue.key import BELL
from tests.queue.faulty import FaultyStore, cost

MAX_BYTES, FRESH_S = Limits().queue.bell_bytes, Limits().queue.bell_fresh_s


@pytest.fixture
def news(world):
    job = replace(world.job(3, n_tasks=5), rev=1, op="op")
    return News(marker=world.repository().marker(job, due=job.created), job=job)


def write_news(news, *, op):
    return dump_news(news, op=op, max_bytes=MAX_BYTES)


def read_news(data, *, now):
    return load_news(data, now=now, fresh_s=FRESH_S, load=lambda document, key: load_job(document, key=key))


def idle_worker(world, **more):
    """A worker that has looked at everything, and asks nothing but the bell."""
    world.submit(world.job(99, type="nobodys"))
    worker = world.worker(**more)
    for _ in range(3):
        world.clock.sleep(Limits().claim.list_every_s / 2)
        assert worker.find() is None
    return worker


def test_bell_says_again_what_was_said(world, news):
    assert read_news(write_news(news, op="a"), now=world.now()) == news


def test_bell_always_differs(news):
    assert write_news(news, op="a") != write_news(news, op="b")
    assert write_news(None, op="a") != write_news(None, op="b")


def test_bell_leaves_large_jobs_out(world, news):
    large = replace(news, job=replace(news.job, input={"kind": "values", "values": ["x" * MAX_BYTES]}))
    assert write_news(large, op="a") == b"a"


@pytest.mark.parametrize(
    "data",
    (b"", b"a", b"a\n", b"a\nb\nc", b"\xff\n\xff\n\xff", b"a\nopen/0000/type-score/ready/127-00000000000000-0.1\n{}"),
)
def test_bell_that_is_not_understood_says_nothing(world, data):
    assert read_news(data, now=world.now()) is None


def test_bell_that_speaks_of_two_jobs_says_nothing(world, news):
    other = replace(news, marker=replace(news.marker, job="0" * 18))
    newer = replace(news, marker=replace(news.marker, gen=2))
    assert read_news(write_news(other, op="a"), now=world.now()) is None
    assert read_news(write_news(newer, op="a"), now=world.now()) is None


def test_old_news_is_none(world, news):
    data = write_news(news, op="a")
    assert read_news(data, now=news.job.created + FRESH_S) == news
    assert read_news(data, now=news.job.created + FRESH_S + 0.1) is None


# --- what workers make of it --------------------------------------------------------------------


def test_worker_that_hears_of_a_job_claims_it_and_asks_nothing_else(world):
    worker = idle_worker(world)
    world.submit(world.job(1))
    world.clock.sleep(1.0)
    assert cost(world, worker.step) == {"get": 1, "put": 2}, "the bell; claim and commit"
    assert worker.ran.total() == 1


def test_worker_that_hears_of_a_job_for_others_does_not_list(world):
    worker = idle_worker(world)
    world.submit(world.job(1, type="other"))
    world.clock.sleep(1.0)
    assert cost(world, worker.find) == {"get": 1}


def test_jobs_that_the_bell_does_not_name_are_found_by_the_looks_that_follow(world):
    worker = idle_worker(world)
    for n in (1, 2, 3):
        world.submit(world.job(n))
    world.clock.sleep(1.0)
    for _ in range(5):
        worker.step()
        world.clock.sleep(0.4)
    assert worker.ran.total() == 3


@pytest.mark.parametrize("n_tasks", (1, 20))
def test_cancelled_job_that_a_worker_only_heard_of_is_not_run(world, n_tasks):
    worker = idle_worker(world)
    job = world.job(1, n_tasks=n_tasks)
    world.submit(job)
    told = world.inner.read(BELL).data
    control.cancel(world.repository(), job.id)
    world.inner.overwrite(BELL, told)  # it is as if the worker had read the bell just before
    world.clock.sleep(1.0)
    worker.drain()
    assert worker.ran.total() == 0
    assert world.statuses(job) == {"cancelled": n_tasks}


def test_job_whose_marker_comes_after_its_end_is_cleared_up(world):
    worker, store, late = idle_worker(world), FaultyStore(world.inner), []
    create = store.create
    store.create = lambda key, data: late.append(key) or "etag" if key.startswith("open/") else create(key, data)
    world.submit(world.job(1), repository=world.repository(store))
    world.clock.sleep(1.0)
    assert worker.step()
    world.clock.sleep(2.0)
    worker.find()
    for key in late:
        world.inner.create(key, b"")
    worker.drain()
    assert late
    assert not [key for key in world.markers() if key in late]
    assert worker.ran.total() == 1
