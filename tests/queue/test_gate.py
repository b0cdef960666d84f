from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.queue import control, gate
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy


def test_job_without_delay_and_pause_may_start_at_once(world):
    assert gate.opens(world.job(), world.now()) is None


def test_gates_open_when_the_last_of_them_does(world):
    job = world.job(policy=Policy(not_before=world.now() + 5.0))
    world.submit(job)
    assert gate.opens(job, world.now()) == world.now() + 5.0
    paused = control.pause(world.repository(), job.id, until=world.now() + 50.0)
    assert gate.opens(paused, world.now()) == world.now() + 50.0
    assert gate.opens(paused, world.now() + 50.0) is None
    assert gate.opens(control.pause(world.repository(), job.id), world.now()) == gate.NEVER
    resumed = control.resume(world.repository(), job.id)
    assert gate.opens(resumed, world.now()) == world.now() + 5.0


@pytest.mark.parametrize("delay_s", (0.0, 20.0))
def test_marker_that_is_put_up_once_more_has_the_name_of_the_first(world, delay_s):
    job = world.job(policy=Policy(not_before=world.now() + delay_s if delay_s else 0.0))
    world.submit(job)
    for order in (None, control.resume, control.pause, control.resume):
        world.clock.sleep(1.5)
        if order is not None:
            job = order(world.repository(), job.id)
        before = world.listed("open/")
        world.clock.sleep(1.5)
        repository = world.repository()
        repository.put_marker(repository.marker(job, due=gate.due(job, world.now())))
        assert world.listed("open/") == before


def test_gate_of_ones_own_holds_a_job_and_moves_its_marker(world, monkeypatch):
    """A gate is one function: workers, orders and whoever puts up markers ask it."""

    def office_hours(job, now):
        opens_at = job.created + 3_600.0
        return gate.Hold(until=opens_at) if job.tags.get("when") == "office" and now < opens_at else None

    monkeypatch.setattr(gate, "GATES", (*gate.GATES, office_hours))
    job, other = world.job(1, tags={"when": "office"}), world.job(2)
    world.submit(job)
    world.submit(other)
    worker = world.worker()
    assert worker.drain(until_s=1_000.0) == 1
    assert [parse_marker(key).due for key in world.markers()] == [pytest.approx(job.created + 3_600.0)]
    worker.drain(until_s=4_000.0, idle_s=4_000.0)
    assert world.statuses(replace(job, rev=1)) == {"completed": 1}
