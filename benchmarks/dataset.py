"""Files that do not fit into memory: how long 100,000,000 rows take to submit, and what 10,000,000 cost to run.

The first is about the submitter alone, and files of 1,000,000 rows in row groups of 100,000. In the second two workers run a batch
function, each a process of its own, and the results are taken as they come.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stage import save
from talk import Client

ROWS_A_FILE = 10**6
N_WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submit", type=int, default=10**8, help="rows that are submitted")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**5, 10**7], help="rows that are run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
        submitted = {"n": options.submit, **_submitted(options.submit, folder)}
    print(submitted, flush=True)
    sizes: list[dict[str, Any]] = []
    for n in options.sizes:
        with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
            sizes.append({"n": n, **_run(n, folder)})
        print(sizes[-1], flush=True)
    print(f"a row: {sizes[-1]['us_a_row'] / sizes[0]['us_a_row']:.2f} times that of the smallest")
    save("dataset", {"submitted": submitted, "sizes": sizes})


def _submitted(n: int, folder: str) -> dict[str, float]:
    with Client("local") as writer:
        writer.ask("open", folder=folder)
        writer.ask("write", n=ROWS_A_FILE, rows_a_file=ROWS_A_FILE)
        writer.ask("repeat", times=n // ROWS_A_FILE)
    with Client("local") as submitter:
        submitter.ask("open", folder=folder)
        before = submitter.ask("peak_mib")
        took = submitter.ask("submit")
        job_bytes = max(path.stat().st_size for path in Path(folder, "queue").rglob("jobs/**/*") if path.is_file())
        return {
            "s": took["s"],
            "cpu_s": took["cpu_s"],
            "before_mib": before,
            "mib": submitter.ask("peak_mib"),
            "job_bytes": job_bytes,
        }


def _run(n: int, folder: str) -> dict[str, Any]:
    with Client("local") as writer:
        writer.ask("open", folder=folder)
        writer.ask("write", n=n, rows_a_file=min(n, ROWS_A_FILE))
    with ExitStack() as clients:
        submitter, *workers = [clients.enter_context(Client("local")) for _ in range(1 + N_WORKERS)]
        for client in (submitter, *workers):
            client.ask("open", folder=folder)
        for worker in workers:
            worker.ask("start")
        took = submitter.ask("dataset", n=n, function="add_column")
        cpu_s = took["cpu_s"] + sum(worker.ask("cpu_s") for worker in workers)
        return {
            "s": took["s"],
            "us_a_row": took["s"] / n * 1e6,
            "cpu_us_a_row": cpu_s / n * 1e6,
            "submitter_mib": submitter.ask("peak_mib"),
            "workers_mib": [worker.ask("peak_mib") for worker in workers],
        }


if __name__ == "__main__":
    main()
