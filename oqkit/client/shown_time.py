"""Stored moments as times in the frames that people look at."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def shown_times(moments: Iterable[float | None]) -> pd.DatetimeIndex:
    """Return epoch seconds as times (UTC) cut to milliseconds, NaT for None and NaN.

    In microseconds, since nanoseconds end in 2262, and a document may hold any moment until the year 3047.
    """
    micros = np.round(np.array(list(moments), "float64") * 1e6)
    return pd.DatetimeIndex(micros.astype("datetime64[us]"), tz="UTC").floor("ms")
