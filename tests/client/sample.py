"""A frame and functions that the tests of submissions send."""

from __future__ import annotations

import pandas as pd

FRAME = pd.DataFrame({"x": [1, 2, 3], "unused": ["a", "b", "c"]})
RATE = 2


def scaled(x):
    return x * RATE


def other(x):
    return x * RATE + 1


def n_jobs(queue):
    return len(queue.jobs())
