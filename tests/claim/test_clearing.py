"""When a worker deletes the markers of what is done."""

from __future__ import annotations

from oqkit.limits import ClaimLimits
from tests.queue.faulty import FaultyStore, cost

LIMITS = ClaimLimits()


def open_markers(world):
    return len(world.listed("open/"))


def test_worker_that_is_alone_deletes_the_markers_of_a_while_together(world):
    store, together = FaultyStore(world.inner), []
    store.delete_many = lambda names: together.append(len(names)) or [world.inner.delete(name) for name in names]
    for n in range(5):
        world.submit(world.job(n))
    worker = world.worker(repository=world.repository(store))
    while worker.step():
        pass
    assert open_markers(world) == 5
    assert cost(world, worker.find).total() <= 2, "it knows those markers, and asks for nothing behind them"
    world.clock.sleep(LIMITS.together_s)
    worker.find()
    assert open_markers(world) == 0
    assert together == [5]


def test_worker_that_met_another_deletes_each_marker_at_once(world):
    world.submit(world.job())
    worker, other = world.worker(), world.worker("other")
    lease = worker.find()
    assert other.find() is None, "it came too late"
    worker.finish(lease)
    world.clock.sleep(LIMITS.together_s)
    worker.find()
    world.submit(world.job(1))
    world.clock.sleep(LIMITS.list_every_s)
    assert other.step()
    assert open_markers(world) == 0
    world.clock.sleep(LIMITS.alone_s)
    world.submit(world.job(2))
    assert other.step()
    assert open_markers(world) == 1, "and forgets it after a while"


def test_worker_that_stops_leaves_no_marker_of_what_is_done(world):
    world.submit(world.job())
    worker = world.worker()
    assert worker.step()
    worker.claimer.sweep(at_once=True)
    assert open_markers(world) == 0
