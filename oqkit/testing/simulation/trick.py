"""What is done to the bucket behind everybody's back."""

from __future__ import annotations

from dataclasses import replace

from oqkit.queue import key as keys
from oqkit.testing.simulation.actor import Operator
from oqkit.testing.simulation.plan import OrderPlan, Trick
from oqkit.testing.simulation.world import World

#: How many markers of jobs that are not there, or of no concern, a trick puts up.
CROWD = 24


def play(world: World, trick: Trick) -> None:
    """Do something to the bucket."""
    bucket, oracle = world.bucket, world.oracle
    world.score.tricks += 1
    job = oracle.jobs.get(world.by_plan.get(trick.job, ""))
    if trick.what == "no bell":
        bucket.drop(keys.BELL)
    elif trick.what == "strange marker":
        bucket.put(f"{keys.open_prefix('0000')}type-alpha/ready/junk", b"", modified_s=bucket.now())
    elif trick.what == "unreadable":
        oracle.put_unreadable(_marker(bucket.now(), job_id=f"0y{trick.job:016d}", topic="alpha"))
    elif trick.what == "crowd":
        for n in range(CROWD):
            oracle.put_behind(_marker(bucket.now() - n, job_id=f"0{n:017d}", topic=("alpha", "zeta")[n % 2]))
    elif job is not None and trick.what in ("no marker", "lost marker"):
        _lose_marker(world, trick, job.id)
    elif job is not None:
        gen = 1 if trick.what == "old marker" else job.gen
        due = bucket.now() + (20.0 if trick.what == "later marker" else -30.0)
        marker = _marker(due, job_id=job.id, topic=job.type, gen=gen, is_later=due > bucket.now())
        oracle.put_behind(replace(marker, priority=job.priority))


def _lose_marker(world: World, trick: Trick, job_id: str) -> None:
    world.oracle.take_down_behind(job_id)
    if trick.what == "lost marker":
        return  # somebody must find out
    Operator(world, OrderPlan(name=f"{trick.name}.mend", at_s=0.0, job=trick.job, verb="resume", kills=())).live()


def _marker(due: float, *, job_id: str, topic: str, gen: int = 1, is_later: bool = False) -> keys.Marker:
    return keys.Marker(
        job=job_id,
        gen=gen,
        priority=128,
        due=due,
        is_later=is_later,
        topic=keys.topic_of(topic, by_value=False),
        shard="0000",
    )
