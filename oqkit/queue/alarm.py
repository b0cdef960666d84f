"""Alarms: the sign that a schedule has a slot. Its name is all that it has, and says when.

Alarms lie among the markers, first in their shard (``open/{shard}/at/{due}-{schedule}.{origin}``), so that the listing
by which a worker looks for work tells it of them too, at no further request. An alarm is an index: what is due is asked
of the schedule. Since what is settled of a schedule only grows, so do the times of its alarms: one that is older than
the alarm that follows from the schedule is of no more use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oqkit.errors import FormatError
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_TIME_S
from oqkit.queue.cron import millis
from oqkit.queue.repository import Repository
from oqkit.queue.timetable import Schedule, next_due

FOLDER = "at/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """When a schedule is to be looked at; `origin` tells it from others that had its name."""

    name: str
    origin: str
    due: float
    """Epoch seconds, to the millisecond."""
    shard: str

    @property
    def key(self) -> str:
        """Where the alarm is."""
        return f"{keys.open_prefix(self.shard)}{FOLDER}{millis(self.due):014d}-{self.name}.{self.origin}"


def alarm_of(schedule: Schedule, repository: Repository) -> Alarm | None:
    """Return the alarm of a schedule as it is now; None if it is gone or never comes again. `FormatError` if it can have none."""
    found = None if schedule.is_deleted else next_due(schedule)
    if found is None or found[1] > MAX_TIME_S:
        return None
    shard = keys.shard_of(schedule.name, repository.settings.shards)
    alarm = Alarm(name=schedule.name, origin=schedule.origin, due=found[1], shard=shard)
    if parse_alarm(alarm.key, shards=repository.settings.shards) != alarm:
        raise FormatError(f"schedule {schedule.name!r} has the origin {schedule.origin!r:.80}, which is none")
    return alarm


def put_alarm(repository: Repository, schedule: Schedule, *, seen: Iterable[Alarm] = ()) -> Alarm | None:
    """Put up the alarm of a schedule, then take down those of `seen` that it replaces; return it.

    `schedule` was read after `seen` were: so no alarm that somebody has put up since is taken down.
    """
    alarm = alarm_of(schedule, repository)
    if alarm is not None:
        repository.loop.put_once(alarm.key, b"")
    old = [one.key for one in seen if alarm is None or one.origin != alarm.origin or one.due < alarm.due]
    if old:
        repository.delete_quietly(*old)
    return alarm


def parse_alarm(key: str, *, shards: int) -> Alarm | None:
    """Read an alarm's name; None if it is none."""
    found = _ALARM.fullmatch(key)
    if found is None or found["shard"] != keys.shard_of(found["name"], shards):
        return None
    return Alarm(name=found["name"], origin=found["origin"], due=int(found["due"]) / 1000, shard=found["shard"])


_ALARM = re.compile(
    r"open/(?P<shard>[0-9a-f]{4})/at/(?P<due>[0-9]{14})-(?P<name>[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63})\.(?P<origin>[0-9a-z]{1,32})"
)
