"""The kinds of frames that people have: of pandas, of polars, and all that gives Arrow."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from oqkit.arrow.metadata import Label
from oqkit.arrow.spool import spooled
from oqkit.errors import SchemaError


def opened(df: object) -> object:
    """Return a pandas or polars frame as it is, and anything else that is a frame as a pyarrow table, or raise `SchemaError`.

    What gives its rows once, such as a reader of record batches, is read here, and large ones lie on disk from then on.
    """
    if isinstance(df, pd.DataFrame | pa.Table):
        return df
    if not _is_polars(df):
        return _arrow_table(df)
    if not hasattr(df, "to_arrow") or not hasattr(df, "schema"):
        is_lazy = hasattr(df, "collect")
        hint = "call .collect() first; files go to submit_dataset(paths, fn)" if is_lazy else "call .to_frame() first"
        msg = f"a polars {type(df).__name__} is not a frame; {hint}"
        raise SchemaError(msg)
    return df


def backend_of(df: object) -> str | None:
    """Return what a frame in memory is of: ``pandas``, ``polars`` or ``arrow``; None if it is no such frame."""
    if isinstance(df, pd.DataFrame):
        return "pandas"
    if isinstance(df, pa.Table):
        return "arrow"
    return "polars" if _is_polars(df) and hasattr(df, "to_arrow") and hasattr(df, "schema") else None


def labels_of(df: Any) -> list[Label]:
    """Return the names of the columns of what `opened` returned."""
    return list(df.column_names if isinstance(df, pa.Table) else df.columns)


def _is_polars(df: object) -> bool:
    return type(df).__module__.partition(".")[0] == "polars"


def _arrow_table(df: object) -> pa.Table:
    try:
        if hasattr(df, "__arrow_c_stream__"):
            return spooled(pa.RecordBatchReader.from_stream(df))
        if hasattr(df, "__arrow_c_array__"):
            return pa.table(df)
    except pa.ArrowInvalid:
        pass  # one column or array rather than a table
    msg = (
        f"a {type(df).__name__} is not a frame; pass a pandas or polars DataFrame, a pyarrow Table, or what streams one"
    )
    raise SchemaError(msg)
