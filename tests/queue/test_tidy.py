"""Ordinary workers remove inputs that never became a job and outputs that lost a race, seldom, a few at a time, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.limits import Limits, QueueLimits
from oqkit.queue import key as keys
from oqkit.queue.repository import open_repository
from oqkit.queue.submission import Submission
from oqkit.queue.tidy import Tidier, TidyProgress
from tests.queue.faulty import World, cost
from tests.queue.test_deletion import ended
from tests.queue.test_garbage import DAY_S, output
from tests.queue.test_sweep import search


def orphan(world, number):
    job = world.job(number)
    Submission(world.repository(), job).put_input(b"rows")
    return job.id


def folders(world):
    return {key.split("/")[2].partition("-")[2] for key in world.listed("work/")}


def test_orphans_and_fenced_outputs_go_by_the_duty_and_nothing_that_counts():
    world = World()
    duty = search(world, 1_000.0)
    lost, job = orphan(world, 1), ended(world, 2)
    named = output(world, job, 0, next(iter(world.parts(job)[0].outputs)))
    fenced, before = output(world, job, 0, "lost.1"), set(world.listed("work/"))
    search(world, 0.9 * DAY_S, duty)
    assert before <= set(world.listed("work/")), "it is not a day old"
    search(world, 2.2 * DAY_S, duty)
    assert lost not in folders(world)
    assert fenced not in world.listed()
    assert named in world.listed()
    assert {key for key in before if job.id in key} - {fenced} <= set(world.listed())


@pytest.mark.parametrize("shards", (1, 3))
def test_all_is_looked_at_a_few_folders_at_a_time(shards):
    world = World(limits=Limits(queue=QueueLimits(tidy_folders=2)), **({} if shards == 1 else {"shards": shards}))
    start = world.now()
    for number in range(7):
        world.clock.sleep(10.0)
        orphan(world, number)
    world.clock.sleep(2 * DAY_S)
    tidier, progress = Tidier(world.repository()), TidyProgress(since=start, news=start + 1.0)
    left = []
    while True:
        progress = tidier.step(progress)
        left.append(len(folders(world)))
        if not progress.until:
            break
    assert left[-1] == 0
    assert all(before - after <= 2 for before, after in zip([7, *left], left, strict=False))
    assert progress.since == pytest.approx(world.now() - DAY_S)


def test_shards_that_came_later_are_looked_at_too():
    world = World(limits=Limits(queue=QueueLimits(tidy_folders=2)))
    start, repository = world.now(), open_repository(world.inner, limits=world.limits)
    repository.layouts.reshard(repository.loop, 8)
    later = [f"1{keys.stamp(world.now())}{number:08d}" for number in range(6)]
    for job_id in later:
        Submission(repository, world.job(id=job_id, layout=1)).put_input(b"rows")
    assert len({key.split("/")[1] for key in world.listed("work/")}) > 1
    world.clock.sleep(3 * DAY_S)
    tidier, progress = Tidier(repository), TidyProgress(since=start - 1.0, news=start + 1.0)
    while (progress := tidier.step(progress)).until:
        pass
    assert not world.listed("work/")


def test_nothing_is_asked_for_where_nothing_was_submitted_since():
    world = World()
    orphan(world, 1)
    progress, tidier = TidyProgress(since=world.now(), news=world.now() - 1.0), Tidier(world.repository())
    found = [progress]
    for _ in range(5):
        world.clock.sleep(DAY_S)
        assert cost(world, lambda: found.append(Tidier(world.repository()).step(found[-1]))) == {}
    progress = found[-1]
    assert tidier.step(replace(progress, since=0.0)).since == pytest.approx(world.now()), (
        "what was there before is left to gc"
    )


def test_progress_that_somebody_else_wrote_is_not_believed():
    assert not TidyProgress(since=2.0).is_sane(1.0)
    assert not TidyProgress(after="jobs/x").is_sane(1.0)
    assert TidyProgress(since=1.0, after="work/0000/x").is_sane(1.0)
