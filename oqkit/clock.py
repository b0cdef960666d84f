"""Time, chance and identity: the only file that asks the machine for any of them.

Everything else takes a `Clock` (and a `random.Random`), so that a simulation can replay it.
"""

from __future__ import annotations

import getpass
import os
import random
import socket
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can wait."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment of this process."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def wall_time() -> float:
    """Return this machine's idea of the epoch seconds: for a store that has no better clock."""
    return time.time()


class ServerClock:
    """The time of the store, learned from the dates it stamps on its replies (guarantee G5).

    A reply stamped `date` (cut down to `granularity_s`) that was asked for at `sent` and arrived at
    `received` says that the offset between the two clocks lies in
    ``[date - received, date + granularity - sent]``; all replies together narrow that interval.
    """

    def __init__(self, clock: Clock, *, granularity_s: float) -> None:
        self._clock = clock
        self._granularity_s = granularity_s
        self._low: float | None = None
        self._high = 0.0
        self._lock = threading.Lock()

    def observe(self, date_s: float, *, sent: float, received: float) -> None:
        """Take in one reply: its date in epoch seconds, and when it was asked for and arrived."""
        low, high = date_s - received, date_s + self._granularity_s - sent
        with self._lock:
            if self._low is not None and low <= self._high and high >= self._low:
                low, high = max(low, self._low), min(high, self._high)
            self._low, self._high = low, high  # disjoint: a clock was set, so believe the newest

    @property
    def is_set(self) -> bool:
        """Whether any reply has been seen."""
        return self._low is not None

    def now(self) -> float:
        """Return the store's time, in epoch seconds."""
        with self._lock:
            if self._low is None:
                raise RuntimeError("no reply from the store has been seen yet, so its time is unknown")
            return self._clock.monotonic() + (self._low + self._high) / 2


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def base32(number: int, *, length: int) -> str:
    """Write `number` with exactly `length` sortable, unambiguous letters."""
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(length)))


def from_base32(text: str) -> int:
    """Read what `base32` wrote, or raise `ValueError`."""
    number = 0
    for letter in text:
        number = number << 5 | _ALPHABET.index(letter)
    return number


def new_id(rng: random.Random) -> str:
    """Return 16 random letters (80 bits)."""
    return base32(rng.getrandbits(80), length=16)


def user_at_host() -> str:
    """Return who runs this process, such as ``ana@laptop``: for people to read, and proof of nothing."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may have no name for its user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def system_random() -> random.Random:
    """Return a generator seeded from the operating system; a forked child must make its own."""
    return random.Random(os.urandom(16))  # noqa: S311 - jitter and ids that need no secrecy
