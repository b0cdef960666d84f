"""How long a million rows take, next to writing and reading them as Parquet, and next to calling the function.

Times are ratios within one run, since machines differ and are noisy. Says whether the budgets hold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from stage import save
from work import add_column, plus

import oqkit as oq

PARQUET_RATIO = 15.0
OVERHEAD_US = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n = options.rows
    df = pd.DataFrame({"x": rng.random(n), "y": np.arange(n), "s": [f"customer {i % 1000}" for i in range(n)]})
    with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
        _measure(df, Path(folder), rounds=options.rounds)


def _measure(df: pd.DataFrame, folder: Path, *, rounds: int) -> None:
    queue = oq.connect(folder / "queue")
    with oq.local_workers(1, ["work:plus", "work:add_column"], queue=queue):
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
    _verdict("batch job / (to_parquet + read_parquet)", median(ratios), PARQUET_RATIO, "x")
    _verdict("row job beyond calling, a row", median(overheads), OVERHEAD_US, "µs")
    save(
        "frame",
        {"n": len(df), "rounds": rounds, "parquet_ratio": median(ratios), "overhead_us": median(overheads)},
    )


def _verdict(what: str, value: float, budget: float, unit: str) -> None:
    print(f"{what}: median {value:.2f} {unit}, budget {budget:g} {unit}: {'holds' if value <= budget else 'BROKEN'}")


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
    main()
