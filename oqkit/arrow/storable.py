"""What Parquet can hold of what Arrow can: not every type, and no seconds, of which it makes milliseconds."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NAT: Final = np.iinfo("i8").min
"""The number that stands for NaT."""
_MOST_S: Final = 2**63 // 1000 - 1


def check_writable(kind: pa.DataType) -> None:
    """Raise `ValueError` if Parquet has no form for an Arrow type."""
    error = _trouble(kind)
    if error:
        msg = f"Parquet cannot hold {kind} ({error})"
        raise ValueError(msg)


@lru_cache(512)
def _trouble(kind: pa.DataType) -> str:
    try:
        pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([("value", kind)])).close()
    except pa.ArrowException as error:
        return str(error)
    return ""


def fits(array: pa.ChunkedArray) -> bool:
    """Whether all seconds of a column are milliseconds as well."""
    kind = array.type
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return not is_far(array.drop_null().cast(pa.int64()).to_numpy())
    if pa.types.is_struct(kind):
        return all(
            fits(pa.chunked_array([chunk.field(n) for chunk in array.chunks], kind.field(n).type))
            for n in range(kind.num_fields)
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return fits(pa.chunked_array([chunk.flatten() for chunk in array.chunks], kind.value_type))
    return True


def is_far(seconds: np.ndarray) -> bool:
    """Whether a number of seconds is none of milliseconds in 64 bits; NaT is."""
    seconds = seconds[seconds != NAT]
    return bool(len(seconds) and max(int(seconds.max()), -int(seconds.min())) > _MOST_S)
