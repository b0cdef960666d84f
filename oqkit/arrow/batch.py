"""What batch functions return → an Arrow table of one row for each row they got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow import column, storable, tagged_json
from oqkit.arrow.metadata import Column, ColumnMeta, Encoding, Unstorable
from oqkit.arrow.table import to_table
from oqkit.arrow.value import COLUMNS, KIND, encode_values, scalar_table, unreadable
from oqkit.errors import RowsRefused, SchemaError


def encode_batch(result: object, n_rows: int) -> pa.Table:
    """Store what a batch function returned for `n_rows` rows, by position; its index is not looked at.

    A pandas, polars or Arrow frame, or a dict of equally long columns, gives a table of kind `COLUMNS`;
    a Series, list, Arrow array or ndarray one of kind `SCALAR` (of an ``(n, k)`` array each row is an
    array of k). Raise `RowsRefused` if the values of some rows cannot be stored, and `SchemaError` that says
    what was expected and what came if it is something else.
    """
    problems: dict[int, str] = {}
    try:
        stored = _batch_table(result, problems)
    except SchemaError:
        raise
    except BaseException as error:  # noqa: BLE001 - reading it runs the code of its types, which may be the user's
        raise SchemaError(unreadable(result, error)) from None
    got = stored.num_rows
    if got != n_rows:
        msg = f"a batch function must return one row for each of its {n_rows} rows, but returned {got}"
        raise SchemaError(msg)
    if problems:
        raise RowsRefused(stored.filter(pa.array([row not in problems for row in range(n_rows)])), problems)
    return stored


def _batch_table(result: object, problems: dict[int, str]) -> pa.Table:
    columns = _batch_columns(result, problems)
    return columns if columns is not None else _batch_scalar(result, problems)


def _batch_columns(result: Any, problems: dict[int, str]) -> pa.Table | None:
    if isinstance(result, dict) and result:
        result = _frame_of(result)
    is_polars = type(result).__module__.partition(".")[0] == "polars" and hasattr(result, "get_columns")
    if not (is_polars or isinstance(result, pd.DataFrame | pa.Table | pa.RecordBatch)):
        return None
    if len(result.columns) == 0:
        msg = "a batch function returned a frame without columns; return at least one"
        raise SchemaError(msg)
    frame = to_table(result.reset_index(drop=True) if isinstance(result, pd.DataFrame) else result, problems=problems)
    metadata = {**(frame.table.schema.metadata or {}), KIND: COLUMNS}
    return frame.table.replace_schema_metadata(metadata)


def _frame_of(result: dict[Any, Any]) -> pd.DataFrame:
    try:
        lengths = {name: len(values) for name, values in result.items()}
        if len(set(lengths.values())) == 1:
            return pd.DataFrame({name: _series_of(values) for name, values in result.items()})
    except TypeError:
        lengths = {name: tagged_json.type_name(values) for name, values in result.items()}  # type: ignore[misc]
    msg = f"a batch function returned a dict, but not of columns of one length: {lengths}"
    raise SchemaError(msg)


def _series_of(values: object) -> object:
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return pd.Series(list(values), dtype=object)
    return values


def _batch_scalar(result: object, problems: dict[int, str]) -> pa.Table:
    try:
        if isinstance(result, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
            return scalar_table(column.encode(pd.Series(result), problems))
        if isinstance(result, np.ndarray) and result.ndim:
            return scalar_table(_encode_ndarray(result, problems))
    except Unstorable as error:
        where = "" if error.row is None else f", row {error.row}"
        msg = f"the returned values{where}: {error.reason}"
        raise SchemaError(msg) from None
    finally:
        problems.update({row: f"the returned values, row {row}: {reason}" for row, reason in problems.items()})
    if isinstance(result, pa.Array | pa.ChunkedArray):
        array = pa.chunked_array([result]) if isinstance(result, pa.Array) else result
        return scalar_table(_encode_arrow(array))
    if type(result).__module__.partition(".")[0] == "polars" and hasattr(result, "to_arrow"):
        return scalar_table(_encode_arrow(pa.chunked_array([result.to_arrow()])))
    if isinstance(result, list | tuple):
        return _batch_list(result, problems)
    msg = (
        f"a batch function must return a frame, Series, array or list with a row for each row it got, "
        f"but returned {tagged_json.type_name(result)}"
    )
    raise SchemaError(msg)


def _encode_arrow(array: pa.ChunkedArray) -> Column:
    try:
        storable.check_writable(array.type)
        return column.encode_arrow(array)
    except ValueError as error:
        msg = f"the returned values cannot be stored: {error}; cast them first"
        raise SchemaError(msg) from None


def _encode_ndarray(result: np.ndarray, problems: dict[int, str]) -> Column:
    if result.ndim == 1:
        return column.encode(pd.Series(result), problems)
    flat = column.encode(pd.Series(result.ravel()))  # refuses dtypes that cannot be stored
    size = int(np.prod(result.shape[1:]))
    bounds = pa.array(np.arange(len(result) + 1) * size, pa.int64())
    shape = None if result.ndim == 2 else result.shape[1:]  # noqa: PLR2004
    meta = ColumnMeta(encoding=Encoding.NDARRAY, dtype=result.dtype.str, shape=shape)
    return Column(array=pa.LargeListArray.from_arrays(bounds, flat.array), meta=meta)


def _batch_list(result: Sequence[object], problems: dict[int, str]) -> pa.Table:
    table, bad = encode_values(result)
    problems.update({row: f"the returned list, row {row}: {reason}" for row, reason in bad.items()})
    return table
