"""The functions of the stored queues: what they return says whether a later version runs them rightly."""

from __future__ import annotations

import threading

import pandas as pd

import oqkit as oq

is_bad = threading.Event()
"""While it is set, `picky` fails every third number."""
held = threading.Event()
go_on = threading.Event()


@oq.task(name="double")
def double(x: int) -> int:
    return 2 * x


@oq.task(name="parts", batch=True)
def parts(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": frame["x"] * 2, "y": frame["y"]})


@oq.task(name="picky", retries=0)
def picky(x: int) -> dict[str, object]:
    if is_bad.is_set() and x % 3 == 0:
        raise oq.PermanentError(f"{x} will not do")
    return {"x": x, "text": f"number {x} é"}


@oq.task(name="hold")
def hold(x: int) -> int:
    """Return at once, but for number 5 while the queue is made."""
    if x == 5 and not go_on.is_set():
        held.set()
        go_on.wait()
    return -x


@oq.task(name="again", retries=5)
def again(x: int) -> int:
    if is_bad.is_set():
        raise ValueError("not yet")
    return x + 1
