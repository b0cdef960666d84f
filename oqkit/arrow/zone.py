"""Time zones as text: a zone is what it is called, or how far it is from UTC; the class that says so does not matter."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from zoneinfo import ZoneInfo

from oqkit.errors import SchemaError

UTC: Final = "UTC"

Zone = str | tuple[int, str | None]
"""The name of a zone, or a fixed offset in microseconds and what it is called if that is not its usual name."""


def zone_of(tzinfo: Any) -> Zone:
    """Describe a time zone, so that equal descriptions mean the same zone, or raise `SchemaError`.

    Zones of `zoneinfo`, `pytz` and `dateutil` and fixed offsets are known; UTC is one zone however it is spelled.
    """
    key = getattr(tzinfo, "key", None) or getattr(tzinfo, "zone", None)
    if isinstance(key, str) and key:
        return key
    offset = tzinfo.utcoffset(None)
    if offset is None:
        msg = (
            f"a time of the zone {tzinfo!r:.80} cannot be stored, as that has no name; "
            "use zoneinfo.ZoneInfo('Europe/Paris'), or convert it with .astimezone(datetime.timezone.utc)"
        )
        raise SchemaError(msg)
    usual, name = dt.timezone(offset).tzname(None), tzinfo.tzname(None)
    if not offset and name == UTC:
        return UTC
    return offset // dt.timedelta(microseconds=1), None if name in {usual, None} else str(name)


def arrow_zone(zone: Zone) -> str | None:
    """Return the zone as Arrow names it, or None if that would lose a name, or seconds of an offset."""
    if isinstance(zone, str):
        return zone
    micros, name = zone
    minutes, rest = divmod(abs(micros), 60_000_000)
    if rest or name is not None:
        return None
    return f"{'-' if micros < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def from_zone(zone: str | tuple[int, str | None] | list[Any]) -> dt.tzinfo:
    """Return the zone that was described."""
    if isinstance(zone, str):
        return dt.UTC if zone == UTC else ZoneInfo(zone)
    micros, name = zone
    offset = dt.timedelta(microseconds=micros)
    return dt.timezone(offset) if name is None else dt.timezone(offset, name)
