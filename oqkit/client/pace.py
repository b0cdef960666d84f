"""How often whoever waits asks the queue: the more rarely the longer it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from oqkit.queue.repository import Repository


class Pace:
    """The pauses between two looks of somebody who waits; interruptible within 0.2 s."""

    def __init__(self, repository: Repository) -> None:
        poll_s, limits = repository.store.poll_s, repository.limits.client
        self._clock = repository.store.clock
        self._first_s = poll_s * limits.first_poll_polls
        self._longest_s = max(poll_s * limits.longest_poll_polls, limits.longest_poll_s)
        self._limits = limits

    def pauses(self, timeout: float | None) -> Iterator[float]:
        """Yield how long to pause after each look, in seconds, until `timeout` is over; the last look comes then."""
        start, pause_s = self._clock.monotonic(), self._first_s
        while True:
            left = float("inf") if timeout is None else start + timeout - self._clock.monotonic()
            yield max(0.0, min(pause_s, left))
            if timeout is not None and self._clock.monotonic() - start >= timeout:
                return
            pause_s = min(max(pause_s, self._limits.poll_share * (self._clock.monotonic() - start)), self._longest_s)

    def sleep(self, seconds: float) -> None:
        """Pause."""
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, self._limits.slice_s))

    async def sleep_async(self, seconds: float) -> None:
        """Pause without blocking the event loop."""
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0:  # noqa: ASYNC110 - there is no event to wait for
            # In slices: a kernel hears of an interrupt only when its loop turns.
            await asyncio.sleep(min(left, self._limits.slice_s))
