"""Jobs under limits: which of a plan are, and what that may cost a poll."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from oqkit.testing.simulation.plan import JobPlan, Plan

TRIES = 24
"""How many requests it may take to take from a limit that others take from."""


def with_limits(plan: Plan) -> Plan:
    """Let some jobs keep a rate together, or run a few calls at once, in some of the schedules."""
    rng = random.Random(f"{plan.seed}/limits")  # noqa: S311 - a seed must replay
    if rng.random() < 0.6:
        return plan
    rate = f"{rng.choice((120, 300))}/min{rng.choice(('', ' shared'))}"

    def limited(job: JobPlan) -> JobPlan:
        options: dict[str, Any] = {"rate_limit": rate} if rng.random() < 0.6 else {}
        if rng.random() < 0.4:
            options["max_concurrency"] = rng.choice((1, 2))
        quick = replace(job, row_s=min(job.row_s, 0.1), asks={}) if options else job  # else the drain is for them alone
        return replace(quick, options={**job.options, **options})

    return replace(plan, jobs=tuple(limited(job) for job in plan.jobs))


def most_requests(plan: Plan) -> int:
    """Return how many requests a poll may need for limits."""
    return TRIES * sum(bool({"rate_limit", "max_concurrency"} & job.options.keys()) for job in plan.jobs)
