"""Frames and tables sent through Parquet and back, and what to fill them with."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from hypothesis import strategies as st

from oqkit.arrow.table import Layout, to_frame, to_table

NAN = float("nan")
CELL = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=5), st.decimals(allow_nan=False),
    st.datetimes(), st.dates(), st.times(), st.timedeltas(), st.uuids(),
)  # fmt: skip


def nested(cell):
    """Return a strategy of such cells, and of lists and dicts of them."""
    return st.recursive(
        cell,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )


def stored(table):
    """Send a table through Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return pq.read_table(io.BytesIO(sink.getvalue()))


def back(df, start=0, stop=None, **options):
    """Send some rows of a frame through Parquet, and its layout through JSON."""
    frame = to_table(df, **options)
    layout = Layout.from_json(json.loads(json.dumps(frame.layout.to_json())))
    stop = frame.table.num_rows if stop is None else stop
    return to_frame(stored(frame.table.slice(start, stop - start)), layout, rows=start)


def objects(*values):
    return pd.Series([*values], dtype=object)


def array_of(*values):
    column = np.empty(len(values), object)
    column[:] = values
    return pd.Series(column, dtype=object)
