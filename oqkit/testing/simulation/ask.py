"""What calls ask of their worker and tell it, and whether what they are answered is so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from oqkit.task.context import Context
from oqkit.testing.simulation.fact import Grant
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.oracle import Oracle
from oqkit.testing.simulation.plan import JobPlan, Plan

DOUBT_S = 3.0
"""By how much the time of the store may be off that a worker goes by."""
USED_SHARE = 0.8
"""How much of the time that it asked for a call takes."""


def leases_of(oracle: Oracle, node: Node, job_id: str, rows: Sequence[int]) -> list[str]:
    """Return the leases under which a node may run all of these rows, as far as its own writes say."""
    held = [oracle.holds[job_id, row, node.name] for row in rows]
    return [lease for lease in held[0] if all(lease in one for one in held)]


def with_asks(plan: Plan, rng: random.Random) -> Plan:
    """Let calls of some rows, but of few, ask for more time, which they then take."""

    def asking(job: JobPlan) -> JobPlan:
        rows = rng.sample(range(job.n_tasks), min(job.n_tasks, rng.choice((0, 0, 1, 3))))
        return replace(job, asks={row: rng.choice((0.5, 1.2, 1.6)) * plan.lease_s for row in rows})

    return replace(plan, jobs=tuple(asking(job) for job in plan.jobs))


def talk(
    oracle: Oracle, node: Node, plan: JobPlan, ctx: Context, *, rows: Sequence[int], leases: Sequence[str]
) -> None:
    """Let the call of some rows say how far it is, ask for more time if the plan says so, and take it, asking once more half-way.

    `leases` are those under one of which it runs; what it says names that, if it is only one.
    """
    ctx.progress(rows[0], len(rows), leases[0] if len(leases) == 1 else "")
    seconds = max(plan.asks.get(row, 0.0) for row in rows)
    longer_s = max(0.0, USED_SHARE * seconds - plan.row_s)
    for _ in range(2) if seconds else ():
        _ask(oracle, ctx, seconds, rows=rows, grants=[oracle.grants[lease] for lease in leases])
        node.clock.sleep(longer_s / 2)


def _ask(oracle: Oracle, ctx: Context, seconds: float, *, rows: Sequence[int], grants: Sequence[Grant]) -> None:
    for grant in grants:
        grant.asked.update({row: max(grant.asked.get(row, 0.0), seconds) for row in rows})
    since = oracle.bucket.now()
    ctx.extend_lease(seconds)
    until = since + seconds - DOUBT_S
    is_kept = any(all(grant.held_until.get(row, 0.0) >= until for row in rows) for grant in grants)
    oracle.expect(is_kept, "extension promised and not kept", f"{ctx.task_id}: {seconds:g} s from {since:.2f} s on")
