"""Priorities: the names of some, and in which order a worker tries jobs of different ones. Pure.

Between priorities the order is strict: as long as a job of a higher one has something to run, nothing of a lower one is
begun. Among jobs of one priority chance decides, so that workers do not meet. With aging, a job that has waited long
overtakes: each `aging_s` seconds since it was due count as one step of priority, without an upper end. So a job waits at
most `aging_s` times the difference to those that came after it, and none waits for ever.
"""

from __future__ import annotations

from oqkit.errors import UsageError
from oqkit.plain import plain
from oqkit.queue.bound import MAX_PRIORITY

PRIORITIES = {
    "critical": 255,
    "urgent": 200,
    "high": 175,
    "normal": 128,
    "low": 50,
    "background": 10,
    "bulk": 0,
}


def priority_of(value: object, *, what: str = "priority") -> int:
    """Return the priority that a number or a name means, or raise `UsageError`."""
    value = plain(value)
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PRIORITY:
        names = ", ".join(map(repr, PRIORITIES))
        raise UsageError(f"{what}={value!r:.80} must be a whole number from 0 to {MAX_PRIORITY}, or one of {names}")
    return value


def rank(priority: int, *, due: float, now: float, aging_s: float | None) -> float:
    """Return how early a job is tried, the highest first, at the time `now` (epoch seconds).

    `priority` and `due` (epoch seconds) are what its marker's name says; `aging_s` of None: it does not age.
    """
    return priority if aging_s is None else priority + max(0.0, now - due) // aging_s
