"""Sums over many schedules, and the page about them."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from oqkit.testing.simulation.schedule import run_seed
from oqkit.testing.simulation.world import Score

CHUNK = 20


@dataclass(slots=True)
class Totals:
    """What many schedules were, together."""

    n_schedules: int = 0
    kills: int = 0
    pauses: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    tasks: int = 0
    executions: int = 0
    takeovers: int = 0
    orders: int = 0
    slots: int = 0
    tricks: int = 0
    virtual_s: float = 0.0
    longest_drain_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    failed: list[Score] = field(default_factory=list)

    def add(self, score: Score) -> None:
        """Count one schedule."""
        self.n_schedules += 1
        for name in (
            "kills",
            "pauses",
            "writes",
            "tasks",
            "executions",
            "takeovers",
            "orders",
            "slots",
            "tricks",
            "virtual_s",
        ):
            setattr(self, name, getattr(self, name) + getattr(score, name))
        self.faults.update(score.faults)
        self.statuses.update(score.statuses)
        self.longest_drain_s = max(self.longest_drain_s, score.drain_s)
        if score.violation:
            self.failed.append(score)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what is worth telling: (what, how many)."""
        yield "schedules", f"{self.n_schedules:,}"
        yield "violations", f"{len(self.failed):,}"
        yield "processes killed", f"{self.kills:,}"
        yield "pauses beyond a third of a lease", f"{self.pauses:,}"
        yield "faults of requests", f"{self.faults.total():,}"
        yield from ((f"… {TOLD[fault]}", f"{n:,}") for fault, n in sorted(self.faults.items()))
        yield "tricks played on the bucket", f"{self.tricks:,}"
        yield "orders (cancel, retry, pause, resume) carried out", f"{self.orders:,}"
        yield "slots of schedules submitted", f"{self.slots:,}"
        yield "tasks acknowledged", f"{self.tasks:,}"
        yield from ((f"… {status}", f"{n:,}") for status, n in self.statuses.most_common())
        yield "executions", f"{self.executions:,}"
        yield "leases taken from their holders", f"{self.takeovers:,}"
        yield "writes judged", f"{self.writes:,}"
        yield "virtual time", f"{self.virtual_s / 86_400:,.1f} days"
        yield "longest drain after the trouble", f"{self.longest_drain_s:,.0f} s"


TOLD = {
    "error": "refused (500, 503, 429, 409, no connection)",
    "timeout": "never answered, not applied",
    "lost": "applied, but the reply was lost",
    "late": "applied after the client had given up",
    "twice": "sent again by the SDK, the second reply counts",
}


def run_all(seeds: Iterable[int], *, processes: int) -> Iterator[Score]:
    """Run schedules, in order of their seeds where there is one process."""
    if processes == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=spare_collector) as pool:
        yield from pool.map(run_seed, seeds, chunksize=CHUNK)


def spare_collector() -> None:
    """Let the garbage collector pass over all that was imported: it is most of what there is, and stays."""
    gc.collect()
    gc.freeze()


def page(totals: Totals, *, seeds: str, seconds: float, processes: int, machine: str) -> str:
    """Write the report as Markdown; `machine` says what it was run with."""
    width = max(len(what) for what, _ in totals.lines())
    table = "\n".join(f"| {what.ljust(width)} | {n.rjust(12)} |" for what, n in totals.lines())
    bound = 3 / max(1, totals.n_schedules)
    failed = "\n".join(f"* seed {score.seed}: {score.violation.splitlines()[0]}" for score in totals.failed[:20])
    return f"""# Simulation: what was run

`make soak` writes this page. Each schedule plays the real queue, worker loop and handles on a simulated bucket, with
faults, kills, workers that stand still beyond their leases, clocks that are off by up to 300 s, and people who cancel,
retry, pause and resume. Every write is judged as it is applied, every answer as it is given
(`oqkit/testing/simulation/oracle.py`), and in the end every acknowledged task must have exactly one outcome. That the
rules notice what they should is [shown by planting mistakes](mutation.md).

Seeds {seeds}: {seconds / 60:.0f} minutes on {processes} processes, {totals.n_schedules / seconds:.1f} schedules a second ({machine}).

| {"what".ljust(width)} | {"number".rjust(12)} |
|{"-" * (width + 2)}|{"-" * 13}:|
{table}

{failed or f"No violation: with 95 % confidence fewer than one schedule in {1 / bound:,.0f} breaks a rule."}

`python -m oqkit.testing.simulation SEED --trace` replays one schedule exactly, on any machine, and prints each request.
A seed that fails prints this line itself, together with a smaller schedule that breaks the same rule.
"""
