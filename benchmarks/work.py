"""The functions that oqkit runs in benchmarks, in a module that workers can import."""

from __future__ import annotations

import time

import pandas as pd

import oqkit as oq

started: dict[str, float] = {}


@oq.task
def noop(i: int) -> int:
    return i


@oq.task
def note(tag: str) -> None:
    started[tag] = time.monotonic()


@oq.task
def plus(x: float, y: int) -> float:
    return x + y


@oq.task
def score(x: float, y: int) -> float:
    """Take some 10 µs."""
    total = float(y)
    for power in range(1, 131):
        total += x**power / power
    return total


@oq.task
def nap(i: int) -> int:
    time.sleep(0.005)
    return i


@oq.task(batch=True)
def add_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(z=frame["x"] + frame["y"])


@oq.task
def mean_paid(orders: pd.DataFrame) -> float:
    return float(orders["paid"].mean())


@oq.task
def balance(orders: pd.DataFrame) -> pd.Series:
    return pd.Series({"n": len(orders), "paid": orders["paid"].sum(), "most": orders["paid"].max()})


@oq.task
def largest(orders: pd.DataFrame) -> pd.DataFrame:
    return orders.nlargest(2, "paid")
