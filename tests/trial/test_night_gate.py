"""A trial of the gates, as of somebody new: jobs that run at night only are one function, and nothing else."""

from __future__ import annotations

import oqkit as oq
from oqkit.queue import gate
from tests.budget.idler import Idler

DAY_S, HOUR_S = 86_400.0, 3_600.0
OPENS_S, CLOSES_S = 22 * HOUR_S, 6 * HOUR_S
WHY = "It runs at night only, from 22:00 to 06:00 UTC."


def at_night(job, now):
    since_midnight_s = now % DAY_S
    if job.tags.get("when") != "night" or not CLOSES_S <= since_midnight_s < OPENS_S:
        return None
    return gate.Hold(until=now - since_midnight_s + OPENS_S, why=WHY)


class Night(Idler):
    """A worker, and a job of 40 s a row; `started` has the time of day at which each row was."""

    def __init__(self, name):
        self.started = []

        @oq.task
        def bake(x: int) -> int:
            self.started.append(self.time())
            self.clock.sleep(40.0)
            return x

        super().__init__(name, bake)

    def time(self):
        return self.client.repository.now() % DAY_S

    def idle_until(self, time_s):
        return self.idle((time_s - self.time()) % DAY_S)

    def submit(self, n):
        return self.client.map("bake", [{"x": x} for x in range(n)], part_rows=1, tags={"when": "night"})


def counts(job):
    return {status: n for status, n in job.counts().items() if n}


def test_job_for_the_night_waits_for_it_and_says_why_and_costs_nothing_meanwhile(monkeypatch):
    monkeypatch.setattr(gate, "GATES", (*gate.GATES, at_night))
    night = Night("trial-gate")
    night.idle_until(12 * HOUR_S)
    alone = night.idle_until(16 * HOUR_S)
    job = night.submit(3)
    assert job.why() == WHY
    with_job = night.idle_until(OPENS_S - 60.0)
    assert night.started == []
    assert counts(job) == {"pending": 3}
    assert job.why() == WHY
    assert WHY in repr(job)
    hours = (OPENS_S - 60.0) / HOUR_S - 16
    assert with_job.total() <= alone.total() / 4 * hours + 20, (
        "no more than a worker without any work asks, but for news"
    )
    night.idle_until(OPENS_S + 300.0)
    assert counts(job) == {"completed": 3}
    assert OPENS_S <= night.started[0] < OPENS_S + 2.0
    assert job.why() == ""


def test_job_for_the_night_stops_in_the_morning_and_goes_on_the_next_evening(monkeypatch):
    monkeypatch.setattr(gate, "GATES", (*gate.GATES, at_night))
    night = Night("trial-morning")
    night.idle_until(CLOSES_S - 60.0)
    job = night.submit(4)
    night.idle_until(CLOSES_S + HOUR_S)
    before, n_before = list(night.started), len(night.started)
    assert 0 < n_before < 4
    assert all(CLOSES_S - 60.0 <= at < CLOSES_S for at in before)
    assert job.why() == WHY
    night.idle_until(OPENS_S - 1.0)
    assert night.started == before
    night.idle_until(OPENS_S + 600.0)
    assert counts(job) == {"completed": 4}
    assert all(at >= OPENS_S for at in night.started[n_before:])
