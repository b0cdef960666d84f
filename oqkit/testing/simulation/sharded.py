"""Queues of several shards, which workers divide among them; and so many markers that they do."""

from __future__ import annotations

import random
from dataclasses import replace

from oqkit.testing.simulation.plan import Kill, Plan, ReshardPlan, Trick

PAGE = 8
"""How many markers a listing shows: all signs of pauses fit in."""


def with_reshards(plan: Plan) -> Plan:
    """Let some of the schedules have somebody who gives the queue another number of shards, once or twice."""
    rng = random.Random(f"{plan.seed}/reshards")  # noqa: S311 - a seed must replay
    if rng.random() < 0.6:
        return plan

    def reshard(n: int) -> ReshardPlan:
        name = f"reshard{n}"
        kills = (Kill(name=f"{name}.kill", write=0, is_after=rng.random() < 0.5),) if rng.random() < 0.4 else ()
        at_s = rng.uniform(0.0, plan.chaos_s * 0.8)
        return ReshardPlan(name=name, at_s=at_s, shards=rng.choice((1, 2, 5, 16)), kills=kills)

    return replace(plan, reshards=tuple(reshard(n) for n in range(rng.choice((1, 1, 2)))))


def with_shards(plan: Plan) -> Plan:
    """Let some of the schedules have several shards, and most of those workers that lease them."""
    rng = random.Random(f"{plan.seed}/shards")  # noqa: S311 - a seed must replay
    if rng.random() < 0.7:
        return plan
    claim = replace(
        plan.limits.claim,
        page_markers=PAGE,
        shard_lease_s=rng.choice((6.0, 15.0)),
        look_everywhere_s=rng.choice((20.0, 45.0)),
    )
    crowd = Trick(name="crowd", at_s=rng.uniform(0.0, plan.chaos_s / 2), what="crowd", job=0)
    return replace(
        plan,
        limits=replace(plan.limits, claim=claim),
        shards=rng.choice((3, 8, 64)),
        shares=rng.random() < 0.8,
        tricks=(*plan.tricks, crowd),
    )
