"""Submitting what schedules have due. A duty: any worker fires any schedule, also one whose function it does not have."""

from __future__ import annotations

import logging
from collections.abc import Callable

from oqkit.claim.alarm_clock import AlarmClock
from oqkit.claim.aside import Aside
from oqkit.errors import Denied, StoreError
from oqkit.observe.event import JobSubmitted
from oqkit.observe.observer import Observers
from oqkit.printable import printable
from oqkit.queue.firing import attend
from oqkit.queue.repository import Repository
from oqkit.queue.submission import Submitted

log = logging.getLogger(__name__)


class Scheduler:
    """One worker's part in firing schedules. It costs nothing while the worker's listings show no alarm."""

    name = "schedules"

    def __init__(
        self,
        repository: Repository,
        clock: AlarmClock,
        *,
        worker: str,
        observers: Observers,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._repository = repository
        self._limits = repository.limits.worker
        self._clock = clock
        self._observers = observers
        self._is_stopping = is_stopping
        self._aside = Aside(repository.rng, limits=repository.limits.claim)
        self._waits_s: dict[str, float] = {}
        """Schedules that the store kept from being looked at, and how long each is left alone for that."""

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds."""
        return self._clock.wait_s()

    def perform(self) -> None:
        """Look at the schedules that are due."""
        for name in self._clock.due()[: self._limits.look_schedules]:
            if self._is_stopping():
                return
            self._look_at(name)

    def leave(self) -> None:
        """Leave the next slots to others."""

    def _look_at(self, name: str) -> None:
        look, stored = self._clock.look(name), list[Submitted]()
        try:
            alarm, is_own = attend(
                self._repository,
                name,
                by=self._worker,
                seen=look.seen,
                expected=look.expected,
                mends=look.is_first,
                told=stored.append,
            )
        except StoreError as error:
            self._trouble(name, error)
        except Exception as error:  # noqa: BLE001 - guarantee G9: whatever a schedule holds, the others go on
            self._clock.put_off(name, until=self._aside.put(f"schedule {name}", error, now=self._repository.now()))
        else:
            self._waits_s.pop(name, None)
            self._aside.works(f"schedule {name}")
            self._clock.follow(name, alarm, is_own=is_own)
        for one in stored:
            self._tell(one)

    def _trouble(self, name: str, error: StoreError) -> None:
        limits = self._limits
        if name not in self._waits_s:
            log.warning("schedule %s is put off, since the store did not answer well: %s", name, printable(str(error)))
        first_s, longest_s = limits.alarm_first_wait_s, limits.alarm_longest_wait_s
        if isinstance(error, Denied):  # most likely for good
            first_s = longest_s = limits.duty_longest_wait_s
        self._waits_s[name] = min(max(first_s, 2 * self._waits_s.get(name, 0.0)), longest_s)
        self._clock.put_off(name, until=self._repository.now() + self._waits_s[name])

    def _tell(self, stored: Submitted) -> None:
        if stored.is_new:
            now = self._repository.now
            self._observers.tell(JobSubmitted, lambda: JobSubmitted(at=now(), job=stored.job, took_s=0.0))
