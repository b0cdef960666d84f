"""A time in a zone comes back with its wall clock and its dtype, of whichever library the zone is."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import numpy as np
import pandas as pd
import pytest

from oqkit.arrow.align import align
from oqkit.arrow.table import to_frame, to_table
from oqkit.arrow.value import decode_values, encode_values
from oqkit.errors import SchemaError
from tests.arrow.roundtrip import stored

try:
    import pytz
except ImportError:  # pandas 3 does without
    pytz = None

ZONES = {
    "zoneinfo": ZoneInfo("Europe/Berlin"),
    "lord howe": ZoneInfo("Australia/Lord_Howe"),
    "by name": "America/New_York",
    "offset": dt.timezone(dt.timedelta(hours=5, minutes=45)),
    "offset by name": "-03:30",
    "utc": dt.UTC,
    **({} if pytz is None else {"pytz": pytz.timezone("Europe/Berlin"), "pytz offset": pytz.FixedOffset(90)}),
}
WHEN = ("2011-01-15 12:00", "2011-07-15 12:00", "2046-01-15 12:00", "2046-07-15 12:00", "1890-05-05 12:00")
"""In summer and winter, before and after 2037, where zones of pytz end; and when clocks showed the time of the sun."""


def stamps(zone, unit="us"):
    return [pd.Timestamp(text, tz="UTC").as_unit(unit).tz_convert(zone) for text in WHEN]


def seen(values):
    """Return what a user sees of times: wall clock, offset and name of the zone."""
    return [(value.isoformat(), value.tzname()) for value in values]


@pytest.mark.parametrize("unit", ("s", "us", "ns"))
@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
def test_a_frame_keeps_wall_clocks_and_dtypes_of_zoned_columns_and_indexes(zone, unit):
    series = pd.Series(stamps(zone, unit), index=pd.DatetimeIndex(stamps(zone, unit)))
    df = pd.DataFrame({"when": series, "kind": series.astype("category"), "cell": series.astype(object)})
    frame = to_table(df)
    got = to_frame(stored(frame.table), frame.layout)
    pd.testing.assert_frame_equal(got, df)
    for name in df:
        assert seen(got[name]) == seen(df[name])
    assert seen(got.index) == seen(df.index)


@pytest.mark.parametrize("unit", ("s", "us", "ns"))
@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
def test_values_keep_their_wall_clocks_and_their_library(zone, unit):
    given = stamps(zone, unit)
    table, problems = encode_values(given)
    assert not problems
    assert seen(decode_values(stored(table))) == seen(given)
    got = column_of(given)
    assert seen(got) == seen(given)
    assert got.dtype == pd.DatetimeTZDtype("ns" if unit == "ns" else "us", given[0].tz)


def column_of(*parts):
    """Return the column that some parts of a job give together."""
    tables = [stored(encode_values(values)[0]) for values in parts]
    n_rows = sum(table.num_rows for table in tables)
    numbers = np.split(np.arange(n_rows), np.cumsum([table.num_rows for table in tables])[:-1])
    pieces = list(zip(numbers, tables, strict=True))
    return align(pieces, n_rows=n_rows, index=None, backend="pandas", name="value", missing="null")["value"]


def test_values_of_one_zone_from_two_libraries_keep_their_wall_clocks():
    one, other = stamps(ZoneInfo("Europe/Berlin")), stamps(ZONES.get("pytz", "Europe/Berlin"))
    assert seen(column_of([*one, *other])) == seen([*one, *other])
    assert seen(column_of(one, other)) == seen([*one, *other])


def test_a_zone_that_cannot_be_looked_up_is_refused():
    paths = [Path(folder) / "Europe/Berlin" for folder in TZPATH]
    with next(path for path in paths if path.exists()).open("rb") as file:
        zone = ZoneInfo.from_file(file, key="Europe/Atlantis")
    given = stamps(zone)
    assert encode_values(given)[1].keys() == set(range(len(given)))
    with pytest.raises(SchemaError, match="no name"):
        to_table(pd.DataFrame({"when": given}))
