"""Duties: what every worker does now and then besides running leases, such as its report or the search for lost jobs.

A new duty is one class, added to the list in `oqkit.worker.worker`. Each is done in a thread of its own, since a
store that does not answer must keep the worker neither from working nor from being stopped, and one at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from oqkit.limits import WorkerLimits
from oqkit.printable import printable
from oqkit.worker.thread import Thread

log = logging.getLogger(__name__)


class Duty(Protocol):
    """Something to be done now and then; an error makes it wait a while and is mentioned once."""

    @property
    def name(self) -> str:
        """Return what it is called in logs and thread names."""

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds; asks nobody."""

    def perform(self) -> None:
        """Do what is due."""

    def leave(self) -> None:
        """Do what is left, for the worker stops."""


@dataclass(slots=True)
class _Record:
    """How it goes with one duty."""

    thread: Thread | None = None
    said: type[Exception] | None = None
    wait_s: float = 0.0
    again: float = float("-inf")


class Duties:
    """All duties of one worker; call `begin_due` often, from one thread."""

    def __init__(
        self,
        duties: Sequence[Duty],
        *,
        start: Callable[..., Thread],
        monotonic: Callable[[], float],
        limits: WorkerLimits,
    ) -> None:
        self._records = [(duty, _Record()) for duty in duties]
        self._start = start
        self._monotonic = monotonic
        self._limits = limits

    @property
    def threads(self) -> list[Thread]:
        """The threads in which something is being done."""
        return [one.thread for _, one in self._records if one.thread is not None and one.thread.is_alive()]

    def begin_due(self) -> None:
        """Begin everything that is due and not under way."""
        for duty, record in self._records:
            is_free = record.thread is None or not record.thread.is_alive()
            if is_free and self._monotonic() >= record.again and duty.wait_s() <= 0:
                record.thread = self._start(
                    partial(self._do, duty.name, record, duty.perform), name=f"oqkit-{duty.name}"
                )

    def leave(self) -> None:
        """Do what is left of every duty."""
        for duty, record in self._records:
            self._do(duty.name, record, duty.leave)

    def _do(self, name: str, record: _Record, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - guarantee G9: whatever a document holds, the worker goes on
            first_s, longest_s = self._limits.duty_first_wait_s, self._limits.duty_longest_wait_s
            record.wait_s = min(max(first_s, 2 * record.wait_s), longest_s)
            record.again = self._monotonic() + record.wait_s
            if type(error) is not record.said:
                log.warning(
                    "the %s of this worker did not work; it will be tried again: %s", name, printable(str(error))
                )
            record.said = type(error)
        else:
            record.said, record.wait_s = None, 0.0
