"""What a worker knows of schedules: when to look at which, from the alarms that its listings have shown."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cachetools import LRUCache

from oqkit.queue.alarm import Alarm, parse_alarm
from oqkit.queue.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One schedule, or several that had one name, one after the other."""

    newest: dict[str, Alarm] = field(default_factory=dict)
    """Origin to the alarm that is due last: those before it are left over."""
    old: frozenset[Alarm] = frozenset()
    at: float
    """When to look at it, in epoch seconds."""
    is_followed: bool = False
    """Whether this worker has looked at it."""
    is_own: bool = False
    """Whether this worker has fired its last slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of a schedule before it is looked at."""

    seen: tuple[Alarm, ...]
    """Its alarms that were seen and not taken down."""
    expected: float | None
    """When its next slot is due, as far as is known; None for who has fired the last, and goes on whatever is due."""
    is_first: bool
    """Whether this worker has not looked at it before, and so knows no more than an alarm that may be left over."""


class AlarmClock:
    """The schedules that a worker has heard of. Threads may share it.

    Once heard of, a schedule is followed without any further listing: whoever looks at it learns when it is due next.
    The worker that fired a slot looks at the next one as soon as that is due. The others leave it to that worker for a
    moment of their own choosing, by when most of them see that it is done: one request each.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._limits = repository.limits.claim
        self._entries: LRUCache[str, _Entry] = LRUCache(self._limits.alarm_names)
        self._lock = threading.Lock()

    def take_in(self, names: Iterable[str]) -> set[str]:
        """Learn from the names of a listing, and return those that are alarms."""
        shards = self._repository.settings.shards
        found = {name: alarm for name in names if (alarm := parse_alarm(name, shards=shards)) is not None}
        with self._lock:
            for alarm in found.values():
                self._hear(alarm)
        return set(found)

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds; infinite while no schedule is known."""
        with self._lock:
            first = min((entry.at for entry in self._entries.values()), default=float("inf"))
        return max(0.0, first - self._repository.now()) if self._entries else float("inf")

    def due(self) -> list[str]:
        """Return the names of the schedules to look at now, in random order, so that of two workers each begins elsewhere."""
        now = self._repository.now()
        with self._lock:
            names = [name for name, entry in self._entries.items() if entry.at <= now]
        self._repository.rng.shuffle(names)
        return names

    def known(self) -> set[str]:
        """Return the names of the schedules that it knows of."""
        with self._lock:
            return set(self._entries)

    def look(self, name: str) -> Look:
        """Return what is known of a schedule that is to be looked at."""
        with self._lock:
            entry = self._entries.get(name)
        if entry is None:
            return Look(seen=(), expected=None, is_first=True)
        first = min(one.due for one in entry.newest.values())
        seen = (*entry.old, *entry.newest.values())
        return Look(seen=seen, expected=None if entry.is_own else first, is_first=not entry.is_followed)

    def follow(self, name: str, alarm: Alarm | None, *, is_own: bool) -> None:
        """Take in when a schedule is due next, None: never; `is_own` if this worker has fired its last slot."""
        with self._lock:
            self._entries.pop(name, None)
            if alarm is not None:
                at = alarm.due if is_own else self._when(alarm.due)
                self._entries[name] = _Entry(newest={alarm.origin: alarm}, at=at, is_followed=True, is_own=is_own)

    def put_off(self, name: str, *, until: float) -> None:
        """Leave a schedule alone until then (epoch seconds)."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:
                self._entries[name] = replace(entry, at=until)

    def _hear(self, alarm: Alarm) -> None:
        entry = self._entries.get(alarm.name)
        if entry is None:
            self._entries[alarm.name] = _Entry(newest={alarm.origin: alarm}, at=self._when(alarm.due))
            return
        known = entry.newest.get(alarm.origin)
        if known is not None and alarm.due <= known.due:
            if alarm != known:
                self._entries[alarm.name] = replace(entry, old=entry.old | {alarm})
            return
        old = entry.old if known is None else entry.old | {known}
        newest = {**entry.newest, alarm.origin: alarm}
        at = self._when(min(one.due for one in newest.values()))
        self._entries[alarm.name] = replace(entry, newest=newest, old=old, at=at, is_own=False)

    def _when(self, due: float) -> float:
        """Return when a worker looks that has not fired the last slot."""
        courtesy_s = self._repository.rng.uniform(self._limits.alarm_first_s, self._limits.alarm_longest_s)
        return max(due, self._repository.now()) + courtesy_s
