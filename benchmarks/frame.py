"""How long a million rows take, next to writing and reading them as Parquet, and next to calling the function.

``make bench`` runs this. Times are ratios within one run, since machines differ and are noisy; the
budgets are those of the README. Exits with 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import oqkit as oq

PARQUET_RATIO = 15.0
OVERHEAD_US = 5.0


@oq.task(batch=True)
def add_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Add a column, a slice at a time."""
    return frame.assign(z=frame["x"] + frame["y"])


def plus(x: float, y: int) -> float:
    """Add two columns, a row at a time."""
    return x + y


def main() -> int:
    """Measure and print; return 0 if every budget holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n = options.rows
    df = pd.DataFrame({"x": rng.random(n), "y": np.arange(n), "s": [f"customer {i % 1000}" for i in range(n)]})
    with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
        return _measure(df, Path(folder), rounds=options.rounds)


def _measure(df: pd.DataFrame, folder: Path, *, rounds: int) -> int:
    queue = oq.connect(folder / "queue")
    with oq.local_workers(1):
        queue.submit(plus, {"x": 1, "y": 1}).result(60)  # the worker is up
        ratios, overheads = [], []
        for _ in range(rounds):
            parquet_s = _time(lambda: _parquet(df, folder / "frame.parquet"))
            batch_s = _time(lambda: _job(queue, df, add_column))
            bare_s = _time(lambda: [plus(x, y) for x, y in zip(df["x"].tolist(), df["y"].tolist(), strict=True)])
            rows_s = _time(lambda: _job(queue, df, plus))
            ratios.append(batch_s / parquet_s)
            overheads.append((rows_s - bare_s) / len(df) * 1e6)
            print(
                f"parquet {parquet_s:.2f} s  batch job {batch_s:.2f} s  bare calls {bare_s:.2f} s  row job {rows_s:.2f} s"
            )
    good = _verdict("batch job / (to_parquet + read_parquet)", statistics.median(ratios), PARQUET_RATIO, "x")
    return (
        0 if _verdict("row job beyond calling, a row", statistics.median(overheads), OVERHEAD_US, "µs") and good else 1
    )


def _verdict(what: str, value: float, budget: float, unit: str) -> bool:
    print(f"{what}: median {value:.2f} {unit}, budget {budget:g} {unit}: {'holds' if value <= budget else 'BROKEN'}")
    return value <= budget


def _parquet(df: pd.DataFrame, path: Path) -> None:
    df.to_parquet(path)
    pd.read_parquet(path)


def _job(queue: oq.Queue, df: pd.DataFrame, function: Callable[..., object]) -> None:
    result = queue.submit_frame(df, function, on_duplicate="rerun").result(600)
    if len(result) != len(df):
        raise AssertionError(f"{len(result)} rows came back of {len(df)}")


def _time(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
