"""``python -m tests.simulation.mutation``: plant every mistake, one at a time, and write down how each was noticed."""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from oqkit.testing.simulation import run_seed
from oqkit.testing.simulation.report import spare_collector
from tests.simulation.mutant import MUTANTS
from tests.simulation.seeds import SEEDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one planted mistake."""

    name: str
    n_schedules: int
    """How many were played, the last of which broke a rule unless `rule` is empty."""
    rule: str

    @property
    def mistake(self) -> str:
        """What is wrong in the code with it."""
        text = inspect.getdoc(MUTANTS[self.name]) or self.name
        return " ".join(text.split())


def play(name: str, patch: pytest.MonkeyPatch) -> Trial:
    """Play schedules with a mistake, which `patch` undoes, until one breaks a rule."""
    MUTANTS[name](patch)
    for seed in range(SEEDS):
        score = run_seed(seed)
        if score.rule.endswith(("TypeError", "AttributeError", "NameError")):
            raise AssertionError(f"{name} does not fit the code any more: {score.violation}")
        if score.violation:
            return Trial(name=name, n_schedules=seed + 1, rule=score.rule)
    return Trial(name=name, n_schedules=SEEDS, rule="")


def _play_alone(name: str) -> Trial:
    with pytest.MonkeyPatch.context() as patch:
        return play(name, patch)


def main(arguments: list[str] | None = None) -> int:
    """Plant all, and return 1 if one was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutation", description=__doc__)
    parser.add_argument("--processes", type=int, default=1, help="how many mistakes are tried at a time")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to write the page")
    parser.add_argument("--commit", default="", help="which one this is, for the page")
    options = parser.parse_args(arguments)
    trials, start = list[Trial](), time.monotonic()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn"), initializer=spare_collector) as pool:
        for trial in pool.map(_play_alone, MUTANTS):
            trials.append(trial)
            told = f"noticed in schedule {trial.n_schedules}: {trial.rule}" if trial.rule else "SURVIVED"
            print(f"{len(trials)}/{len(MUTANTS)} {trial.name}: {told}", flush=True)
    if options.report is not None:
        text = page(trials, minutes=(time.monotonic() - start) / 60, commit=options.commit)
        options.report.write_text(text, encoding="utf-8")
    return 0 if all(trial.rule for trial in trials) else 1


def page(trials: Iterable[Trial], *, minutes: float, commit: str) -> str:
    """Render trials as a page."""
    found = list(trials)
    rows = "\n".join(f"| {it.mistake} | {it.n_schedules:,} | {it.rule or '**not noticed**'} |" for it in found)
    latest = max(found, key=lambda trial: trial.n_schedules)
    of_commit = f", on commit {commit}" if commit else ""
    return f"""# Simulation: planted mistakes

A simulation that finds nothing proves something only if it would have found it. So {len(found)} mistakes that queues on object
stores really make are planted in the code, one at a time (`tests/simulation/mistake/`), and `make soak` (of some
also `make test`) fails if one of them is not noticed within {SEEDS:,} schedules. Each is planted in code that runs as usual
otherwise: it is noticed because of what it does to the bucket, or of what somebody is told.

`make soak` writes this page; this one took {minutes:.0f} minutes{of_commit}. "Schedules" says how many it took, from seed 0 on;
"noticed as" is the rule that was broken, in the words of `oqkit/testing/simulation/`. The rarest needed {latest.n_schedules:,}.

| mistake | schedules | noticed as |
|---|---:|---|
{rows}
"""


if __name__ == "__main__":
    sys.exit(main())
