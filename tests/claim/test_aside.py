"""Documents that parse and cannot be right: named once, left alone, tried again later; others are not kept waiting."""

from __future__ import annotations

import json
import random

import pytest

from oqkit.claim.aside import Aside
from oqkit.limits import ClaimLimits
from oqkit.queue import control
from oqkit.queue.key import BELL
from oqkit.queue.rows import Rows

HOUR_S = 3_600.0


def changed(world, name, **fields):
    (key,) = [key for key in world.listed() if name in key]
    world.inner.overwrite(key, json.dumps({**json.loads(world.inner.read(key).data), **fields}).encode())
    return key


def requests_in(world, worker, seconds):
    """Let a worker go on for so long; return its requests by kind but for those to the doorbell, which is asked anyway."""
    before, end = world.inner.requests.snapshot().total(), world.clock.time_s + seconds
    while world.clock.time_s < end:
        if not worker.step():
            world.clock.sleep(max(0.05, worker.claimer.wait_s()))
    return world.inner.requests.snapshot().total() - before


DAMAGE = {
    "part of a later generation": ("/parts/0000000.json", {"gen": 9}),
    "part of another job": ("/parts/0000000.json", {"job": "0" * 18}),
    "part of another number": ("/parts/0000000.json", {"part": 3}),
    "part that nobody may touch": ("/parts/0000000.json", {"requires": ["telepathy"]}),
    "job of another name": ("jobs/", {"job": "../x"}),
    "job of a strange type": ("jobs/", {"type": "../x"}),
    "job of a billion rows in a part": ("jobs/", {"n_tasks": 10**9, "part_rows": 10**9}),
    "job that is paused for ever and ever": (
        "jobs/",
        {
            "controls": [
                {"op": "o", "verb": "pause", "at": 1.0, "statuses": [], "rows": None, "reason": "", "until": 1e300}
            ]
        },
    ),
    "job of a later oqkit": ("jobs/", {"requires": ["telepathy"]}),
    "job made before all time": ("jobs/", {"created": -1e300}),
}


@pytest.mark.parametrize("n_tasks", (5, 35))
@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_job_is_named_once_costs_little_and_starves_nobody(world, name, n_tasks, caplog):
    bad, good = world.job(1, n_tasks=n_tasks, priority=255), world.job(2, n_tasks=5, priority=1)
    world.submit(bad)
    control.cancel(world.repository(), bad.id, rows=Rows.span(0, 2))  # so that it has a part
    place, fields = DAMAGE[name]
    key = changed(world, place, **fields)
    data = world.inner.read(key).data
    world.submit(good)
    worker = world.worker("live")
    assert requests_in(world, worker, 60.0) <= 60 * 5
    assert world.statuses(good) == {"completed": 5}
    assert requests_in(world, worker, HOUR_S) / HOUR_S <= 2.0
    assert world.inner.read(key).data == data, "nobody rewrites what he does not understand"
    assert [marker for marker in world.markers() if bad.id in marker], "nor hides it"
    assert len([record for record in caplog.records if "left alone" in record.message]) == 1
    assert worker.claimer.is_done(), "there is nothing for a worker to wait for"


def test_what_was_put_aside_is_done_once_it_is_repaired(world):
    job = world.job(1, n_tasks=5)
    world.submit(job)
    (key,) = world.listed("jobs/")
    data = world.inner.read(key).data
    worker = world.worker()
    world.inner.overwrite(key, b"damaged")
    requests_in(world, worker, 60.0)
    world.inner.overwrite(key, data)
    requests_in(world, worker, 600.0)
    assert world.statuses(job) == {"completed": 5}


@pytest.mark.parametrize("name", ("gen", "due", "priority", "job", "shard"))
def test_marker_that_cannot_be_right_is_passed_over(world, name, caplog):
    job = world.job(1, n_tasks=5, priority=1)
    world.submit(job)
    control.pause(world.repository(), job.id, until=world.now() + 30.0)
    marker = world.repository().marker(world.repository().read_job(job.id).doc, due=world.now()).key
    head, _, rest = marker.rpartition("/")
    rank, due, ident = rest.split("-")
    strange = {
        "gen": f"{head}/{rank}-{due}-{job.id}.99",
        "due": f"{head}/{rank}-{'9' * 400}-{ident}",
        "priority": f"{head}/999-{due}-{ident}",
        "job": f"{head}/{rank}-{due}-0000.1",
        "shard": f"{head}/{rank}-{due}-{ident}".replace("open/0000", "open/0fff"),
    }[name]
    world.inner.overwrite(strange, b"")
    worker = world.worker()
    assert requests_in(world, worker, 25.0) <= 25 * 5
    assert world.statuses(job) == {"pending": 5}
    requests_in(world, worker, 60.0)
    assert world.statuses(job) == {"completed": 5}
    assert strange in world.listed("open/")
    assert len([record for record in caplog.records if "left alone" in record.message]) == 1


@pytest.mark.parametrize("spoil", (b"9" * 400, b"-1", b"\xff", b"0" * 15, "٣".encode()))
def test_bell_that_cannot_be_right_keeps_no_worker_from_starting(world, spoil):
    job = world.job(1, n_tasks=5)
    world.submit(job)
    bell = world.inner.read(BELL).data
    _, marker, _ = bell.split(b"\n", 2)
    due = marker.rpartition(b"/")[2].split(b"-")[1]
    world.inner.overwrite(BELL, bell.replace(due, spoil))
    requests_in(world, world.worker(), 60.0)
    assert world.statuses(job) == {"completed": 5}


def test_of_very_many_names_the_ones_put_aside_last_are_remembered():
    known = Aside(random.Random(0), limits=ClaimLimits(aside_names=3))
    for name in ("a", "b", "c", "a", "d"):
        known.put(name, ValueError("why"), now=100.0)
    assert [name for name in "abcd" if known.until(name) > 100.0] == ["a", "c", "d"]
