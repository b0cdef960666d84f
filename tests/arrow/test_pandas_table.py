"""Zones of times in structs, lists and maps are there in any environment."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from oqkit.arrow.pandas_table import to_pandas

UTC_TIMES = [dt.datetime.fromisoformat("2020-07-01T03:00"), None, dt.datetime.fromisoformat("2021-01-01T23:30:00.5")]
OFFSETS = pa.array([0, 1, 2, 3], pa.int32())


def nested(times):
    """Return these times in a struct, in lists, in both, and in a map."""
    struct = pa.StructArray.from_arrays([times, pa.array([1, 2, 3])], ["when", "n"])
    deep = pa.StructArray.from_arrays([struct, pa.ListArray.from_arrays(OFFSETS, struct)], ["one", "many"])
    with_null = pa.array([None, None, None], struct.type)
    return {
        "flat": times,
        "struct": struct,
        "list": pa.ListArray.from_arrays(OFFSETS, times),
        "structs": pa.ListArray.from_arrays(OFFSETS, struct),
        "large": pa.LargeListArray.from_arrays(OFFSETS.cast("int64"), struct),
        "deep": deep,
        "lists": pa.ListArray.from_arrays(OFFSETS, pa.ListArray.from_arrays(OFFSETS, struct)),
        "map": pa.MapArray.from_arrays(OFFSETS, pa.array(["a", "b", "c"]), times),
        "maps": pa.MapArray.from_arrays(OFFSETS, pa.array(["a", "b", "c"]), struct),
        "nulls": with_null,
    }


def shown(df):
    return [[repr(value) for value in df[name]] for name in df]


@pytest.mark.parametrize("zone", ("Europe/Paris", "UTC", "+05:30", None))
@pytest.mark.parametrize("unit", ("s", "ms", "us", "ns"))
def test_times_in_nested_columns_are_as_pyarrow_has_them_where_no_variable_is_set(monkeypatch, unit, zone):
    times = pa.array(UTC_TIMES, pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)
    if zone is not None:
        times = times.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    table = pa.table(nested(times))
    monkeypatch.delenv("PYARROW_IGNORE_TIMEZONE", raising=False)
    expected = table.to_pandas()
    assert shown(to_pandas(table)) == shown(expected)
    monkeypatch.setenv("PYARROW_IGNORE_TIMEZONE", "1")
    assert shown(to_pandas(table)) == shown(expected)
    assert to_pandas(table).dtypes.tolist() == expected.dtypes.tolist()
