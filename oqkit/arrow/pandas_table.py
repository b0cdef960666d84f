"""Arrow tables as pandas has them, whatever the environment says of time zones."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.inference import objects


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return what ``table.to_pandas()`` gives, with the zones of all times.

    Where PYARROW_IGNORE_TIMEZONE is set, as it is by pandera, pyarrow makes times of UTC without a zone of those that are in structs,
    maps, or lists of these.
    """
    df: pd.DataFrame = table.to_pandas()
    for field in table.schema:
        if pa.types.is_nested(field.type) and field.name in df.columns and _has_zone(field.type):
            df[field.name] = objects((_zoned(value, field.type) for value in df[field.name]), len(df))
    return df


def _has_zone(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_zone(kind.field(number).type) for number in range(kind.num_fields))
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _zoned(value: Any, kind: pa.DataType) -> Any:
    """Return a value of this type with the zones that it should have."""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        if isinstance(value, dt.datetime) and value.tzinfo is None and value is not pd.NaT:
            return value.replace(tzinfo=dt.UTC).astimezone(pa.lib.string_to_tzinfo(kind.tz))
        return value  # of nanoseconds pandas has a number here
    if isinstance(value, dict):
        return {field.name: _zoned(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind) and isinstance(value, list):
        return [(_zoned(key, kind.key_type), _zoned(item, kind.item_type)) for key, item in value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return objects((_zoned(one, kind.value_type) for one in value), len(value))
    return value
