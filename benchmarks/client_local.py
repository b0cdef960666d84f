"""oqkit on a directory: a submitter or a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from talk import serve, timed
from work import add_column, nap, plus, score

import oqkit as oq

FUNCTIONS: dict[str, Any] = {"plus": plus, "score": score, "add_column": add_column}
state: dict[str, Any] = {}


def open_queue(folder: str) -> None:
    state.update(queue=oq.connect(Path(folder, "queue"), data_roots=[folder]), folder=Path(folder))


def make(n: int) -> None:
    state["frame"] = pd.DataFrame({"x": np.random.default_rng(0).random(n), "y": np.arange(n)})


def start() -> None:
    worker = oq.Worker(state["queue"], [plus, score, add_column, nap])
    threading.Thread(target=worker.run, daemon=True).start()


def job(function: str, n: int) -> Any:
    frame, called = state["frame"][:n], FUNCTIONS[function]

    def run() -> None:
        done = state["queue"].submit_frame(frame, called, on_duplicate="rerun").result(1200)
        if len(done) != len(frame):
            raise AssertionError(len(done))

    return timed(run)


def write(n: int, rows_a_file: int) -> None:
    folder = state["folder"] / "data"
    folder.mkdir()
    for first in range(0, n, rows_a_file):
        x = np.random.default_rng(first).random(rows_a_file)
        frame = pd.DataFrame({"x": x, "y": np.arange(first, first + rows_a_file)})
        frame.to_parquet(folder / f"{first:012d}.parquet", row_group_size=100_000)


def repeat(times: int) -> None:
    """Make so many files of the one that was written, by links: their row groups are all that counts."""
    (one,) = (state["folder"] / "data").iterdir()
    for number in range(1, times):
        (one.parent / f"copy-{number:06d}.parquet").hardlink_to(one)


def submit() -> Any:
    """Submit the files, and do nothing more."""
    return timed(lambda: state["queue"].submit_dataset(str(state["folder"] / "data"), add_column))


def dataset(n: int, function: str = "plus") -> Any:
    def run() -> None:
        job = state["queue"].submit_dataset(str(state["folder"] / "data"), FUNCTIONS[function])
        n_rows = sum(len(frame) for frame in job.as_completed(1200))
        if n_rows != n:
            raise AssertionError(n_rows)

    return timed(run)


def naps(n: int) -> Any:
    frame = pd.DataFrame({"i": range(n)})
    return timed(lambda: state["queue"].submit_frame(frame, nap, on_duplicate="rerun").result(1200))


def floor(rounds: int) -> Any:
    frame, path = state["frame"], state["folder"] / "floor.parquet"

    def parquet() -> None:
        frame.to_parquet(path)
        pd.read_parquet(path)

    return {"parquet": _median(parquet, rounds), "bare": _median(_bare_calls(plus, frame), rounds)}


def bare_call_us(function: str, n: int) -> float:
    """Return the processor time of a bare call of a row function, in microseconds: as fast as this machine is just now."""
    frame = state["frame"][:n]
    return timed(_bare_calls(FUNCTIONS[function], frame))["cpu_s"] / len(frame) * 1e6


def _bare_calls(called: Any, frame: pd.DataFrame) -> Callable[[], object]:
    x, y = frame["x"].tolist(), frame["y"].tolist()
    return lambda: [called(a, b) for a, b in zip(x, y, strict=True)]


def _median(run: Callable[[], object], rounds: int) -> dict[str, float]:
    """Run once to be warm, then `rounds` times more."""
    _, *found = [timed(run) for _ in range(rounds + 1)]
    return {name: median([one[name] for one in found]) for name in found[0]}


if __name__ == "__main__":
    serve(
        open=open_queue,
        make=make,
        start=start,
        job=job,
        naps=naps,
        write=write,
        dataset=dataset,
        repeat=repeat,
        submit=submit,
        floor=floor,
        bare_call_us=bare_call_us,
    )
