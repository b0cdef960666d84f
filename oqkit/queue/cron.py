"""When a schedule is due: its slots, from a cron text in a time zone or from an interval. Pure.

A slot is a moment in epoch seconds, to the millisecond. It follows from the rhythm alone, so that all workers agree on
it, whenever they look and however often.

Across a change of the clocks cron texts mean what Debian's cron means by them, as `cronsim` works it out: what is to
run at a fixed time that is skipped runs right after the gap, what would be there twice runs once, and what runs every
so many minutes or hours goes by real time. (`croniter` 6 gives ``30 2 * * *`` twice in autumn.)
"""

from __future__ import annotations

import hashlib
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Meta

from oqkit.errors import UsageError
from oqkit.queue.bound import MAX_SPAN_S, MAX_TIME_S, MIN_EVERY_S, Moment, Span, Unknown

_FIELDS = "minute hour day month weekday"
_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+)*")
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When the slots of a schedule are: by `cron` in the zone `tz`, or every `every_s` seconds from `since` on."""

    since: Moment
    """Every slot is later: a new schedule never fires for the past."""
    cron: Annotated[str, Meta(max_length=200)] = ""
    tz: Annotated[str, Meta(max_length=64)] = "UTC"
    every_s: Annotated[float, Meta(ge=MIN_EVERY_S, le=MAX_SPAN_S)] | None = None
    """None if `cron` says it."""
    jitter_s: Span = 0.0
    """By how much at most a slot is submitted later than it is, but always before the next one."""
    unknown: Unknown = ()


def check_rhythm(rhythm: Rhythm) -> Rhythm:
    """Return `rhythm` if it has a slot, else raise `UsageError` that says what cannot be understood."""
    if (rhythm.every_s is None) == (not rhythm.cron):
        raise UsageError("give cron= or every=, one of the two: cron='0 6 * * 1', or every='15m'")
    if next_slot(rhythm, rhythm.since) is None:
        raise UsageError(f"cron={rhythm.cron!r} never comes: there is no such day")
    return rhythm


def next_slot(rhythm: Rhythm, after: float) -> float | None:
    """Return the first slot later than `after`; None if there is none. `UsageError` if the rhythm is not understood."""
    after = max(after, rhythm.since)
    if rhythm.every_s is not None:
        slot = _nth(rhythm, _count(rhythm, after) + 1)
        return slot if slot <= MAX_TIME_S else None
    try:
        found = _simulated(rhythm, after)
        return next((slot for moment in found if (slot := moment.timestamp()) > after), None)
    except UsageError:
        raise
    except (OverflowError, ValueError):  # behind the year 9999
        return None


def newest_slot(rhythm: Rhythm, *, after: float, until: float) -> float | None:
    """Return the last slot that is later than `after` and not later than `until`; None if there is none.

    Its cost depends neither on how long that is nor on how many slots there are in it.
    """
    after = max(after, rhythm.since)
    if until <= after:
        return None
    if rhythm.every_s is not None:
        number = _count(rhythm, until)
        return _nth(rhythm, number) if number > _count(rhythm, after) else None
    window_s = 90.0
    while True:
        start = max(after, until - window_s)
        found: float | None = None
        following = next_slot(rhythm, start)
        while following is not None and following <= until:
            found, following = following, next_slot(rhythm, following)
        if found is not None or start == after:
            return found
        window_s *= 2


def fires_at(rhythm: Rhythm, slot: float, *, seed: str) -> float:
    """Return when a slot is to be submitted: later by a jitter that follows from `seed` and the slot, before the next slot."""
    if not rhythm.jitter_s:
        return slot
    following = next_slot(rhythm, slot)
    most_s = rhythm.jitter_s if following is None else min(rhythm.jitter_s, following - slot)
    digest = hashlib.sha256(f"{seed} {millis(slot)}".encode()).digest()
    chance = int.from_bytes(digest[:6]) / 2**48
    return (millis(slot) + math.floor(1000 * most_s * chance)) / 1000


def local_time(rhythm: Rhythm, moment: float) -> str:
    """Return a moment as people read it where the schedule is at home, such as ``2026-11-30T06:00+01:00``."""
    local = datetime.fromtimestamp(moment, zone(rhythm.tz))
    if millis(moment) % 1000:
        return local.isoformat(timespec="milliseconds")
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def millis(moment: float) -> int:
    """Return a moment in whole milliseconds."""
    return round(moment * 1000)


def zone(tz: str) -> ZoneInfo:
    """Return a time zone by its name, or raise `UsageError`."""
    found: ZoneInfo | None = None
    if _ZONE.fullmatch(tz):
        with suppress(LookupError, ValueError, OSError):  # OSError: the name of a folder of zones
            found = ZoneInfo(tz)
    if found is None:
        raise UsageError(f"tz={tz!r} is no time zone that is known here: use a name such as 'Europe/Paris'")
    return found


def _simulated(rhythm: Rhythm, after: float) -> CronSim:
    text = _NAMED.get(rhythm.cron.strip().lower(), rhythm.cron)
    start = datetime.fromtimestamp(after, zone(rhythm.tz))
    if len(text.split()) != len(_FIELDS.split()):
        raise UsageError(
            f"cron={rhythm.cron!r:.220} must have five fields, {_FIELDS} (0 and 7 are Sunday), such as "
            f"'0 6 * * 1', or be one of {', '.join(_NAMED)}"
        )
    try:
        return CronSim(text, start)
    except (CronSimError, AssertionError, ValueError, LookupError) as error:
        raise UsageError(
            f"cron={rhythm.cron!r:.220} is not understood: {str(error) or 'a step of what has none'}"
        ) from None


def _count(rhythm: Rhythm, until: float) -> int:
    """Return how many slots of an interval there are up to a moment, itself included."""
    return (millis(until) - millis(rhythm.since)) // _every(rhythm)


def _nth(rhythm: Rhythm, n: int) -> float:
    return (millis(rhythm.since) + n * _every(rhythm)) / 1000


def _every(rhythm: Rhythm) -> int:
    return millis(rhythm.every_s or MIN_EVERY_S)
