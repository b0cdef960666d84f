"""What is kept of limits goes once nobody uses them, and never so that more starts or places are given than a limit has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.queue.garbage import Collector, Kind
from oqkit.queue.limit import FEATURE, Limit
from oqkit.queue.quota import QUOTA, Quota, key_of, places_taken, starts_taken
from oqkit.queue.retirement import drop_own, retire
from tests.queue.faulty import FaultyStore, World

DAY_S = 86_400.0
LIMITS = {
    "rate/score": Limit(name="rate/score", most=600, per_s=60.0),
    "type/score": Limit(name="type/score", most=2),
}


@pytest.fixture
def world():
    return World()


def take(world, name, worker="w", *, store=None):
    """Let a worker take of a limit; return what it got."""
    repository, limit, grant_id = world.repository(store), LIMITS[name], f"g-{worker}-{world.now():.3f}"[:40]

    def change(quota):
        quota, now = quota.under(limit, stated=1.0), repository.now()
        if limit.per_s:
            return starts_taken(quota, grant_id, worker=worker, wanted=600, now=now, ahead_s=1.0)
        return places_taken(quota, grant_id, worker=worker, wanted=2, now=now, lease_s=60.0)

    key = key_of(name)
    held = repository.loop.update(QUOTA, key, change, applied=lambda one: one.has(grant_id), absent=Quota(name=name))
    return sum(grant.n for grant in held.doc.grants if grant.id == grant_id)


def is_there(world, name):
    return key_of(name) in world.listed("limits/")


def gc(world, *, store=None, older_than_s=None, dry_run=False):
    found = Collector(world.repository(store), older_than_s=older_than_s, dry_run=dry_run).collect()
    return [one.name for one in found if one.kind is Kind.LIMIT]


@pytest.mark.parametrize("name", LIMITS)
def test_limit_that_nobody_uses_goes_after_its_time_and_comes_back_with_the_next_use(world, name):
    assert take(world, name)
    world.clock.sleep(DAY_S / 2)
    assert gc(world) == []
    world.clock.sleep(DAY_S)
    assert gc(world, older_than_s=30 * DAY_S) == []
    assert gc(world, dry_run=True) == [name]
    assert is_there(world, name)
    assert gc(world) == [name]
    assert not is_there(world, name)
    assert take(world, name, "next")


@pytest.mark.parametrize("name", LIMITS)
def test_worker_that_takes_of_it_first_keeps_it(world, name):
    assert take(world, name)
    world.clock.sleep(2 * DAY_S)
    store = FaultyStore(world.inner)
    got = []

    def take_first(verb, key):
        if key == key_of(name) and not got:
            got.append(0)
            got.append(take(world, name, "other"))

    store.before_write = take_first
    assert gc(world, store=store) == []
    assert is_there(world, name)
    assert got[1] > 0


@pytest.mark.parametrize("name", LIMITS)
def test_worker_that_comes_between_the_mark_and_the_removal_gets_nothing_of_what_goes(world, name):
    assert take(world, name)
    world.clock.sleep(2 * DAY_S)
    store, got = FaultyStore(world.inner), []

    def take_between(verb, key):
        if verb == "delete":
            got.append(take(world, name, "other"))

    store.before_write = take_between
    assert gc(world, store=store) == [name]
    assert set(got) == {0}
    assert take(world, name, "other") > 0, "of a new one"


@pytest.mark.parametrize("name", LIMITS)
def test_who_comes_to_its_removal_too_late_leaves_it(world, name):
    assert take(world, name)
    world.clock.sleep(2 * DAY_S)
    repository = world.repository()
    original = repository.loop.update

    def slow(*args, **more):
        found = original(*args, **more)
        world.clock.sleep(40.0)
        return found

    repository.loop.update = slow
    assert not retire(repository, key_of(name), since=world.now() - DAY_S)
    assert take(world, name) == 0
    world.clock.sleep(21.0)
    assert take(world, name) > 0, "the mark counts for nothing any more"


def test_mark_is_read_as_it_was_written():
    quota = Quota(name="rate/score", most=5, per_s=60.0, stated=1.0, rev=1, op="o", retired_until=9.0)
    assert QUOTA.load(QUOTA.dump(quota), key_of("rate/score")) == quota
    assert b"retired_until" not in QUOTA.dump(replace(quota, retired_until=0.0))


def test_limit_of_a_job_alone_goes_with_the_job(world):
    job = replace(world.job(1), requires=(FEATURE,))
    key = key_of(f"job/{job.origin}")
    world.inner.create(key, QUOTA.dump(Quota(name=f"job/{job.origin}", most=2, rev=1, op="o")))
    drop_own(world.repository(), replace(job, requires=()))
    assert key in world.listed("limits/"), "what had none costs nothing"
    drop_own(world.repository(), job)
    assert world.listed("limits/") == []
