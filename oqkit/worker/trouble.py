"""A store that refuses: said once, and asked again ever more rarely until it works."""

from __future__ import annotations

import logging

from oqkit.errors import StoreError

log = logging.getLogger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


class Trouble:
    """What is in the way, and when to try again."""

    def __init__(self) -> None:
        self._said: type[Exception] | None = None
        self._wait_s = 0.0
        self._again = float("-inf")

    def note(self, error: Exception, *, now: float) -> None:
        """Take in that a try at `now` (monotonic seconds) failed; tell people once what kind of trouble it is."""
        self._wait_s = min(max(FIRST_WAIT_S, 2 * self._wait_s), LONGEST_WAIT_S)
        self._again = now + self._wait_s
        if type(error) is not self._said:
            is_expected = isinstance(error, StoreError)
            log.warning(
                "no new work could be fetched; trying again until it works: %s",
                error,
                exc_info=None if is_expected else error,
            )
            self._said = type(error)

    def over(self) -> None:
        """Take in that it works."""
        if self._said is not None:
            log.info("new work can be fetched again")
        self._said, self._wait_s, self._again = None, 0.0, float("-inf")

    def left_s(self, now: float) -> float:
        """Return how long to wait before the next try, in seconds."""
        return max(0.0, self._again - now)
