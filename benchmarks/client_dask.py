"""Dask as a contender: a local cluster of processes with one thread each, up before anything is timed."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import pandas as pd
from distributed import Client, LocalCluster
from talk import serve, timed

state: dict[str, Any] = {}


def plus(x: float, y: int) -> float:
    return x + y


def each_row(frame: pd.DataFrame) -> pd.Series:
    values = [plus(x, y) for x, y in zip(frame["x"].tolist(), frame["y"].tolist(), strict=True)]
    return pd.Series(values, index=frame.index)


def prepare(path: str, n_workers: int) -> None:
    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None)
    state.update(client=Client(cluster), frame=pd.read_parquet(path), n=n_workers)
    state["client"].gather(state["client"].map(plus, range(100), range(100)))


def by_map(n: int, batch: int) -> Any:
    def run() -> None:
        client, frame = state["client"], state["frame"][:n]
        futures = client.map(plus, frame["x"].tolist(), frame["y"].tolist(), pure=False, batch_size=batch)
        if len(client.gather(futures)) != n:
            raise AssertionError(n)

    return timed(run)


def by_partition(partitions: int) -> Any:
    def run() -> None:
        parts = dd.from_pandas(state["frame"], npartitions=partitions * state["n"], sort=False)
        _check(parts.map_partitions(each_row, meta=(None, "f8")).compute())

    return timed(run)


def _check(values: Any) -> None:
    if len(values) != len(state["frame"]):
        raise AssertionError(len(values))


if __name__ == "__main__":
    serve(prepare=prepare, by_map=by_map, by_partition=by_partition)
