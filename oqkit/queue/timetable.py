"""Schedules: what is stored of one, and what is to be submitted of it at a time. Pure.

A schedule remembers up to which slot it is settled (`last`): every slot before was submitted or left out. That only
ever grows, whoever writes it, so that a slot is decided on once; and the id of a slot's job follows from the slot, so
that it is submitted once also by workers which decide at the same time, or twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, assert_never

from msgspec import Meta

from oqkit.errors import UsageError
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_ORDERS, Id, Moment, Name, Text, Type, Unknown
from oqkit.queue.cron import Rhythm, fires_at, newest_slot, next_slot
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.signature import Signature

SCHEDULES = "schedules/"


class CatchUp(StrEnum):
    """What becomes of slots that fell due while no worker ran."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """That nothing is submitted, until it is ended or the time `until` (epoch seconds)."""

    at: Moment
    reason: Text = ""
    until: Moment | None = None
    """None: for good."""
    by: Name = ""
    """Who gave the order, in his own words."""
    unknown: Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Document):
    """One schedule. `origin` tells it from one of the same name that was there before; times are epoch seconds."""

    name: Type
    rhythm: Rhythm
    last: Moment
    """Up to when every slot was submitted or left out."""
    catch_up: CatchUp = CatchUp.SKIP
    settled_by: Name = ""
    """The worker that did so last, which goes on with the next slot: the others leave it a moment."""
    fired: Moment | None = None
    """The newest slot that was submitted; None if none was."""
    pause: Pause | None = None
    orders: Annotated[tuple[Id, ...], Meta(max_length=MAX_ORDERS)] = ()
    """The ids of the last orders, pauses and their ends: how whoever gave one knows that it was carried out."""
    template: dict[str, Any]
    """What the job of a slot has, beside what follows from the slot: see `oqkit.queue.template`."""
    signature: Signature | None = None
    """Of the template and the rhythm together; None if nobody signed them."""

    def is_paused(self, now: float) -> bool:
        """Whether nothing is submitted now."""
        return self.pause is not None and (self.pause.until is None or now < self.pause.until)


SCHEDULE = document_type(Schedule, what="schedule", key_of=lambda schedule: schedule_key(schedule.name))


def schedule_key(name: str) -> str:
    """Return the key of a schedule."""
    return f"{SCHEDULES}{name}.json"


def check_name(name: object) -> str:
    """Return `name` if a schedule can have it, else raise `UsageError`."""
    try:
        return keys.check_type(name)  # type: ignore[arg-type]
    except (UsageError, TypeError):
        raise UsageError(
            f"{name!r:.200} cannot be the name of a schedule: use 1 to 64 letters, digits, '_', '.' or '-', "
            "not starting with '.' or '-'"
        ) from None


# --- what is due ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done of a schedule: submit `slots`, in order; then it is settled up to `last`."""

    slots: tuple[float, ...]
    last: float


def due(schedule: Schedule, now: float, *, late_s: float, most: int) -> Due:
    """Return what is due. A slot that is found more than `late_s` after its time was missed; at most `most` at once."""
    horizon = _newest_due(schedule, now)
    if horizon is None:
        return Due(slots=(), last=schedule.last)
    match schedule.catch_up:
        case CatchUp.ALL:
            slots = _first(schedule, horizon, most)
        case CatchUp.SKIP | CatchUp.LAST:
            slots = _in_time(schedule, horizon, now - late_s)[:most]
            if not slots and schedule.catch_up is CatchUp.LAST:
                slots = (horizon,)
        case _:
            assert_never(schedule.catch_up)
    last = slots[-1] if slots else horizon  # those that are more than can be submitted at once are due next
    return Due(slots=tuple(slot for slot in slots if not _falls_into_pause(schedule, slot)), last=last)


def next_due(schedule: Schedule) -> tuple[float, float] | None:
    """Return the next slot and when it is to be submitted, also of a schedule that is paused; None if there is none."""
    slot = next_slot(schedule.rhythm, schedule.last)
    return None if slot is None else (slot, _fires(schedule, slot))


def upcoming(schedule: Schedule, now: float) -> float | None:
    """Return the next slot that will be submitted, as far as is known; None if there is none, or it is paused for good."""
    pause, after = schedule.pause, schedule.last
    if pause is not None and schedule.is_paused(now):
        if pause.until is None:
            return None
        after = max(after, pause.until)
    return next_slot(schedule.rhythm, after)


def _newest_due(schedule: Schedule, now: float) -> float | None:
    """Return the newest slot whose time has come; those before it have come too, since jitter passes over no slot."""
    slot = newest_slot(schedule.rhythm, after=schedule.last, until=now)
    if slot is None or _fires(schedule, slot) <= now:
        return slot
    return _before(schedule, slot)


def _before(schedule: Schedule, slot: float) -> float | None:
    return newest_slot(schedule.rhythm, after=schedule.last, until=slot - 0.001)


def _first(schedule: Schedule, horizon: float, most: int) -> tuple[float, ...]:
    def slots() -> Iterator[float]:
        slot = next_slot(schedule.rhythm, schedule.last)
        while slot is not None and slot <= horizon:
            yield slot
            slot = next_slot(schedule.rhythm, slot)

    return tuple(slot for slot, _ in zip(slots(), range(most), strict=False))


def _in_time(schedule: Schedule, horizon: float, since: float) -> tuple[float, ...]:
    """Return the slots from `since` on, which are few: none is less than a second after another."""
    found: list[float] = []
    slot: float | None = horizon
    while slot is not None and _fires(schedule, slot) >= since:
        found.append(slot)
        slot = _before(schedule, slot)
    return tuple(reversed(found))


def _falls_into_pause(schedule: Schedule, slot: float) -> bool:
    return schedule.is_paused(_fires(schedule, slot))


def _fires(schedule: Schedule, slot: float) -> float:
    return fires_at(schedule.rhythm, slot, seed=f"{schedule.name}.{schedule.origin}")


# --- orders --------------------------------------------------------------------------------------


def paused(schedule: Schedule, pause: Pause, *, order: str) -> Schedule:
    """Pause a schedule."""
    return replace(schedule, pause=pause, orders=_ordered(schedule, order))


def resumed(schedule: Schedule, now: float, *, order: str) -> Schedule:
    """End a pause: it goes on with the first slot from now on, and what fell due in the pause is left out.

    A pause that is over by itself is as it is: what fell due after it is owed.
    """
    if not schedule.is_paused(now):
        return schedule
    return replace(schedule, pause=None, last=max(schedule.last, now), orders=_ordered(schedule, order))


def settled(schedule: Schedule, found: Due, *, by: str = "") -> Schedule:
    """Note that what was due is submitted."""
    fired = max((slot for slot in (schedule.fired, *found.slots) if slot is not None), default=None)
    return replace(schedule, last=found.last, fired=fired, settled_by=by)


def _ordered(schedule: Schedule, order: str) -> tuple[str, ...]:
    return (*schedule.orders, order)[-MAX_ORDERS:]


def same_definition(one: Schedule, other: Schedule) -> Mapping[str, bool]:
    """Return what two schedules of one name have in common, but for what they submit."""
    there, here = one.rhythm, other.rhythm
    return {
        "cron": (there.cron, there.every_s) == (here.cron, here.every_s),
        "tz": there.tz == here.tz,
        "jitter": there.jitter_s == here.jitter_s,
        "catch_up": one.catch_up == other.catch_up,
    }
