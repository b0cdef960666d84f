"""Numbers, durations and times of numpy and pandas, which notebooks are full of, as Python's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def plain(value: Any) -> Any:
    """Return a number of numpy's as Python's, a duration as seconds, a ``datetime64``, which is of UTC, as a `datetime`.

    Anything else is returned as it is; what is no time, such as NaT, becomes NaN.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    kind = type(value)
    if kind.__module__ != "numpy" or not hasattr(value, "item") or getattr(value, "ndim", None):
        return value
    if kind.__name__ == "timedelta64":
        return float(value / kind(1, "s"))
    if kind.__name__ == "datetime64":
        seconds = float((value - kind(0, "s")) / (kind(1, "s") - kind(0, "s")))
        return datetime.fromtimestamp(seconds, UTC) if abs(seconds) < _FAR_S else float("nan")
    return value.item()


_FAR_S = 2.5e11
"""The year 9892: Python has no later times."""
