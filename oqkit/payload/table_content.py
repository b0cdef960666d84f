"""What pandas, pyarrow and other Arrow objects consist of, for the fingerprint of a function that refers to one.

Read by their values: how a frame is cut into blocks, and an array into chunks, differs between equal ones.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from oqkit.arrow.digest import hash_array
from oqkit.task.content import UnknownContentError, content_of

# --- pandas --------------------------------------------------------------------------------------


@content_of.register
def _(value: pd.DataFrame) -> object:
    columns = [value.iloc[:, place].array for place in range(value.shape[1])]
    return [value.columns, value.index, _beside(value), columns]


@content_of.register
def _(value: pd.Series) -> object:
    return [value.index, _beside(value), value.array]


def _beside(value: pd.DataFrame | pd.Series) -> object:
    """Return what a frame or series holds beside its values; a subclass lists its own attributes as pandas asks it to."""
    own = {name: getattr(value, name, None) for name in value._metadata}  # noqa: SLF001 - how pandas names it
    return [value.attrs, value.flags.allows_duplicate_labels, own]


@content_of.register
def _(value: pd.Index) -> object:
    return [list(value.names), getattr(value, "freq", None), value.array]


@content_of.register
def _(value: pd.RangeIndex) -> object:
    return [list(value.names), value.start, value.stop, value.step]


@content_of.register
def _(value: pd.MultiIndex) -> object:
    return [list(value.names), [value.get_level_values(number).array for number in range(value.nlevels)]]


@content_of.register
def _(value: pd.Categorical) -> object:
    return [value.categories, value.codes, value.ordered]


@content_of.register
def _(value: pd.arrays.NumpyExtensionArray) -> object:
    return value.to_numpy()


@content_of.register(pd.arrays.DatetimeArray)
@content_of.register(pd.arrays.TimedeltaArray)
@content_of.register(pd.arrays.PeriodArray)
def _(value: Any) -> object:
    return [str(value.dtype), value.asi8]


@content_of.register
def _(value: pd.api.extensions.ExtensionArray) -> object:
    """Read an array of another kind: by Arrow where that is how it is kept, else value by value."""
    if hasattr(value, "__arrow_array__"):
        try:
            return [str(value.dtype), pa.chunked_array([pa.array(value)])]
        except (pa.ArrowException, TypeError):
            pass  # it only promises to be an Arrow array
    return [str(value.dtype), np.asarray(value, dtype=object)]


# --- Arrow ---------------------------------------------------------------------------------------


@content_of.register(pa.Table)
@content_of.register(pa.RecordBatch)
def _(value: object) -> object:
    table = pa.table(value)
    return [table.schema, [_column(column) for column in table.columns], table.num_rows]


@content_of.register(pa.ChunkedArray)
@content_of.register(pa.Array)
def _(value: object) -> object:
    array = value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([value])
    return [array.type, _column(array)]


def _column(array: pa.ChunkedArray) -> object:
    """Digest a column; of a dictionary its order too, for it becomes the order of the categories."""
    dictionary = array.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(array.type) else None
    return [hash_array(array), None if dictionary is None else dictionary.dictionary.to_pylist()]


@content_of.register
def _(value: pa.Schema) -> object:
    return [value.metadata, [[one.name, one.type, one.nullable, one.metadata] for one in value]]


@content_of.register
def _(value: pads.Dataset) -> object:
    raise UnknownContentError(f"a {type(value).__name__}: what its files hold is not read")


class ArrowStream(abc.ABC):  # noqa: B024 - one method is all it takes, and it cannot be called here
    """What offers the Arrow C stream interface: frames and series of polars, duckdb and others."""

    @classmethod
    def __subclasshook__(cls, kind: type) -> bool:
        return True if cls is ArrowStream and hasattr(kind, "__arrow_c_stream__") else NotImplemented


@content_of.register
def _(value: ArrowStream) -> object:
    stream: Any = value
    try:
        return pa.table(stream)
    except (pa.ArrowInvalid, ValueError):  # one column
        return [getattr(stream, "name", None), pa.chunked_array(stream)]
