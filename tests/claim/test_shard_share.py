"""Workers that lease shards, where there are many markers: each lists its own, and nothing is left lying for that."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest

from oqkit.claim.shard_share import ShardShare
from oqkit.errors import Denied
from oqkit.limits import ClaimLimits, Limits
from oqkit.queue.collection import Collection
from oqkit.queue.eligibility import Ability
from oqkit.queue.key import LEASES, parse_marker
from oqkit.queue.pause import PAUSE, PauseSign
from oqkit.queue.rows import Rows, covers_once
from oqkit.queue.shard_table import SHARD_TABLE, group_of, key_of
from tests.queue.faulty import World, WrappedStore, cost

LIMITS = ClaimLimits(page_markers=100)
N_SHARDS = 256
NAMES = itertools.count()


def ability(*types):
    return Ability(types=frozenset(types or ("score",)), trusts_code=False)


class Sharing:
    """A worker that divides shards with the others of its types; without ``shares`` it does not."""

    def __init__(self, world, *, shares=True, store=None, types=("score",), can_run=lambda job: True):
        self.name = f"w{next(NAMES)}"
        store = store or WrappedStore(world.inner)
        self.worker = world.worker(self.name, world.repository(store), types=types, can_run=can_run)
        self.share = ShardShare(self.worker.repository, worker=self.name, ability=ability(*types))
        self.shares = shares
        self.is_alive = True
        if shares:
            self.worker.claimer.discovery.share_shards(self.share)

    def step(self):
        if self.shares and self.share.wait_s() <= 0:
            with suppress(Denied):
                self.share.perform()
        return self.worker.step()

    def wait_s(self):
        return min(self.worker.claimer.wait_s(), self.share.wait_s() if self.shares else 9.0)

    @property
    def ran(self):
        return self.worker.ran


def pass_time(world, workers, seconds, *, until=lambda: False):
    start = world.clock.time_s
    while world.clock.time_s - start < seconds and not until():
        if not sum(worker.step() for worker in workers):
            world.clock.sleep(max(0.05, min(worker.wait_s() for worker in workers)))
    return world.clock.time_s - start


def crowded(n_markers=2_000, **limits):
    """A queue with so many open jobs that nobody here can run; a listing shows a hundred."""
    world = World(shards=N_SHARDS, limits=Limits(claim=ClaimLimits(page_markers=100, **limits)))
    repository = world.repository()
    for n in range(n_markers):
        repository.put_marker(repository.marker(world.job(n, type="other"), due=world.now()))
    return world


def table(world, *types):
    return SHARD_TABLE.load(world.inner.read(key_of(group_of(ability(*types)))).data, key_of(group_of(ability(*types))))


def shares_of(world):
    return {share.worker: share.shards for share in table(world).shares}


def submit(world, numbers, **more):
    jobs = [world.job(100_000 + n, **more) for n in numbers]
    for job in jobs:  # and no bell
        repository = world.repository()
        repository.create_job(job)
        repository.put_marker(repository.marker(job, due=job.created))
    return jobs


# --- what it saves ------------------------------------------------------------------------------


def lists_of_ten_minutes(n_markers, *, shares, n_workers=8):
    world = crowded(n_markers)
    workers = [Sharing(world, shares=shares) for _ in range(n_workers)]
    pass_time(world, workers, 100.0)
    return cost(world, lambda: pass_time(world, workers, 600.0))


def test_eight_workers_list_a_fifth_of_what_they_would():
    """The figures are those of docs/how-to/shards.md, with pages of a hundred for pages of a thousand."""
    without, with_shares = (lists_of_ten_minutes(2_000, shares=shares) for shares in (False, True))
    assert (without["list"], with_shares["list"], with_shares["put"]) == (2_416, 794, 160)


def test_as_long_as_one_listing_shows_all_nothing_is_leased_and_nothing_costs_more():
    without, with_shares = (lists_of_ten_minutes(90, shares=shares) for shares in (False, True))
    assert without == with_shares
    world = crowded(90)
    pass_time(world, [Sharing(world)], 100.0)
    assert not world.listed(LEASES)


def test_no_walk_needs_more_listings_than_one_through_everything():
    """Also where a share is in pieces: a gap is listed across, unless it fills a page."""
    world = crowded(1_000)
    for pieces in ((), (0,), (255,), range(0, 256, 2), range(3, 9), (1, 100, 101, 200), range(256)):
        worker = world.worker()
        share = Fixed(pieces)
        worker.claimer.discovery.share_shards(share)
        markers, n_lists = walked(world, worker.claimer.discovery._walk)
        wanted = [one for one in map(parse_marker, world.listed("open/")) if int(one.shard, 16) in share.shards]
        assert sorted(one.key for one in markers) == sorted(one.key for one in wanted)
        assert n_lists <= min(11, 1 + len(share.shards.ranges) + -(-len(wanted) // 100))


def walked(world, walk):
    """Go through a walk; return the markers that it saw, and how many listings it took."""
    seen = []

    def go_on():
        seen.extend(walk.go_on()[0])
        while walk.is_midway:
            seen.extend(walk.go_on()[0])

    n_lists = cost(world, go_on)["list"]
    return [parse_marker(entry.key) for entry in seen], n_lists


class Fixed:
    """A share that never changes."""

    def __init__(self, shards):
        self.shards = Rows.of(shards)

    def begin_walk(self):
        return self.shards

    def note(self, *, is_crowded):
        assert is_crowded


def test_shard_that_fills_pages_is_followed_by_its_topics_and_the_others_are_passed_by():
    world = World(shards=2, limits=Limits(claim=LIMITS))
    repository = world.repository()
    for n in range(1_000):
        repository.put_marker(repository.marker(world.job(n, type="other", priority=255), due=world.now()))
    by_shard = {0: [], 1: []}
    for n in range(20):
        (job,) = submit(world, [n])
        by_shard[int(repository.marker(job, due=job.created).shard, 16)].append(job.id)
    for shard in (0, 1):
        discovery = world.worker().claimer.discovery
        discovery.share_shards(Fixed([shard]))
        markers, n_lists = walked(world, discovery._walk)
        assert {one.job for one in markers} >= set(by_shard[shard])
        assert {int(one.shard, 16) for one in markers} == {shard}
        assert n_lists == 1 + shard + 4, "a page of each, and the folders of one task type"


# --- that nothing is left lying -----------------------------------------------------------------


@pytest.mark.parametrize("n_workers", (1, 2, 5))
def test_job_in_any_shard_is_found_as_soon_as_without_shares(n_workers):
    world = crowded()
    workers = [Sharing(world) for _ in range(n_workers)]
    pass_time(world, workers, 100.0)
    assert covers_once(shares_of(world).values(), N_SHARDS)
    submit(world, range(300))
    took_s = pass_time(world, workers, 600.0, until=lambda: sum(len(one.ran) for one in workers) == 300)
    assert took_s <= LIMITS.list_every_s + 10.0
    assert all(n == 1 for worker in workers for n in worker.ran.values())


def test_shards_of_a_worker_that_died_are_listed_once_its_lease_is_over():
    world = crowded()
    dead, *alive = [Sharing(world) for _ in range(3)]
    pass_time(world, [dead, *alive], 100.0)
    assert shares_of(world)[dead.name]
    submit(world, range(300))
    took_s = pass_time(world, alive, 600.0, until=lambda: sum(len(one.ran) for one in alive) == 300)
    assert took_s <= LIMITS.shard_lease_s * (1 + LIMITS.shard_renew_share) + LIMITS.list_every_s + 10.0
    assert dead.name not in shares_of(world)


def test_shards_of_a_worker_that_leaves_are_the_others_at_once():
    world = crowded()
    leaving, *left = [Sharing(world) for _ in range(3)]
    pass_time(world, [leaving, *left], 100.0)
    leaving.share.leave()
    assert set(shares_of(world)) == {one.name for one in left}
    assert covers_once(shares_of(world).values(), N_SHARDS)
    leaving.share.leave()  # again: there is nothing to give back


def test_release_by_one_whose_lease_ran_out_leaves_the_table_to_its_successor():
    world = crowded()
    late, heir = Sharing(world), Sharing(world)
    pass_time(world, [late], 10.0)
    world.clock.sleep(LIMITS.shard_lease_s + 1.0)
    pass_time(world, [heir], 10.0)
    before = world.inner.read(key_of(group_of(ability())))
    late.share.leave()
    assert world.inner.read(key_of(group_of(ability()))) == before


def test_original_1_6_lease_is_renewed_although_its_worker_is_busy_with_one_long_task():
    """The fault of `buquet` 0.1.0: a task longer than 30 s lost all shards. A duty is done beside the work."""
    world = crowded()
    busy, other = Sharing(world), Sharing(world)
    pass_time(world, [busy, other], 100.0)
    for _ in range(20):  # it finds nothing, as its slot is taken
        if busy.share.wait_s() <= 0:
            busy.share.perform()
        pass_time(world, [other], 30.0)
    assert sorted(map(len, shares_of(world).values())) == [N_SHARDS // 2] * 2


def test_original_1_6_first_worker_leaves_the_second_one_half():
    """The fault of `buquet` 0.1.0: with 16 shards the first worker took all, and the second idled."""
    world = World(shards=16, limits=Limits(claim=LIMITS))
    repository = world.repository()
    for n in range(500):
        repository.put_marker(repository.marker(world.job(n, type="other"), due=world.now()))
    first, second = Sharing(world), Sharing(world)
    pass_time(world, [first], 60.0)
    assert list(map(len, shares_of(world).values())) == [16]
    pass_time(world, [first, second], 60.0)
    assert list(map(len, shares_of(world).values())) == [8, 8]


def test_who_gets_no_shard_lists_all():
    world = World(shards=2, limits=Limits(claim=LIMITS))
    repository = world.repository()
    for n in range(500):
        repository.put_marker(repository.marker(world.job(n, type="other"), due=world.now()))
    workers = [Sharing(world) for _ in range(5)]
    pass_time(world, workers, 100.0)
    assert sorted(map(len, shares_of(world).values())) == [0, 0, 0, 1, 1]
    idle = next(one for one in workers if not shares_of(world)[one.name])
    submit(world, range(20))
    assert pass_time(world, [idle], 300.0, until=lambda: len(idle.ran) == 20) <= LIMITS.list_every_s + 10.0


def test_each_task_type_is_looked_for_in_all_shards():
    """Workers of different task types divide the shards each among their like: no job has only a holder that cannot run it."""
    world = crowded()
    workers = [Sharing(world, types=types) for types in (("score",), ("score",), ("rare",))]
    pass_time(world, workers, 100.0)
    assert len(world.listed(LEASES)) == 2
    submit(world, range(50), type="rare")
    took_s = pass_time(world, workers, 600.0, until=lambda: len(workers[2].ran) == 50)
    assert took_s <= LIMITS.list_every_s + 10.0


def test_job_that_the_holder_of_its_shard_cannot_run_is_found_by_another_one():
    """As when one has a newer version of a function: who can is not known before."""
    world = crowded()
    able, unable = Sharing(world), Sharing(world, can_run=lambda job: False)
    pass_time(world, [able, unable], 100.0)
    submit(world, range(50))
    took_s = pass_time(world, [able, unable], 2_000.0, until=lambda: len(able.ran) == 50)
    assert LIMITS.list_every_s + 10.0 < took_s <= LIMITS.look_everywhere_s + LIMITS.list_every_s + 10.0


def test_job_that_the_bell_tells_of_is_run_whoever_holds_its_shard():
    world = crowded()
    workers = [Sharing(world), Sharing(world)]
    pass_time(world, workers, 100.0)
    for n in range(20):
        world.submit(world.job(200_000 + n))
        done = n + 1
        assert pass_time(world, workers[:1], 60.0, until=lambda: len(workers[0].ran) == done) <= 2.0  # noqa: B023


def test_pause_is_learned_of_and_its_end_too():
    world = crowded()
    workers = [Sharing(world), Sharing(world)]
    pass_time(world, workers, 100.0)
    signs = Collection(world.repository(), PAUSE)
    signs.create(PauseSign(type=""))
    pass_time(world, workers, 40.0)
    submit(world, range(20))
    pass_time(world, workers, 120.0)
    assert not any(worker.ran for worker in workers)
    (sign,) = signs.list("open/-paused/")
    signs.delete(sign)
    pass_time(world, workers, 120.0, until=lambda: sum(len(one.ran) for one in workers) == 20)
    assert sum(len(one.ran) for one in workers) == 20


@pytest.mark.parametrize("shares", (False, True))
def test_worker_knows_when_it_has_seen_all_markers(shares):
    """So that ``--until-idle`` does not end it in the middle of a walk, or as soon as its own shards are worked off."""
    world = crowded()
    worker, other = Sharing(world, shares=shares), Sharing(world)
    discovery = worker.worker.claimer.discovery
    worker.step()
    assert not discovery.has_looked_everywhere(), "in the middle of its first walk"
    pass_time(world, [worker, other], 200.0)
    assert shares != discovery.has_looked_everywhere(), "its own shards only"
    took_s = pass_time(world, [worker], 60.0, until=discovery.has_looked_everywhere)
    assert took_s <= 10.0
    assert discovery.has_looked_everywhere()


# --- what may go wrong --------------------------------------------------------------------------


class NoLeases(WrappedStore):
    """Lets nobody write leases."""

    def _do(self, verb, key, call):
        if key.startswith(LEASES) and verb in {"create", "replace"}:
            raise Denied("403")
        return super()._do(verb, key, call)


def test_worker_that_may_not_write_leases_lists_all_shards():
    world = crowded()
    worker = Sharing(world, store=NoLeases(world.inner))
    pass_time(world, [worker], 100.0)
    submit(world, range(100))
    assert pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 100) <= LIMITS.list_every_s + 10.0


def test_worker_that_cannot_renew_lists_all_shards_once_its_lease_is_over():
    world = crowded()
    cut_off, other = Sharing(world), Sharing(world)
    pass_time(world, [cut_off, other], 100.0)
    other.share.leave()
    cut_off.share.perform = lambda: None
    world.clock.sleep(LIMITS.shard_lease_s)
    submit(world, range(100))
    assert pass_time(world, [cut_off], 600.0, until=lambda: len(cut_off.ran) == 100) <= LIMITS.list_every_s + 10.0


def test_table_that_cannot_be_understood_is_said_once_and_all_shards_are_listed(caplog):
    world = crowded()
    world.inner.overwrite(key_of(group_of(ability())), b"{")
    worker = Sharing(world)
    pass_time(world, [worker], 200.0)
    assert caplog.text.count("no shards are leased") == 1
    submit(world, range(100))
    assert pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 100) <= LIMITS.list_every_s + 10.0


class Shuffled(WrappedStore):
    """Lists a page in no order, as S3 Express does."""

    def list(self, prefix="", **more):
        page = super().list(prefix, **more)
        return replace(page, entries=page.entries[::-1])


def test_where_listings_are_in_no_order_all_shards_are_listed():
    world = crowded()
    worker = Sharing(world, store=Shuffled(world.inner))
    other = Sharing(world)
    pass_time(world, [worker, other], 100.0)
    submit(world, range(100))
    took_s = pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 100)
    assert took_s <= LIMITS.list_every_s + 10.0
