"""``python -m oqkit.testing.simulation SEEDS``: run, replay, shrink, report."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from dataclasses import fields
from pathlib import Path

from oqkit.testing.simulation.draw import make_plan
from oqkit.testing.simulation.report import Totals, page, run_all
from oqkit.testing.simulation.schedule import run_plan
from oqkit.testing.simulation.shrink import replay_line, shrink
from oqkit.testing.simulation.world import Score

SHRUNK = 3
EVERY = 500


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return 1 if a rule was broken."""
    options = _parser().parse_args(arguments)
    first, colon, stop = options.seeds.partition(":")
    seeds = range(int(first), int(stop) if colon else int(first) + 1)
    if len(seeds) == 1:
        return _one(seeds[0], frozenset(filter(None, options.without.split(","))), trace=options.trace)
    return _many(seeds, processes=options.processes, report=options.report, commit=options.commit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m oqkit.testing.simulation", description=__doc__)
    parser.add_argument("seeds", help="one seed, or a range such as 0:2000")
    parser.add_argument("--without", default="", metavar="NAMES", help="leave these pieces of the schedule out")
    parser.add_argument("--trace", action="store_true", help="print every request as it is applied")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, help="write the sums to this Markdown file")
    parser.add_argument("--commit", default="", help="what was run, for the report")
    return parser


def _one(seed: int, without: frozenset[str], *, trace: bool) -> int:
    lines: list[str] | None = [] if trace else None
    plan = make_plan(seed).without(without)
    score = run_plan(plan, trace=lines)
    for line in lines or []:
        _say(line)
    for field in fields(score):
        _say(f"{field.name}: {getattr(score, field.name)}")
    return 1 if score.violation else 0


def _many(seeds: range, *, processes: int, report: Path | None, commit: str) -> int:
    totals, start = Totals(), time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):  # then the report is about the seeds before
        for score in run_all(seeds, processes=processes):
            totals.add(score)
            if score.violation:
                _tell(score, is_shrunk=len(totals.failed) <= SHRUNK)
            if totals.n_schedules % EVERY == 0:
                rate = totals.n_schedules / (time.monotonic() - start)
                _say(f"{totals.n_schedules:,} schedules, {len(totals.failed)} violations, {rate:.1f} a second")
    seeds = seeds[: totals.n_schedules]
    seconds = time.monotonic() - start
    for what, n in totals.lines():
        _say(f"{what:60}{n:>12}")
    if report is not None:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        machine += f", commit {commit}" if commit else ""
        text = page(totals, seeds=f"{seeds.start}:{seeds.stop}", seconds=seconds, processes=processes, machine=machine)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text, encoding="utf-8")
        _say(f"written to {report}")
    return 1 if totals.failed else 0


def _tell(score: Score, *, is_shrunk: bool) -> None:
    _say(f"seed {score.seed} failed: {score.violation}")
    _say(f"  replay:  python -m oqkit.testing.simulation {score.seed} --trace")
    if is_shrunk:
        plan, smaller = shrink(score.seed, rule=score.rule)
        _say(f"  smaller: {replay_line(plan)}")
        _say(f"           {smaller.violation.splitlines()[0]}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
