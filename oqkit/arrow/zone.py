"""Time zones as text: what a zone is called, or how far it is from UTC, and whether `pytz` has to say so."""

from __future__ import annotations

import datetime as dt
import importlib
from typing import Any, Final
from zoneinfo import ZoneInfo

from oqkit.errors import SchemaError

UTC: Final = "UTC"
PYTZ: Final = "pytz"
_MINUTE_US: Final = 60_000_000

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


def library_of(tzinfo: object) -> str | None:
    """Return ``"pytz"`` for a zone of pytz, which pandas 2 makes of every name; None for all others, and for UTC.

    It matters: pytz knows no summer time after 2037, and to pandas two columns of one zone have different dtypes
    if they have it from different libraries.
    """
    is_pytz = type(tzinfo).__module__.partition(".")[0] == PYTZ
    return PYTZ if is_pytz and zone_of(tzinfo) != UTC else None


def arrow_zone(zone: Zone) -> str | None:
    """Return the zone as Arrow names it, or None if nobody could read that, or it would lose a name or seconds."""
    if isinstance(zone, str):
        return zone if _is_known(zone) else None
    micros, name = zone
    minutes, rest = divmod(abs(micros), _MINUTE_US)
    if rest or name is not None:
        return None
    return f"{'-' if micros < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _is_known(name: str) -> bool:
    try:
        return bool(name == UTC or ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder
        return False


def from_arrow_zone(text: str) -> Zone:
    """Return the zone that Arrow names so."""
    if text[0] not in "+-":
        return text
    hours, minutes = text[1:].split(":")
    micros = (60 * int(hours) + int(minutes)) * _MINUTE_US
    return -micros if text[0] == "-" else micros, None


def from_zone(zone: Zone | list[Any], library: str | None = None) -> dt.tzinfo:
    """Return the zone that was described, as a zone of `library` if that is installed and has it."""
    if library == PYTZ:
        try:
            pytz: Any = importlib.import_module(PYTZ)  # pandas 2 brings it, pandas 3 does not
            known: dt.tzinfo = pytz.timezone(zone) if isinstance(zone, str) else pytz.FixedOffset(zone[0] // _MINUTE_US)
        except (ImportError, KeyError):
            pass
        else:
            return known
    if isinstance(zone, str):
        return dt.UTC if zone == UTC else ZoneInfo(zone)
    micros, name = zone
    offset = dt.timedelta(microseconds=micros)
    return dt.timezone(offset) if name is None else dt.timezone(offset, name)
