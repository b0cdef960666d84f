"""What oqkit's workers run under attack: each call is on record before it does anything."""

from __future__ import annotations

import time
import uuid

import pandas as pd

import oqkit as oq
from benchmarks.chaos.record import note


@oq.task
def row(x: int, wait_s: float) -> dict[str, object]:
    """One call a row. `call` tells which of several executions of a task became its outcome."""
    note([x])
    time.sleep(wait_s)
    return {"x": x, "y": 2 * x, "call": uuid.uuid4().hex}


@oq.task(batch=True)
def batch(frame: pd.DataFrame) -> pd.DataFrame:
    """A slice of the frame at once."""
    note(frame["x"].tolist())
    time.sleep(float(frame["wait_s"].sum()))
    return pd.DataFrame({"x": frame["x"], "y": 2 * frame["x"], "call": uuid.uuid4().hex}, index=frame.index)


@oq.task
def single(x: int, wait_s: float) -> dict[str, object]:
    """Submitted one by one."""
    return row(x, wait_s)
