"""Signals: values that somebody sends to a job by name, and that its tasks wait for without a worker.

A signal is an order in the job object, so one that comes before anybody waits for it is not lost. A task does not consume it: the
n-th wait for a name in a call is answered with the n-th signal of that name, at every attempt. What a task waits for is in
its state, and the order makes such a task due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oqkit.errors import UsageError
from oqkit.queue.bound import MAX_SIGNAL_CHARS, MAX_SIGNALS, MAX_TEXT, MAX_WAITS, Count, Moment, Name, Unknown

FEATURE = "signals"
"""What a job requires of whoever touches it, once it was sent a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a task waits for, or has waited for."""

    name: Name
    number: Count
    """Which signal of that name, from 0 on."""
    until: Moment
    """When it waits no longer, in epoch seconds."""
    unknown: Unknown = ()

    def is_same(self, other: Wait) -> bool:
        """Whether it is about the same signal."""
        return (self.name, self.number) == (other.name, other.number)


def with_wait(waits: tuple[Wait, ...], wait: Wait) -> tuple[Wait, ...]:
    """Return what a task has waited for, the newest last, which is what it waits for now."""
    return (*(one for one in waits if not one.is_same(wait)), wait)


def known_wait(waits: tuple[Wait, ...], wait: Wait) -> Wait:
    """Return the wait for the same signal that a task has begun before, or `wait`; raise `UsageError` for one too many."""
    known = next((one for one in waits if one.is_same(wait)), None)
    if known is None and len(waits) >= MAX_WAITS:
        raise UsageError(
            f"a task may wait {MAX_WAITS:,} times, and this one would wait once more, for the signal {wait.name!r}: "
            "let another task go on, with ctx.spawn"
        )
    return known or wait


def check_size(text: str) -> None:
    """Raise `UsageError` if the value of a signal is too long."""
    if len(text) > MAX_TEXT:
        raise UsageError(
            f"the value of a signal is {len(text):,} characters of JSON, and may have {MAX_TEXT:,}: "
            "send the id of a task or the key of an object instead"
        )


def check_room(sent: Iterator[str], name: str) -> None:
    """Raise `UsageError` if a job that was `sent` these values has no room for another signal."""
    lengths = [len(value) for value in sent]
    if len(lengths) >= MAX_SIGNALS or sum(lengths) >= MAX_SIGNAL_CHARS:
        raise UsageError(
            f"signal {name!r} is refused: the job was sent {len(lengths):,} signals of {sum(lengths):,} characters, and "
            f"may be sent {MAX_SIGNALS:,} of {MAX_SIGNAL_CHARS:,} together"
        )
