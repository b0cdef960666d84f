"""The whole poison matrix, 216 cases with real worker processes: `make poison`. Takes an hour on two quiet cores.

Cases come in a random order, so that a run that is cut short (``--first 40``) is a fair sample.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.poison.case import Case, Report, play

SEED = 7
PAGE = """# Rows that kill their worker

Two `oq worker` processes, replaced when they die, and 10,000 rows of which one or three end the process that runs them:
by a segfault, by `os._exit`, or by SIGKILL, which is what the kernel does when memory runs out. Written by `make poison`.

{n_run} of {n_cases} cases were run. **Innocent rows that failed: {n_innocents}. Cases in which the poison rows, and they alone,
failed: {n_good}.** The largest number of calls of an innocent row beyond its first: {most_extra}.

| poison | death | executor | `-c` | `retries` | lease | failed | innocents failed | innocents called again (times: rows) | workers lost | seconds |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def cases() -> list[Case]:
    """Return all cases, in an order that is random but always the same."""
    product = itertools.product(
        (1, 3), ("segfault", "exit", "memory"), ("thread", "process"), (1, 4, 8), (0, 1, 3), (5.0, 60.0)
    )
    found = [
        Case(n_poison=n, death=death, executor=executor, concurrency=slots, retries=retries, lease_s=lease_s)
        for n, death, executor, slots, retries, lease_s in product
    ]
    random.Random(SEED).shuffle(found)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.poison.matrix", description=__doc__)
    parser.add_argument("--first", type=int, metavar="N", help="run only the first N cases")
    parser.add_argument("--processes", type=int, default=2, help="cases at once (2)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to write the table")
    options = parser.parse_args()
    chosen = cases()[: options.first]
    bad: list[str] = []
    reports: list[Report] = []
    with ThreadPoolExecutor(options.processes) as pool:
        for one in as_completed([pool.submit(_play, case) for case in chosen]):
            report = one.result()
            reports.append(report)
            if trouble := _trouble(report):
                bad.append(trouble)
            print(f"{len(reports)}/{len(chosen)} {'BAD ' * bool(trouble)}{report}", flush=True)
            if options.report is not None:
                options.report.write_text(page(reports), encoding="utf-8")
    return 1 if bad else 0


def _play(case: Case) -> Report:
    with tempfile.TemporaryDirectory(prefix="oqkit-poison-") as folder:
        return play(case, Path(folder))


def _trouble(report: Report) -> str:
    try:
        report.check()
    except AssertionError as error:
        return str(error)
    return ""


def page(reports: Iterable[Report]) -> str:
    """Render the reports as a page."""
    found = sorted(reports, key=lambda one: str(one.case))
    return PAGE.format(
        n_run=len(found),
        n_cases=len(cases()),
        n_innocents=sum(one.n_innocents_failed for one in found),
        n_good=sum(not _trouble(one) for one in found),
        most_extra=max((one.most_extra for one in found), default=0),
        rows="\n".join(map(_row, found)),
    )


def _row(report: Report) -> str:
    case = report.case
    again = ", ".join(f"{times}: {rows:,}" for times, rows in sorted(report.extra.items())) or "none"
    cells = (
        case.n_poison,
        case.death,
        case.executor,
        case.concurrency,
        case.retries,
        f"{case.lease_s:g} s",
        len(report.failed),
        report.n_innocents_failed,
        again,
        report.n_deaths,
        f"{report.took_s:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
