"""A store that is away or refuses: said once an outage, and asked again ever more rarely until it works."""

from __future__ import annotations

import logging

from oqkit.errors import StoreError, Unavailable
from oqkit.limits import WorkerLimits
from oqkit.worker.thread import Threads

log = logging.getLogger(__name__)


class Trouble:
    """What keeps a worker, all slots of it together, from fetching work, and when to try again.

    An outage is over when there is evidence that what failed works again, and not just because
    something else went well. Times are monotonic seconds.
    """

    def __init__(self, threads: Threads, *, limits: WorkerLimits) -> None:
        self._lock = threads.lock()
        self._limits = limits
        self._met: dict[type[Exception], float] = {}
        """The kinds of trouble that people were told of and that are not over, and when each was last met."""
        self._wait_s = 0.0
        self._again = float("-inf")

    def note(self, error: Exception, *, since: float, now: float) -> None:
        """Take in that a try, begun at `since`, failed at `now`; tell people once what kind of trouble it is."""
        with self._lock:
            if since >= self._again:  # one that was under way when another slot's failed is no further try
                first_s, longest_s = self._limits.fetch_first_wait_s, self._limits.fetch_longest_wait_s
                self._wait_s = min(max(first_s, 2 * self._wait_s), longest_s)
                self._again = now + self._wait_s
            is_new = type(error) not in self._met
            self._met[type(error)] = now
        if is_new:
            is_expected = isinstance(error, StoreError)
            log.warning(
                "no new work could be fetched; trying again until it works: %s",
                error,
                exc_info=None if is_expected else error,
            )

    def works(self, *, since: float, has_work: bool, answered: float) -> None:
        """Take in that a try, begun at `since`, went well, whether it brought work, and when a listing was last answered.

        A try without work shows nothing: perhaps the store was not even asked. A listing shows that the store
        is not away any more, but not that it does what it refused: a worker that may list may not be let claim.
        """
        works = since if has_work else float("-inf")
        with self._lock:
            over = {
                kind
                for kind, met in self._met.items()
                if met < works or (issubclass(kind, Unavailable) and met < answered)
            }
            self._met = {kind: met for kind, met in self._met.items() if kind not in over}
            if self._met:
                return
            self._wait_s, self._again = 0.0, float("-inf")
        if over:
            log.info("new work can be fetched again")

    def left_s(self, now: float) -> float:
        """Return how long to wait before the next try, in seconds."""
        return max(0.0, self._again - now)
