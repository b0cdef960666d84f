"""What is done to the bucket behind everybody's back."""

from __future__ import annotations

from dataclasses import replace

from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.testing.simulation.actor import Operator
from oqkit.testing.simulation.plan import TYPES, OrderPlan, Trick
from oqkit.testing.simulation.world import World

#: How many markers of jobs that are not there, or of no concern, a trick puts up.
CROWD = 24
NEWER = b'{"format": 1, "requires": ["what nobody knows"]}'


def play(world: World, trick: Trick) -> None:
    """Do something to the bucket."""
    world.score.tricks += 1
    if trick.what in _WITHOUT_JOB:
        _WITHOUT_JOB[trick.what](world, trick)
    elif (job := world.oracle.jobs.get(world.by_plan.get(trick.job, ""))) is not None:
        _play_on(world, trick, job)


def _play_on(world: World, trick: Trick, job: Job) -> None:
    if trick.what in {"no marker", "lost marker"}:
        _lose_marker(world, trick, job.id)
        return
    now = world.bucket.now()
    gen = 1 if trick.what == "old marker" else job.gen
    due = now + (20.0 if trick.what == "later marker" else -30.0)
    marker = _marker(world, due, job_id=job.id, topic=job.type, gen=gen, is_later=due > now)
    world.oracle.put_behind(replace(marker, priority=job.priority))


def _silence(world: World, trick: Trick) -> None:
    del trick
    world.bucket.drop(keys.BELL)


def _put_strange_marker(world: World, trick: Trick) -> None:
    del trick
    key = f"{keys.open_prefix('0000')}type-alpha/ready/junk"
    world.bucket.put(key, b"", modified_s=world.bucket.now())


def _put_strange_sign(world: World, trick: Trick) -> None:
    del trick
    world.bucket.put(keys.pause_key(TYPES[-1]), NEWER, modified_s=world.bucket.now())


def _put_unreadable(world: World, trick: Trick) -> None:
    """Put in a job of a newer version, which comes before all others."""
    bucket, now = world.bucket, world.bucket.now()
    marker = replace(_marker(world, now, job_id=f"0y{trick.job:016d}", topic="alpha"), priority=255)
    world.oracle.unreadable.add(marker.job)
    bucket.put(keys.job_key(marker.job, world.plan.shards), NEWER, modified_s=now)
    bucket.put(marker.key, b"", modified_s=now)


def _put_crowd(world: World, trick: Trick) -> None:
    del trick
    for n in range(CROWD):
        marker = _marker(world, world.bucket.now() - n, job_id=f"0{n:017d}", topic=("alpha", "zeta")[n % 2])
        world.oracle.put_behind(marker)


_WITHOUT_JOB = {
    "no bell": _silence,
    "strange marker": _put_strange_marker,
    "strange sign": _put_strange_sign,
    "unreadable": _put_unreadable,
    "crowd": _put_crowd,
}


def _lose_marker(world: World, trick: Trick, job_id: str) -> None:
    world.oracle.take_down_behind(job_id)
    if trick.what == "lost marker":
        return  # somebody must find out
    Operator(world, OrderPlan(name=f"{trick.name}.mend", at_s=0.0, job=trick.job, verb="resume", kills=())).live()


def _marker(world: World, due: float, *, job_id: str, topic: str, gen: int = 1, is_later: bool = False) -> keys.Marker:
    return keys.Marker(
        job=job_id,
        gen=gen,
        priority=128,
        due=due,
        is_later=is_later,
        topic=keys.topic_of(topic, by_value=False),
        shard=keys.shard_of(job_id, world.plan.shards),
    )
