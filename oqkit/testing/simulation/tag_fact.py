"""What must hold of the index of tags."""

from __future__ import annotations

from oqkit.client.handle import Job
from oqkit.queue import key as keys
from oqkit.testing.simulation.world import World


def give_tag(world: World, job: Job, value: str | None) -> None:
    """Give a job a tag. Whoever was told that he has finds it by all tags that it has now; what is stale may still be there.

    Not while others give it orders, or once somebody died over one: then the search for lost jobs sees to it.
    """
    job.tag(team=value)
    _check(world, job.id)


def _check(world: World, job_id: str) -> None:
    if world.orders_under_way[job_id] > 1 or job_id in world.broken_orders:
        return
    job = world.oracle.jobs[job_id]
    for name, value in job.tags.items():
        key = keys.tag_key(name, value, job=job_id, created=job.created)
        world.oracle.expect(world.bucket.data(key) is not None, "not found by its tag", key)
