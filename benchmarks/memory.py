"""The most memory that submitter and worker ever have, for a frame and for a dataset of Parquet files.

The results of the dataset are taken as they come, so nobody holds more than a part of them.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

from stage import save
from talk import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**6, 10**7])
    options = parser.parse_args()
    figures: list[dict[str, Any]] = []
    for n in options.sizes:
        with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
            figures.append({"n": n, **_measure(n, folder)})
        print(figures[-1], flush=True)
    save("memory", {"sizes": figures})


def _measure(n: int, folder: str) -> dict[str, float]:
    with Client("local") as writer:
        writer.ask("open", folder=folder)
        writer.ask("write", n=n, rows_a_file=10**6)
    with Client("local") as submitter, Client("local") as worker:
        for client in (submitter, worker):
            client.ask("open", folder=folder)
        before = {"submitter_before": submitter.ask("peak_mib"), "worker_before": worker.ask("peak_mib")}
        worker.ask("start")
        took = submitter.ask("dataset", n=n)
        return {
            **before,
            "submitter_mib": submitter.ask("peak_mib"),
            "worker_mib": worker.ask("peak_mib"),
            "s": took["s"],
            "cpu_us_a_row": (took["cpu_s"] + worker.ask("cpu_s")) / n * 1e6,
        }


if __name__ == "__main__":
    main()
