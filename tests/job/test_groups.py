"""Jobs of groups give what pandas' ``groupby.apply`` gives: generated frames, keys of many types, functions of many shapes."""

from __future__ import annotations

import itertools
import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oqkit as oq
from tests.local import work_off

EXAMPLES = int(os.environ.get("OQ_FUZZ_FRAMES", "12"))
_numbers = itertools.count()


def categories(labels, *, ordered=False):
    return lambda picks: pd.Categorical(
        [None if pick == 3 else labels[pick] for pick in picks], categories=labels, ordered=ordered
    )


def values(choices, dtype=None):
    return lambda picks: pd.Series([choices[pick] for pick in picks], dtype=dtype).array


KEYS = {
    "int64": values([3, 1, 2, 7]),
    "int8": values([3, 1, 2, 7], "int8"),
    "Int64": values([3, 1, 2, pd.NA], "Int64"),
    "float64": values([0.5, -1.0, 2.0, np.nan], "float64"),
    "bool": values([True, False, True, False]),
    "boolean": values([True, False, True, pd.NA], "boolean"),
    "str": values(["b", "a", "ä", None], "str"),
    "string": values(["b", "a", "ä", pd.NA], "string"),
    "object": values(["b", "a", "ä", None], object),
    "category": categories(["z", "b", "a", "unused"]),
    "ordered": categories(["z", "b", "a", "unused"], ordered=True),
    "category of int": categories([5, 3, 4, 9]),
    "datetime": values([*pd.to_datetime(["2024-03-01", "2023-01-01", "2024-03-02"]), pd.NaT]),
    "zoned": values([*pd.to_datetime(["2024-03-31", "2023-01-01", "2024-10-27"]).tz_localize("Europe/Paris"), pd.NaT]),
    "timedelta": values([*pd.to_timedelta([3, 1, 2], unit="h"), pd.NaT]),
    "period": values(
        [pd.Period("2024-03", "M"), pd.Period("2023-01", "M"), pd.Period("2024-05", "M"), pd.NaT], "period[M]"
    ),
    "decimal": values([Decimal("1.5"), Decimal("0.5"), Decimal(2), Decimal(3)], object),
    "date": values([*pd.to_datetime(["2024-03-01", "2023-01-01", "2024-03-02", "2020-01-01"]).date], object),
}
INDEXES = {
    "range": pd.RangeIndex,
    "range from ten": lambda n: pd.RangeIndex(10, 10 + 2 * n, 2, name="no"),
    "text": lambda n: pd.Index([f"r{row}" for row in range(n)], dtype="str", name="label"),
    "twice": lambda n: pd.Index([row // 2 for row in range(n)]),
    "levels": lambda n: pd.MultiIndex.from_tuples([(row % 2, f"r{row}") for row in range(n)], names=["half", None]),
    "times": lambda n: pd.date_range("2024-03-30", periods=n, freq="h", tz="Europe/Paris", name="at"),
}


def total(g):
    return g["x"].sum()


def size(g):
    return len(g)


def word(g):
    return "-".join(map(str, g["n"]))


def positive(g):
    return g[g["x"] > 0]


def top(g):
    return g.nlargest(2, "n").assign(share=lambda top: top["x"] / len(g))


def renumbered(g):
    return g.reset_index(drop=True)


def facts(g):
    return pd.Series({"n": len(g), "mean": g["x"].mean()})


def mixed(g):
    return pd.Series({"n": len(g), "word": "w" * len(g), "last": g["n"].iloc[-1]}, name="facts")


def shares(g):
    return g["x"] / len(g)


def counts(g):
    return g["n"].value_counts().sort_index()


def sometimes(g):
    return g if len(g) > 1 else None


FUNCTIONS = (total, size, word, positive, top, renumbered, facts, mixed, shares, counts, sometimes)


@st.composite
def frames(draw):
    n_rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=2))
    frame = pd.DataFrame(index=INDEXES[draw(st.sampled_from(sorted(INDEXES)))](n_rows))
    picks = st.lists(st.integers(0, 3), min_size=n_rows, max_size=n_rows)
    for number, name in enumerate(names):
        frame[f"k{number}"] = KEYS[name](draw(picks))
    frame["x"] = draw(st.lists(st.integers(-4, 4), min_size=n_rows, max_size=n_rows))
    frame["x"] /= 4
    frame["n"] = draw(st.lists(st.integers(0, 3), min_size=n_rows, max_size=n_rows))
    by = [f"k{number}" for number in range(len(names))]
    return frame, by[0] if len(by) == 1 and draw(st.booleans()) else by


def expected(frame, by, function, name, **how):
    """Return what pandas gives, a Series as a frame of its values; None if it gives nothing that has keys."""
    grouped = frame.groupby(by, observed=True, **how)[[one for one in frame if one not in np.atleast_1d(by)]]
    found = grouped.apply(function)
    if isinstance(found, pd.Series):
        found = found.to_frame(name if found.name is None else found.name)
    return found if found.index.nlevels >= len(np.atleast_1d(by)) and found.shape[1] else None


def by_values(frame):
    """Return a frame that says the same by its values.

    pandas 2 keeps a null key among the levels of its index, which no value shows, but of categories only those that occur; and
    texts, of which oqkit makes what pandas 3 does with any function, are objects there.
    """
    index = frame.index
    if pd.__version__ < "3":
        texts = [name for name in frame if isinstance(frame[name].dtype, pd.StringDtype)]
        frame = frame.astype(dict.fromkeys(texts, object))
    if not isinstance(index, pd.MultiIndex):
        return frame
    levels = [index.get_level_values(number) for number in range(index.nlevels)]
    if pd.__version__ < "3":
        levels = [level.astype(level.categories.dtype) if hasattr(level, "categories") else level for level in levels]
    return frame.set_axis(pd.MultiIndex.from_arrays(levels, names=index.names))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_frame=frames(), function=st.sampled_from(FUNCTIONS), sort=st.booleans(), dropna=st.booleans())
def test_result_is_that_of_pandas(given_frame, function, sort, dropna):
    frame, by = given_frame
    queue = oq.connect(f"memory://groups-{next(_numbers)}")
    job = queue.submit_frame(frame, function, by=by, sort=sort, dropna=dropna)
    work_off(queue)
    got = job.result(timeout=30)
    if not len(job) or got.columns.tolist() == ["sometimes"]:  # no group, or None of all: pandas forgets the keys
        assert got.isna().all(axis=None)
        assert len(got) == len(job)
        return
    try:
        want = expected(frame, by, function, function.__name__, sort=sort, dropna=dropna)
    except (TypeError, ValueError):  # pandas has trouble of its own with some keys
        return
    if want is None:
        assert got.empty
        return
    pd.testing.assert_frame_equal(by_values(got), by_values(want), check_freq=False)


@pytest.mark.parametrize("function", (total, top, facts))
def test_another_process_gives_the_same_result(queue, function):
    frame = pd.DataFrame({"k": list("abcab"), "x": [1.0, -2.0, 3.0, 4.0, 5.0], "n": range(5)})
    job = queue.submit_frame(frame, function, by="k", part_rows=2)
    work_off(queue, executor="process")
    again = queue.job(job.id).result(timeout=30)
    pd.testing.assert_frame_equal(again, job.result())
    pd.testing.assert_frame_equal(job.result(), expected(frame, "k", function, function.__name__))
