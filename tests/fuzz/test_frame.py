"""What a function sees of a frame, and what comes back, is what a call in this process sees and gives; or it is refused.

``OQ_FUZZ_FRAMES=2000 pytest tests/fuzz/test_frame.py`` is the long run.
"""

from __future__ import annotations

import os
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import oqkit as oq
from oqkit.errors import SchemaError
from tests.fuzz.agree import agrees
from tests.fuzz.frame import pandas_frame, polars_frame
from tests.local import WAIT_S

N_FRAMES = int(os.environ.get("OQ_FUZZ_FRAMES", "160"))
SEEN: dict[str, list] = {}
"""What the functions were called with, by the number of the frame; workers are threads of this process."""


def look(**row):
    """Note a row, and return it."""
    SEEN.setdefault("rows", []).append(row)
    return row


@oq.task(batch=True)
def give(frame):
    """Note a slice, and return it."""
    SEEN.setdefault("slices", []).append(frame.copy() if isinstance(frame, pd.DataFrame) else frame.clone())
    return frame


@pytest.mark.parametrize("share", range(4))
def test_pandas_frame_is_what_a_batch_function_sees_and_gives(queue, start, share):
    start()
    refused, wrong = 0, []
    for seed in range(share, N_FRAMES, 4):
        df = pandas_frame(seed)
        SEEN.clear()
        try:
            job = queue.submit_frame(df, give, part_rows=5, name=f"frame {seed}")
        except SchemaError as error:
            refused += 1
            check_refusal(str(error), df)
            continue
        result = job.result(WAIT_S)
        slices = sorted(SEEN.get("slices", []), key=lambda part: list(map(id, part.index))[:0])
        if len(df) and not is_like(joined(slices, df), df, exact=True):
            wrong.append((seed, "seen"))
        if len(df) and not is_like(result, df, exact=False):
            wrong.append((seed, "given"))
    assert wrong == []
    assert refused < N_FRAMES / 4 * 0.6


@pytest.mark.parametrize("share", range(2))
def test_pandas_frame_is_what_a_row_function_sees_and_gives(queue, start, share):
    start()
    wrong = []
    for seed in range(share, N_FRAMES, 2):
        df = pandas_frame(10**6 + seed).rename(columns=lambda label: f"n{label}").reset_index(drop=True)
        df.columns = [f"n{place}" for place in range(df.shape[1])]
        SEEN.clear()
        try:
            job = queue.submit_frame(df, look, part_rows=50, name=f"rows {seed}", retries=0)
        except SchemaError as error:
            check_refusal(str(error), df)
            continue
        result = job.result(WAIT_S, errors="coerce")
        failed = set(job.errors()["row"])
        rows = [dict(zip(df.columns, row, strict=True)) for row in df.itertuples(index=False, name=None)]
        if len(SEEN.get("rows", [])) != len(rows):
            wrong.append((seed, "called", job.errors()["message"].tolist()))
            continue
        wrong += [
            (seed, "seen", row)
            for row, (mine, yours) in enumerate(zip(SEEN.get("rows", []), rows, strict=True))
            if not agrees(mine, yours)
        ]
        wrong += [
            (seed, "given", row, name)
            for row, values in enumerate(rows)
            if row not in failed
            for name, value in values.items()
            if not agrees(result[name].to_numpy(object)[row], value)
        ]
    assert wrong == []


@pytest.mark.parametrize("function", (give, oq.task(look)), ids=["batch", "row"])
def test_polars_frame_is_what_a_function_sees_and_gives(queue, start, function):
    start()
    wrong = []
    for seed in range(N_FRAMES // 2):
        df = polars_frame(seed)
        SEEN.clear()
        job = queue.submit_frame(df, function, part_rows=50, name=f"polars {seed}", retries=0)
        result = job.result(WAIT_S)
        if function is give:
            if df.height and not (pl.concat(SEEN["slices"]).equals(df) and SEEN["slices"][0].schema == df.schema):
                wrong.append((seed, "seen"))
            if df.height and not (result.equals(df) and result.schema == df.schema):
                wrong.append((seed, "given"))
        elif not all(map(agrees, SEEN.get("rows", []), df.to_dicts())):
            wrong.append((seed, "seen"))
    assert wrong == []


def joined(slices, df):
    """Put the slices that workers saw together again, in the order of the frame."""
    if len(slices) == 1:
        return slices[0]
    by_place = {pickle.dumps(part.index[:1]): part for part in slices}
    starts = range(0, len(df), 5)
    ordered = [by_place.get(pickle.dumps(df.index[first : first + 5][:1])) for first in starts]
    return pd.concat(ordered) if all(part is not None for part in ordered) and len(by_place) == len(slices) else None


def is_like(got, df, *, exact):
    """Whether two frames hold the same; `exact` asks for the same dtypes and index as well."""
    if got is None:
        return True  # slices that cannot be told apart by their labels
    if got.shape != df.shape or not got.index.equals(df.index) or list(got.columns) != list(df.columns):
        return False
    for place in range(df.shape[1]):
        mine, yours = got.iloc[:, place], df.iloc[:, place]
        native = yours.dtype.newbyteorder("=") if isinstance(yours.dtype, np.dtype) else None  # as pd.concat makes it
        is_dateutil = "dateutil" in type(getattr(yours.dtype, "tz", None)).__module__  # comes back as Python's own zone
        if exact and mine.dtype not in {yours.dtype, native} and not is_dateutil:
            return False
        if not all(map(agrees, mine.to_numpy(object), yours.to_numpy(object))):
            return False
    return True


def check_refusal(message, df):
    """See that a refusal names a column or level of the frame, and says what to do."""
    names = [repr(label) for label in df.columns]
    assert any(name in message for name in names) or "index level" in message or "name" in message, message
    assert any(
        word in message
        for word in ("convert", "cast", "leave", "use ", "rename", "split", "make ", "nested", "entries", "digits")
    ), message


def test_same_frame_is_made_from_the_same_number():
    assert pandas_frame(5).equals(pandas_frame(5))
    assert np.array_equal(polars_frame(5).columns, polars_frame(5).columns)
