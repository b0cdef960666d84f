"""The poison matrix in virtual time: the real workers on a simulated bucket, whose oracle judges every write."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from oqkit.limits import Limits
from oqkit.testing.simulation.plan import KILL, PERISH, JobPlan, Plan, WorkerPlan
from oqkit.testing.simulation.schedule import run_plan
from oqkit.testing.simulation.world import Score

N_WORKERS = 2
FOREVER = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualCase:
    """What is poured into which workers."""

    n_poison: int
    death: str
    """How a poison row ends its process: by itself (a segfault, an exit), or by force, as when memory runs out."""
    is_process: bool
    concurrency: int
    retries: int
    lease_s: float
    n_rows: int = 600

    def __str__(self) -> str:
        executor = "process" if self.is_process else "thread"
        death = "memory" if self.death == KILL else "exit"
        return (
            f"{self.n_poison} {death}, {executor} -c {self.concurrency}, retries={self.retries}, "
            f"leases of {self.lease_s:g} s"
        )

    def poisoned(self) -> list[int]:
        """Return the poison rows."""
        return [self.n_rows * (3 * n + 2) // 11 + n for n in range(self.n_poison)]

    def plan(self, seed: int) -> Plan:
        """Return the schedule: no trouble but the poison, and time enough to get over it."""
        job = JobPlan(
            name="job0",
            number=0,
            at_s=0.0,
            kind="frame",
            key="",
            type="alpha",
            n_tasks=self.n_rows,
            part_rows=self.n_rows // 2,
            row_s=0.01,
            options={"retries": self.retries, "backoff": 0.2},
            fates=dict.fromkeys(self.poisoned(), (self.death,) * FOREVER),
            n_submitters=1,
            kills=(),
        )
        return Plan(
            seed=seed,
            chaos_s=60.0 + 12.0 * self.lease_s,
            lease_s=self.lease_s,
            poll_s=1.5,
            limits=Limits(),
            has_md5_etags=True,
            workers=tuple(self._worker(f"worker{n}") for n in range(N_WORKERS)),
            jobs=(job,),
            orders=(),
            reads=(),
            tricks=(),
            faults={},
            outages=(),
            latency_s=0.03,
            slow=0.0,
        )

    def _worker(self, name: str) -> WorkerPlan:
        return WorkerPlan(
            name=name,
            types=("alpha",),
            concurrency=self.concurrency,
            is_process=self.is_process,
            isolates_after=1,
            grace_s=5.0,
            skew_s=0.0,
            drift=0.0,
            kills=(),
            pauses=(),
        )


def virtual_cases() -> Iterator[VirtualCase]:
    """Yield all cases; a segfault and an exit are the same here."""
    for n, death, is_process, slots, retries, lease_s in itertools.product(
        (1, 3), (PERISH, KILL), (False, True), (1, 4, 8), (0, 1, 3), (5.0, 60.0)
    ):
        yield VirtualCase(
            n_poison=n, death=death, is_process=is_process, concurrency=slots, retries=retries, lease_s=lease_s
        )


def check(case: VirtualCase, *, seed: int = 0) -> Score:
    """Play a case; nobody innocent pays, and the guilty are found."""
    score = run_plan(case.plan(seed))
    assert not score.violation, (str(case), score.violation)
    failed = {row for (_, row), status in score.ends.items() if status == "failed"}
    assert failed == set(case.poisoned()), (str(case), failed)
    again = Counter(n - 1 for (_, row), n in score.runs.items() if row not in failed)
    assert max(again) <= 2, (str(case), again)
    return score
