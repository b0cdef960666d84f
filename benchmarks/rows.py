"""100,000 calls of a trivial function, a row each, end to end: two processes that are up already, a local directory.

Every round runs each contender once (but `client.map` only once at all, with a twentieth of the rows): oqkit (submit, run, result), Dask by `client.map` and by
`map_partitions`, joblib, pandas' `apply` and the bare calls in one process.
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
from peer import python_of
from stage import save
from talk import Client
from work import plus

import oqkit as oq

MAPPED = 20
WARM = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rng, n = np.random.default_rng(0), options.rows
    frame = pd.DataFrame({"x": rng.random(n), "y": np.arange(n)})
    rounds: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="oqkit-bench-") as folder,
        Client("dask", python=python_of("dask")) as dask,
        Client("joblib", python=python_of("joblib")) as joblib,
    ):
        path = Path(folder, "frame.parquet")
        frame.to_parquet(path)
        for client in (dask, joblib):
            client.ask("prepare", path=str(path), n_workers=options.workers)
        queue = oq.connect(Path(folder, "queue"))
        with oq.local_workers(options.workers, ["work:plus"], queue=queue):
            for _ in range(WARM):
                _once(queue, frame)
            for number in range(options.rounds):
                took = {
                    "oqkit": _once(queue, frame),
                    "Dask map_partitions": dask.ask("by_partition", partitions=1)["s"],
                    "joblib": joblib.ask("by_row")["s"],
                    "pandas apply": joblib.ask("pandas_apply")["s"],
                    "bare calls": joblib.ask("bare_calls")["s"],
                }
                if not number:  # a fraction of a millisecond each: a part of the rows tells the pace
                    took["Dask client.map"] = dask.ask("by_map", n=n // MAPPED, batch=1000)["s"] * MAPPED
                for name, seconds in took.items():
                    rounds.setdefault(name, []).append(seconds)
                print({name: round(seconds, 3) for name, seconds in took.items()}, flush=True)
    figures: dict[str, Any] = {name: {"s": median(seconds), "rounds": seconds} for name, seconds in rounds.items()}
    print({name: round(found["s"], 3) for name, found in figures.items()})
    save("rows", {"n": n, "workers": options.workers, "contenders": figures})


def _once(queue: oq.Queue, frame: pd.DataFrame) -> float:
    began = time.perf_counter()
    result = queue.submit_frame(frame, plus, on_duplicate="rerun").result(600)
    seconds = time.perf_counter() - began
    if len(result) != len(frame):
        raise AssertionError(len(result))
    return seconds


if __name__ == "__main__":
    main()
