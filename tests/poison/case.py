"""One case of the poison matrix: real workers, which are replaced when they die, and rows that kill them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

import oqkit as oq
from tests.poison.task import RECORD

ROOT = Path(__file__).parents[2]
N_WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is poured into which worker."""

    n_poison: int = 1
    death: str = "exit"
    executor: str = "thread"
    concurrency: int = 1
    retries: int = 0
    lease_s: float = 1.0
    n_rows: int = 10_000

    def __str__(self) -> str:
        return (
            f"{self.n_poison} {self.death}, {self.executor} -c {self.concurrency}, retries={self.retries}, "
            f"leases of {self.lease_s:g} s"
        )

    def poisoned(self) -> set[int]:
        """Return the poison rows: in different parts, or in one, where they are neighbours of each other."""
        return {self.n_rows * (3 * n + 2) // 11 + n for n in range(self.n_poison)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of it."""

    case: Case
    failed: frozenset[int]
    kinds: frozenset[str]
    unfinished: int
    extra: Counter[int]
    """Innocent rows by the number of calls beyond the first."""
    n_deaths: int
    took_s: float

    @property
    def n_innocents_failed(self) -> int:
        return len(self.failed - self.case.poisoned())

    @property
    def most_extra(self) -> int:
        """The largest number of calls beyond the first of any innocent row."""
        return max(self.extra, default=0)

    def __str__(self) -> str:
        return (
            f"{self.case}: {len(self.failed)} failed, {self.n_innocents_failed} of them innocent; innocents called "
            f"again {dict(sorted(self.extra.items()))}; {self.n_deaths} workers died; {self.took_s:.0f} s"
        )

    def check(self) -> None:
        """Nobody innocent pays, and the guilty are found."""
        assert self.unfinished == 0, self
        assert self.failed == self.case.poisoned(), self
        assert self.kinds <= {"WorkerCrashed", "WorkerLost"}, self
        assert self.most_extra <= 2, self


class Herd:
    """Worker processes that are replaced when they die."""

    def __init__(self, url: str, folder: Path, arguments: list[str]) -> None:
        self._command = [sys.executable, "-m", "oqkit", "worker", "--exit-with", str(os.getpid()), *arguments]
        self._environment = {**os.environ, "OQ_URL": url, RECORD: str(folder), "PYTHONPATH": str(ROOT)}
        self._log = folder / "workers.log"
        self.n_deaths = 0
        self._processes = [self._start() for _ in range(N_WORKERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, env=self._environment, stdin=-3, stdout=log, stderr=log)

    def replace_the_dead(self) -> None:
        for place, process in enumerate(self._processes):
            if process.poll() is not None:
                self.n_deaths += 1
                self._processes[place] = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)


def calls_in(folder: Path) -> Counter[int]:
    """Return how often each row was called, by all processes that ever ran."""
    return Counter(int(line) for file in folder.glob("*.calls") for line in file.read_text().split())


def play(case: Case, folder: Path, *, patience_s: float = 240.0) -> Report:
    """Run a case to its end; give it up after `patience_s` beyond the time for which leases must run out."""
    queue = oq.connect(folder / "queue")
    poisoned = case.poisoned()
    fates = [case.death if x in poisoned else "" for x in range(case.n_rows)]
    arguments = ["tests.poison.task", "-c", str(case.concurrency), "--executor", case.executor]
    arguments += ["--lease", f"{case.lease_s:g}", "--grace", "5"]
    started = time.monotonic()
    with Herd(queue.url, folder, arguments) as herd:
        frame = pd.DataFrame({"x": range(case.n_rows), "fate": fates})
        job = queue.submit_frame(frame, "taste", retries=case.retries, backoff=0.2)
        while not job.done() and time.monotonic() < started + patience_s + 10 * case.lease_s:
            herd.replace_the_dead()
            time.sleep(0.1)
        took_s = time.monotonic() - started
    tasks, errors, calls = job.tasks(), job.errors(), calls_in(folder)
    innocent = [row for row in range(case.n_rows) if row not in poisoned]
    return Report(
        case=case,
        failed=frozenset(tasks.index[tasks["status"] == "failed"]),
        kinds=frozenset(errors["type"]),
        unfinished=int((~tasks["status"].isin(["completed", "failed"])).sum()),
        extra=Counter(calls[row] - 1 for row in innocent if calls[row] > 1),
        n_deaths=herd.n_deaths,
        took_s=took_s,
    )
