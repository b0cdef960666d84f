"""The fingerprint of a table: the same for equal content, however it lies in memory, and for no other."""

from __future__ import annotations

import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from oqkit.arrow.digest import hash_table
from oqkit.arrow.table import Frame, fingerprint, to_table
from tests.arrow.roundtrip import NAN, array_of


def mixed(n=1000):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "f": np.where(rng.random(n) < 0.1, NAN, rng.random(n)),
            "i": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "s": [None if x % 7 == 0 else f"s{x}" for x in range(n)],
            "b": rng.random(n) < 0.5,
            "l": [[x] * (x % 3) for x in range(n)],
            "d": [{"a": x, "b": [str(x)]} if x % 5 else None for x in range(n)],
            "c": pd.Categorical([f"c{x % 3}" for x in range(n)]),
            "p": pd.period_range("2020", periods=n, freq="D"),
            "u": [uuid.UUID(int=x) for x in range(n)],
            "set": [{x, "a"} for x in range(n)],
        },
        index=pd.Index([f"i{x}" for x in range(n)], name="key"),
    )


def digest(table, layout):
    return fingerprint(Frame(table=table, layout=layout))


def test_fingerprint_is_independent_of_chunks_and_offsets():
    frame = to_table(mixed())
    cut = pa.concat_tables(
        [frame.table.slice(0, 13), frame.table.slice(13, 0), frame.table.slice(13, 500), frame.table.slice(513)]
    )
    padded = pa.concat_tables([frame.table.slice(5, 3), frame.table]).slice(3)

    assert digest(cut, frame.layout) == fingerprint(frame)
    assert digest(padded, frame.layout) == fingerprint(frame)
    assert digest(padded.combine_chunks(), frame.layout) == fingerprint(frame)


@pytest.mark.parametrize("name", mixed(2).columns)
def test_fingerprint_changes_with_one_value(name):
    one, other = mixed(50), mixed(51)
    swapped = pd.concat([other.iloc[:49], other.iloc[50:]])
    swapped = swapped.assign(
        **{it: one[it].to_numpy() if one[it].dtype == object else one[it].array for it in one if it != name}
    )
    swapped.index = one.index
    if swapped[name].iloc[-1] == one[name].iloc[-1]:
        swapped.loc[swapped.index[-1], name] = not one[name].iloc[-1] if name == "b" else one[name].iloc[-2]

    assert fingerprint(to_table(swapped)) != fingerprint(to_table(one))


@pytest.mark.parametrize(
    "change",
    (
        lambda df: df.rename(columns={"f": "g"}),
        lambda df: df.rename_axis(index="other"),
        lambda df: df.iloc[::-1],
        lambda df: df.reset_index(drop=True),
        lambda df: df.astype({"i": "int64"}),
        lambda df: df[["i", "f"]],
        lambda df: df.iloc[:0],
        lambda df: df.fillna({"f": 0.0}),
        lambda df: df.assign(f=df["f"].where(df["f"].notna(), None).astype(object)),
    ),
)
def test_fingerprint_changes_with_names_types_order_and_index(change):
    df = mixed(50)[["f", "i"]]

    assert fingerprint(to_table(change(df))) != fingerprint(to_table(df))


@pytest.mark.parametrize("one_null", ([None, "ab"], ["ab", None]))
def test_fingerprint_tells_null_from_empty_and_shifted_text(one_null):
    digests = {
        fingerprint(to_table(pd.DataFrame({"x": pd.array(values, dtype="str")})))
        for values in (one_null, ["", "ab"], ["a", "b"], ["ab", ""])
    }

    assert len(digests) == 4


def test_fingerprint_ignores_what_lies_under_a_null():
    tables = [pa.table({"x": pa.array(np.array([1, hidden]), mask=np.array([False, True]))}) for hidden in (2, 3)]

    assert hash_table(tables[0]) == hash_table(tables[1])


@pytest.mark.parametrize(
    ("one", "other"),
    (
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([[1], None], [[1], []]),
        ([None], [None, None]),
        ([{"a": None}], [None]),
        ([(1, 2)], [[1, 2]]),
        ([1], [True]),
        ([1], [1.0]),
        ([True, False], [False, True]),
    ),
)
def test_fingerprint_tells_like_columns_apart(one, other):
    digests = {hash_table(to_table(pd.DataFrame({"x": array_of(*values)})).table) for values in (one, other)}

    assert len(digests) == 2


def test_fingerprint_tells_a_number_from_text_as_column_name():
    frames = [pd.DataFrame([[1]], columns=pd.Index([name], dtype=object)) for name in (1, "1")]

    assert fingerprint(to_table(frames[0])) != fingerprint(to_table(frames[1]))


def test_fingerprint_is_the_same_in_another_process():
    code = (
        "import pandas as pd; from oqkit.arrow.table import *; "
        "print(fingerprint(to_table(pd.DataFrame({'x': [{'b', 'a', 'c', 'd'}, {1}], 'y': ['u', 'v']}, index=['i', 'j']))))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1
