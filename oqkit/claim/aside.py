"""What a worker puts aside: documents it cannot understand, and jobs with which something unforeseen went wrong.

Whatever an object holds must not end a worker, keep it busy or keep it from other jobs. So what fails is named once,
and left alone for a time that doubles with every try: somebody may repair it, or upgrade this worker.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from cachetools import FIFOCache

from oqkit.errors import OqError
from oqkit.limits import ClaimLimits
from oqkit.printable import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    wait_s: float
    said: str


class Aside:
    """Names of objects and jobs, and until when each is left alone; times in epoch seconds."""

    def __init__(self, rng: random.Random, *, limits: ClaimLimits) -> None:
        self._rng = rng
        self._limits = limits
        self._entries: FIFOCache[str, _Entry] = FIFOCache(limits.aside_names)

    def until(self, name: str) -> float:
        """Return until when to leave something alone; 0 if it was not put aside."""
        entry = self._entries.get(name)
        return entry.until if entry is not None else 0.0

    def put(self, name: str, error: Exception, *, now: float) -> float:
        """Put something aside and return until when; tell people why, once."""
        known, limits = self._entries.pop(name, None), self._limits
        wait_s = limits.aside_first_s if known is None else min(2 * known.wait_s, limits.aside_longest_s)
        said = f"{type(error).__name__}: {error}"
        if known is None or known.said != said:
            is_expected = isinstance(error, OqError)
            log.warning(
                "left alone: %s", printable(error if is_expected else name), exc_info=None if is_expected else error
            )
        until = now + max(wait_s, limits.aside_spacing_s * len(self._entries)) * self._rng.uniform(1.0, 2.0)
        self._entries[name] = _Entry(until, wait_s, said)
        return until

    def works(self, name: str) -> None:
        """Take in that it is as it should be: the next trouble is named again."""
        self._entries.pop(name, None)
