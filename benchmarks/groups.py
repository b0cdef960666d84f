"""A million rows in 50,000 groups of very uneven size, end to end, against pandas' ``groupby.apply`` in this process.

Every round runs both one after the other, for a function that gives a value, one that gives a Series and one that gives
rows of a frame: two worker processes that are up already, a local directory. The results are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from stage import save
from work import balance, largest, mean_paid

import oqkit as oq

FUNCTIONS = (mean_paid, balance, largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    frame, rounds = _frame(options.rows, options.groups), dict[str, list[dict[str, float]]]()
    with tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder:
        queue = oq.connect(Path(folder, "queue"))
        names = [f"work:{function.name}" for function in FUNCTIONS]
        with oq.local_workers(options.workers, names, queue=queue):
            for function in FUNCTIONS:
                _submitted(queue, frame.iloc[: options.rows // 100], function)
            for _ in range(options.rounds):
                for function in FUNCTIONS:
                    took = _round(queue, frame, function)
                    print(function.name, {name: round(value, 2) for name, value in took.items()}, flush=True)
                    rounds.setdefault(function.name, []).append(took)
    figures: dict[str, Any] = {
        name: {"ratio": median(one["ratio"] for one in found), "rounds": found} for name, found in rounds.items()
    }
    print({name: round(found["ratio"], 2) for name, found in figures.items()})
    save("groups", {"n": options.rows, "groups": options.groups, "workers": options.workers, "functions": figures})


def _frame(n_rows: int, n_groups: int) -> pd.DataFrame:
    """Return rows of which each is in a group by Zipf's law: the second largest has half as many as the largest, and so on."""
    rng, ranks = np.random.default_rng(0), np.arange(1, n_groups + 1)
    drawn = rng.choice(n_groups, n_rows - n_groups, p=1 / ranks / (1 / ranks).sum())
    numbers = rng.permutation(np.concatenate([np.arange(n_groups), drawn]))  # none is empty
    return pd.DataFrame({"customer": numbers, "paid": rng.random(n_rows), "day": rng.integers(0, 365, n_rows)})


def _round(queue: oq.Queue, frame: pd.DataFrame, function: Any) -> dict[str, float]:
    began = time.perf_counter()
    want = frame.groupby("customer")[["paid", "day"]].apply(function.function)
    pandas_s = time.perf_counter() - began
    began = time.perf_counter()
    got = _submitted(queue, frame, function)
    oqkit_s = time.perf_counter() - began
    want = want.to_frame(function.name) if isinstance(want, pd.Series) else want
    pd.testing.assert_frame_equal(got, want)
    return {"pandas_s": pandas_s, "oqkit_s": oqkit_s, "ratio": oqkit_s / pandas_s}


def _submitted(queue: oq.Queue, frame: pd.DataFrame, function: Any) -> pd.DataFrame:
    found: pd.DataFrame = queue.submit_frame(frame, function, by="customer", on_duplicate="rerun").result(600)
    return found


if __name__ == "__main__":
    main()
