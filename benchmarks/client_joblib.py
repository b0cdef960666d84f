"""joblib as a contender, with its processes up before anything is timed; and plain pandas beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from talk import serve, timed

state: dict[str, Any] = {}


def plus(x: float, y: int) -> float:
    return x + y


def prepare(path: str, n_workers: int) -> None:
    state.update(frame=pd.read_parquet(path), n=n_workers)
    Parallel(n_jobs=n_workers)(delayed(plus)(i, i) for i in range(1000))


def by_row() -> Any:
    def run() -> None:
        frame = state["frame"]
        rows = zip(frame["x"].tolist(), frame["y"].tolist(), strict=True)
        values = Parallel(n_jobs=state["n"])(delayed(plus)(x, y) for x, y in rows)
        _check(pd.Series(values, index=frame.index))

    return timed(run)


def pandas_apply() -> Any:
    return timed(lambda: _check(state["frame"].apply(lambda row: plus(row["x"], row["y"]), axis=1)))


def bare_calls() -> Any:
    def run() -> None:
        frame = state["frame"]
        values = [plus(x, y) for x, y in zip(frame["x"].tolist(), frame["y"].tolist(), strict=True)]
        _check(pd.Series(values, index=frame.index))

    return timed(run)


def _check(values: Any) -> None:
    if len(values) != len(state["frame"]):
        raise AssertionError(len(values))


if __name__ == "__main__":
    serve(prepare=prepare, by_row=by_row, pandas_apply=pandas_apply, bare_calls=bare_calls)
