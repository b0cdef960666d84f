"""A pause of the queue or of a type: seen with the markers, over by itself, never lifted by mistake, never in the way."""

from __future__ import annotations

import json
import random

import pytest

from oqkit.errors import Unavailable
from oqkit.limits import ClaimLimits, Limits
from oqkit.queue import key as keys
from oqkit.queue import pause
from oqkit.queue.collection import Unreadable
from oqkit.store.base import Page
from oqkit.testing.race import race
from tests.fuzz.mutation import mutated
from tests.queue.faulty import FaultyStore, World, WrappedStore, cost

LIMITS = ClaimLimits()
NOTICED_S = 2.0


def pass_time(world, worker, seconds, *, until=lambda: False):
    """Let a worker do what it finds until the time is over."""
    end = world.clock.time_s + seconds
    while world.clock.time_s < end and not until():
        if not worker.step():
            world.clock.sleep(max(0.01, min(worker.claimer.wait_s(), end - world.clock.time_s)))


def paused(world, **more):
    return pause.pause(world.repository(), **more)


def resumed(world, **more):
    return pause.resume(world.repository(), **more)


# --- nothing is started --------------------------------------------------------------------------


def test_nothing_of_a_paused_queue_is_started_and_what_was_claimed_is_finished(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    paused(world, reason="prices are wrong", by="ana@lab")
    world.clock.sleep(NOTICED_S)
    pass_time(world, worker, 600.0)
    worker.finish(lease)
    assert world.statuses(job) == {"completed": 10, "pending": 20}
    assert resumed(world, by="ben@lab") is None
    pass_time(world, worker, 3 * NOTICED_S, until=lambda: world.statuses(job) == {"completed": 30})
    assert world.statuses(job) == {"completed": 30}
    assert world.markers() == [keys.pause_key("")]


def test_new_worker_starts_nothing_of_a_paused_queue(world):
    job = world.job()
    world.submit(job)
    paused(world)
    assert world.worker().drain(until_s=600.0) == 0


def test_what_is_submitted_while_the_queue_is_paused_waits(world):
    """Also for an idle worker that hears of it from the bell alone, which neither lists nor reads the job."""
    worker = world.worker()
    pass_time(world, worker, 100.0)
    paused(world)
    pass_time(world, worker, 100.0)
    job = world.job()
    world.submit(job)
    pass_time(world, worker, 100.0)
    assert world.statuses(job) == {"pending": 1}
    resumed(world)
    pass_time(world, worker, 15.0)
    assert world.statuses(job) == {"completed": 1}


def test_pause_of_a_type_leaves_the_others_alone(world):
    jobs = [world.job(n, type=name, priority=255 - n) for n, name in enumerate(("score", "embed", "score"))]
    for job in jobs:
        world.submit(job)
    paused(world, job_type="score")
    worker = world.worker(types=("score", "embed"))
    pass_time(world, worker, 100.0)
    assert [world.statuses(job) for job in jobs] == [{"pending": 1}, {"completed": 1}, {"pending": 1}]
    paused(world)
    resumed(world, job_type="score")
    pass_time(world, worker, 100.0)
    assert world.statuses(jobs[0]) == {"pending": 1}, "the queue is paused as well"
    resumed(world)
    pass_time(world, worker, 100.0)
    assert world.statuses(jobs[0]) == world.statuses(jobs[2]) == {"completed": 1}


def test_worker_is_not_done_while_what_it_has_to_do_is_paused(world):
    worker = world.worker()
    paused(world)
    worker.find()
    assert worker.claimer.is_done(), "there is nothing to do, paused or not"
    world.submit(world.job())
    pass_time(world, worker, 5.0)
    assert not worker.claimer.is_done()
    resumed(world)
    pass_time(world, worker, 5.0)
    assert worker.claimer.is_done()


def test_paused_worker_sleeps_until_there_is_reason_to_look(world):
    world.submit(world.job())
    paused(world)
    worker = world.worker()
    worker.find()
    pass_time(world, worker, 30.0)
    assert worker.claimer.wait_s() > 0.5


# --- how it is noticed ---------------------------------------------------------------------------


def test_pause_is_noticed_within_two_seconds_by_a_worker_at_work(world):
    job = world.job(n_tasks=10_000)
    world.submit(job)
    worker = world.worker()
    for _ in range(50):
        worker.step()
        world.clock.sleep(0.1)
    paused(world)
    at, n_ran = world.now(), 0
    while world.now() < at + 100.0:
        n_ran += worker.step()
        world.clock.sleep(0.1)
    assert n_ran <= NOTICED_S / 0.1


@pytest.mark.parametrize("rings", (True, False))
def test_pause_is_noticed_however_many_markers_there_are(rings):
    """A worker on its way through the pages and folders of a crowd looks for signs now and then, and when the bell rings."""
    world = World(limits=Limits(claim=ClaimLimits(page_markers=100)))
    repository = world.repository()
    for n in range(500):
        job = world.job(n, n_tasks=1)
        repository.create_job(job)
        repository.put_marker(repository.marker(job, due=world.now()))
    worker = world.worker()
    for _ in range(20):
        worker.step()
        world.clock.sleep(0.1)
    if rings:
        paused(world)
    else:
        silent = world.repository()
        silent.ring = lambda news=None: True
        pause.pause(silent)
    at, last = world.now(), world.now()
    while world.now() < at + 200.0:
        if worker.step():
            last = world.now()
        world.clock.sleep(0.5)
    assert last - at <= (NOTICED_S if rings else LIMITS.list_every_s * LIMITS.busy_list_factor + 1.0)


class Backwards(WrappedStore):
    """Lists in an order of its own, as S3 Express does."""

    def list(self, prefix, *, after=None, limit=1000, folders=False):
        if folders:
            return super().list(prefix, after=after, limit=limit, folders=folders)
        found = sorted(super().list(prefix).entries, key=lambda entry: entry.key, reverse=True)
        left = [entry for entry in found if after is None or entry.key < after]
        return Page(entries=tuple(left[:limit]), next=left[limit - 1].key if len(left) > limit else None)


def test_pause_is_noticed_on_a_store_that_lists_in_no_order():
    world = World(limits=Limits(claim=ClaimLimits(page_markers=10)))
    for n in range(50):
        world.submit(world.job(n))
    paused(world)
    worker = world.worker("w", world.repository(Backwards(world.inner)))
    assert worker.drain(until_s=60.0) == 0


def test_queue_that_was_never_paused_costs_nothing_more(world):
    world.submit(world.job())
    worker = world.worker()
    assert cost(world, worker.step) == {"get": 1, "put": 2, "list": 1}


def test_sign_is_read_once_by_each_worker_and_costs_an_idle_one_nothing_more(world):
    worker, other = world.worker(), World().worker()
    paused(world)
    pass_time(world, worker, 100.0)
    pass_time(other.world, other, 100.0)
    with_sign = cost(world, lambda: pass_time(world, worker, 1000.0))
    without = cost(other.world, lambda: pass_time(other.world, other, 1000.0))
    assert (with_sign["list"], with_sign["put"]) == (without["list"], without["put"])
    assert abs(with_sign["get"] - without["get"]) <= 2


# --- it is over by itself ------------------------------------------------------------------------


def test_pause_is_over_by_itself_in_time(world):
    job = world.job()
    world.submit(job)
    paused(world, until=world.now() + 100.0)
    worker = world.worker()
    pass_time(world, worker, 99.9)
    assert world.statuses(job) == {"pending": 1}
    pass_time(world, worker, 1.0)
    assert world.statuses(job) == {"completed": 1}


def test_newer_pause_is_not_lifted_by_the_end_of_an_older_one(world):
    """The worker knows the older one, and hears nothing of the newer one."""
    job = world.job()
    world.submit(job)
    paused(world, until=world.now() + 20.0)
    worker = world.worker()
    pass_time(world, worker, 19.0)
    silent = world.repository()
    silent.ring = lambda news=None: True
    pause.pause(silent, until=world.now() + 100.0)
    pass_time(world, worker, 99.0)
    assert world.statuses(job) == {"pending": 1}
    pass_time(world, worker, 5.0)
    assert world.statuses(job) == {"completed": 1}


def test_end_of_an_older_pause_during_an_outage_starts_nothing(world):
    """Until the worker has looked again it does not know whether there is a newer one."""
    job = world.job()
    world.submit(job)
    paused(world, until=world.now() + 20.0)
    store = FaultyStore(world.inner)
    worker = world.worker("w", world.repository(store))
    pass_time(world, worker, 19.0)

    def fail(verb, key):
        if verb == "list":
            raise Unavailable(key)

    store.before_read = fail
    world.clock.sleep(5.0)
    with pytest.raises(Unavailable):
        worker.find()
    assert world.statuses(job) == {"pending": 1}
    store.before_read = None
    pass_time(world, worker, 1.0)
    assert world.statuses(job) == {"completed": 1}


# --- pausing and resuming ------------------------------------------------------------------------


def test_sign_says_who_paused_why_and_until_when_and_who_ended_it(world):
    paused(world, reason="é", by="ana@lab", until=world.now() + 60.0)
    (sign,) = pause.pauses(world.repository())
    assert (sign.reason, sign.by) == ("é", "ana@lab")
    assert (sign.at, sign.until) == pytest.approx((world.now(), world.now() + 60.0))
    resumed(world, by="ben@lab")
    assert pause.pauses(world.repository()) == []
    assert json.loads(world.inner.read(keys.pause_key("")).data)["ended_by"] == "ben@lab"


def test_resume_of_what_is_not_paused_writes_nothing(world):
    assert cost(world, lambda: resumed(world))["put"] == 0
    paused(world, until=world.now() + 1.0)
    world.clock.sleep(2.0)
    before = world.inner.read(keys.pause_key("")).data
    resumed(world)
    assert world.inner.read(keys.pause_key("")).data == before


def test_resume_spares_a_pause_that_was_given_after_it_looked(world):
    paused(world, reason="old")
    store = FaultyStore(world.inner)

    def pause_anew(verb, key):
        store.before_write = None
        paused(world, reason="new")

    store.before_write = pause_anew
    left = pause.resume(world.repository(store))
    assert left.reason == "new"
    assert [sign.reason for sign in pause.pauses(world.repository())] == ["new"]


def test_of_16_racing_pauses_all_are_given_once_and_one_stands(world):
    made = race([lambda n=n: paused(world, by=str(n)) for n in range(16)])
    sign = json.loads(world.inner.read(keys.pause_key("")).data)
    assert sign["rev"] == 16
    assert len(set(sign["orders"])) == 16
    assert sign["by"] in {one.by for one in made}


@pytest.mark.parametrize("order", ("pause", "resume"))
def test_order_whose_reply_was_lost_is_not_given_again_over_a_newer_one(world, order):
    paused(world, reason="first")
    store = FaultyStore(world.inner, ("drop",))

    def pause_anew(verb, key):
        if not store.script:  # the write was applied, and its reply is lost
            store.before_read = None
            paused(world, reason="newer")

    store.before_read = pause_anew
    if order == "pause":
        pause.pause(world.repository(store), reason="second")
    else:
        assert pause.resume(world.repository(store)).reason == "newer"
    (sign,) = pause.pauses(world.repository())
    assert (sign.reason, sign.rev) == ("newer", 3)


@pytest.mark.parametrize("fault", ("refuse", "drop", "zombie", "late", "conflict", "unsure"))
@pytest.mark.parametrize("order", ("pause", "resume"))
def test_order_is_given_once_whatever_becomes_of_the_reply(world, fault, order):
    paused(world, reason="first")
    store = FaultyStore(world.inner, (fault,))
    if order == "pause":
        pause.pause(world.repository(store), reason="second")
    else:
        assert pause.resume(world.repository(store)) is None
    paused(world, reason="newer")
    for kind in ("late", "zombie"):
        store.land(kind)
    (sign,) = pause.pauses(world.repository())
    assert (sign.reason, sign.rev) == ("newer", 3)


# --- signs that cannot be understood -------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    (
        b"",
        b"{",
        b"[]",
        b'{"format": 1, "requires": ["flying"]}',
        b'{"format": 2}',
        b'{"format": 1, "requires": [], "type": "other"}',
        b'{"format": 1, "requires": [], "until": 1e300}',
    ),
    ids=range(7),
)
def test_sign_that_cannot_be_understood_stops_nobody_and_is_said_once(world, data, caplog):
    job = world.job(n_tasks=30)
    world.submit(job)
    world.inner.create(keys.pause_key(""), data)
    worker = world.worker()
    worker.drain()
    assert world.statuses(job) == {"completed": 30}
    assert len([one for one in caplog.records if "nothing is paused by it" in one.getMessage()]) == 1
    (found,) = pause.pauses(world.repository())
    assert isinstance(found, Unreadable)


def test_damaged_sign_stops_no_worker_and_nobody_who_asks(world):
    paused(world, reason="é", until=world.now() + 1e6)
    resumed(world)
    sound, worker = world.inner.read(keys.pause_key("")).data, world.worker()
    for seed in range(300):
        _, data = mutated(sound, random.Random(seed))
        world.inner.overwrite(keys.pause_key(""), data)
        world.clock.sleep(LIMITS.list_every_s * LIMITS.idle_list_factor)
        worker.find()
        pause.pauses(world.repository())


@pytest.mark.parametrize("name", ("open/-paused/junk", "open/-paused/type-.json", "open/-paused/a/b.json"))
def test_name_that_is_no_sign_stops_nobody(world, name):
    job = world.job()
    world.submit(job)
    world.inner.create(name, b"{}")
    world.worker().drain()
    assert world.statuses(job) == {"completed": 1}


def test_signs_of_types_that_do_not_concern_a_worker_are_not_read(world):
    for n in range(300):
        paused(world, job_type=f"other{n}")
    job = world.job()
    world.submit(job)
    worker = world.worker()
    assert cost(world, worker.step)["get"] <= 2
    assert world.statuses(job) == {"completed": 1}


def test_more_signs_than_are_read_at_once_hold_until_they_are_read(world):
    types = [f"type{n}" for n in range(LIMITS.read_signs + 9)]
    jobs = [world.job(n, type=name) for n, name in enumerate(types)]
    for job in jobs:
        world.submit(job)
        paused(world, job_type=job.type)
    worker = world.worker(types=tuple(types))
    assert cost(world, worker.find)["get"] <= LIMITS.read_signs + 1
    pass_time(world, worker, 60.0)
    assert all(world.statuses(job) == {"pending": 1} for job in jobs)
    for name in types:
        resumed(world, job_type=name)
    pass_time(world, worker, 60.0)
    assert all(world.statuses(job) == {"completed": 1} for job in jobs)


def test_sign_that_cannot_be_read_now_holds_until_it_can(world):
    job = world.job()
    world.submit(job)
    paused(world, until=world.now() + 0.5)
    world.clock.sleep(1.0)  # it is over, which only its object says
    store = FaultyStore(world.inner)

    def fail(verb, key):
        if verb == "read" and key.startswith(keys.PAUSES):
            raise Unavailable(key)

    store.before_read = fail
    worker = world.worker("w", world.repository(store))
    pass_time(world, worker, 30.0)
    assert world.statuses(job) == {"pending": 1}
    store.before_read = None
    pass_time(world, worker, 3.0)
    assert world.statuses(job) == {"completed": 1}
