"""Many slots and four workers that are killed at any moment: each slot is submitted once, and runs.

`OQ_SLOTS` says how many; a thousand are what is promised, on a directory, which `make soak` runs.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from oqkit.clock import new_id
from oqkit.queue import firing
from oqkit.queue import key as keys
from oqkit.queue.alarm import parse_alarm
from oqkit.queue.cron import Rhythm
from oqkit.queue.timetable import schedule_key
from tests.chaos.fleet import Fleet, check_outcomes
from tests.chaos.task import double
from tests.local import WAIT_S, names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1_200), pytest.mark.xdist_group("chaos")]

N_SLOTS = int(os.environ.get("OQ_SLOTS", "200"))
SLOTS_A_KILL = 100
SLOT_S = 0.3
"""How long a slot may take, submitted and run, on a machine that is shared."""
N_WORKERS = 4
DAY_S = 86_400.0
SEED = 30


def settled(queue):
    """Return how many slots are settled."""
    schedule = firing.schedules(queue.repository).read(schedule_key("daily")).doc
    return round((schedule.last - schedule.rhythm.since) / DAY_S)


def who_fires(queue, fleet, rng):
    """Return the worker that settled the last slots, most likely in the middle of the next; if it is dead, another."""
    schedule = firing.schedules(queue.repository).read(schedule_key("daily")).doc
    firing_now = [member for member in fleet.living if member.holds(schedule.settled_by)]
    return rng.choice(firing_now or [member for member in fleet.living if member.is_ready])


def jobs_of(queue):
    found = (keys.job_of_key(name) for name in names_below(queue.repository.store, keys.JOBS))
    return [queue.repository.read_job(job_id).doc for job_id in found]


def test_each_of_many_slots_is_submitted_once_whoever_is_killed(anywhere, tmp_path, capsys):
    queue, rng = anywhere.queue(), random.Random(SEED)
    n_slots = N_SLOTS if anywhere.endpoint_url is None else min(N_SLOTS // 2, 200)  # a server is slower
    wait_s = WAIT_S + n_slots * SLOT_S
    n_kills = n_slots // SLOTS_A_KILL
    moments = sorted(rng.sample(range(10, n_slots - 50), n_kills))  # counted in slots, so that all fall into the work
    started = time.monotonic()
    with Fleet(anywhere, tmp_path / "fleet") as fleet:
        fleet.start_ready(N_WORKERS)
        make_earlier(queue, n_slots)
        for moment in moments:
            until(lambda m=moment: settled(queue) >= m, wait_s=wait_s, what=f"{moment} slots")
            time.sleep(rng.uniform(0, 0.1))
            who_fires(queue, fleet, rng).kill()
            fleet.start()
        until(lambda: settled(queue) == n_slots, wait_s=wait_s, what="all slots")
        until(
            lambda: len(alarms(queue)) == len(names_below(queue.repository.store, keys.OPEN)),
            wait_s=wait_s,
            what="all jobs are done",
        )
        jobs, elapsed_s = jobs_of(queue), time.monotonic() - started
        fleet.check_health()
    schedule = firing.schedules(queue.repository).read(schedule_key("daily")).doc
    slots = Counter(round((job.slot.at - schedule.rhythm.since) / DAY_S) for job in jobs)
    assert slots == Counter(range(1, n_slots + 1))
    for job in jobs:
        check_outcomes(queue, job.id)
    (alarm,) = alarms(queue)
    assert alarm.due == pytest.approx(schedule.rhythm.since + (n_slots + 1) * DAY_S, abs=0.002)
    with capsys.disabled():
        print(f"\n{n_slots:,} slots, {n_kills} kills: each submitted once, {elapsed_s:.0f} s")


def make_earlier(queue, n_days):
    """Make a schedule as if it had been made so many days ago, and no worker had run since."""
    repository = queue.repository
    queue.schedule("daily", double, {"label": "slot", "x": 1}, every="1d", catch_up="all")
    made = firing.schedules(repository).read(schedule_key("daily")).doc
    queue.unschedule("daily")
    since = made.rhythm.since - (n_days + 0.5) * DAY_S
    rhythm = Rhythm(since=since, every_s=DAY_S)
    new = replace(made, origin=new_id(repository.rng), rhythm=rhythm, last=since)
    firing.create_schedule(repository, firing.with_template(repository, new, firing.template_of(made)))


def alarms(queue):
    found = (parse_alarm(name, shards=1) for name in names_below(queue.repository.store, keys.OPEN))
    return [alarm for alarm in found if alarm is not None]
