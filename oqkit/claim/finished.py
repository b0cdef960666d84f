"""The markers of jobs that are done, on their way to being deleted."""

from __future__ import annotations

import math
import threading

from oqkit.queue.repository import Repository
from oqkit.store.base import MAX_KEYS


class FinishedMarkers:
    """Deletes markers: several in one request while no other worker is about, else without delay. A duty.

    Others would be misled by those that are left a while. What this worker may not delete it does not look at again,
    as long as that is not too much to remember. Threads may share it.
    """

    name = "finished"

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._limits = repository.limits.claim
        self._since: dict[str, float] = {}
        """Marker to when it was found to be of no more use."""
        self._going: dict[str, float] = {}
        self._met = -math.inf
        """When another worker was last in the way."""
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._since or key in self._going

    def add(self, key: str) -> None:
        """Let a marker be deleted soon."""
        with self._lock:
            self._since[key] = self._now()

    def met_another(self) -> None:
        """Note that another worker is about."""
        self._met = self._now()

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds."""
        now = self._now()
        oldest = next(iter(self._since.values()), math.inf)
        if len(self._since) >= MAX_KEYS or (self._since and now - self._met <= self._limits.alone_s):
            return 0.0
        return max(0.0, oldest + self._limits.together_s - now)

    def perform(self) -> None:
        """Delete what is there."""
        with self._lock:
            going, self._since = self._since, {}
            self._going |= going
        is_allowed = not going or self._repository.delete_quietly(*going)
        with self._lock:
            if is_allowed:
                self._going = {key: since for key, since in self._going.items() if key not in going}
            elif len(self._going) > self._limits.refused_markers:
                self._going = {}

    leave = perform

    def _now(self) -> float:
        return self._repository.store.clock.monotonic()
