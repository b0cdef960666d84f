"""Which rows somebody means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.client.selection import select
from oqkit.queue.transition import Status

ALLOWED = (Status.FAILED, Status.CANCELLED)
NAMED = pd.Index(["a", "b", "c", "b"])
DAYS = pd.date_range("2030-01-01", periods=4, tz="UTC")
LEVELS = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
MIXED = pd.Index([3, 0, 1, 2])


def rows(where, index=NAMED):
    statuses, found = select(where, ALLOWED, n_tasks=4, index=lambda: index)
    assert statuses == ALLOWED
    return list(found)


@pytest.mark.parametrize(
    ("where", "index", "expected"),
    (
        (["c", "a"], NAMED, [0, 2]),
        (np.array(["b"]), NAMED, [1, 3]),
        (NAMED[1:3], NAMED, [1, 2, 3]),
        ([DAYS[2]], DAYS, [2]),
        (DAYS[2], DAYS, [2]),
        (DAYS[[0, 3]], DAYS, [0, 3]),
        ([("b", 1)], LEVELS, [2]),
        (LEVELS[:2], LEVELS, [0, 1]),
        (pd.Index([3]), MIXED, [0]),
        ([3], MIXED, [3]),
        (pd.Index([float("nan")]), pd.Index([1.0, float("nan"), 2.0, 3.0]), [1]),
        (pd.DataFrame({"row": [0, 2], "type": "E"}, index=["a", "c"]), NAMED, [0, 2]),
        (pd.Series([0, 2], index=["a", "c"]), NAMED, [0, 2]),
        ([], NAMED, []),
        (pd.Index([]), NAMED, []),
        (np.array([True, False, False, True]), NAMED, [0, 3]),
        (pd.Series([True, False, False, True]), NAMED, [0, 3]),
        (pd.Series([True, False, False, True], index=NAMED), NAMED, [0, 3]),
        (pd.Series([True, False, False, False], index=[0, 1, 2, 3]), MIXED, [1]),
        (pd.Series([True, None, False, True], dtype="boolean"), NAMED, [0, 3]),
        (pd.Series([True, None, False, True], dtype="bool[pyarrow]"), NAMED, [0, 3]),
    ),
)
def test_rows_are_meant_by(where, index, expected):
    assert rows(where, index) == expected


@pytest.mark.parametrize(
    ("where", "told"),
    (
        (["a", "z"], "no row labelled 'z'"),
        (pd.Index([7]), "no row labelled 7"),
        (pd.Series([True] * 4, index=list("wxyz")), "another index than the submitted frame"),
        (pd.Series([True] * 3, index=list("abc")), "the mask has shape .3,.; it must have one value for each of 4 rows"),
        ([0.5], "give row numbers from 0 to 3"),
        ([{"a"}], "are no labels of the submitted frame"),
        (None, "no row labelled None"),
    ),
)  # fmt: skip
def test_refused_is(where, told):
    with pytest.raises(oq.UsageError, match=told):
        rows(where)


def test_labels_are_read_only_if_they_are_asked_for():
    def unread():
        raise AssertionError("it was read")

    for where in ("all", "failed", [1, 2], np.array([True] * 4)):
        select(where, ALLOWED, n_tasks=4, index=unread)
