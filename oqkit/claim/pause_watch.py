"""What one worker knows of pauses of the queue and of task types: what the listings of markers show beside them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from oqkit.errors import FormatError, Missing, StoreError, Unavailable
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.collection import Collection
from oqkit.queue.pause import PAUSE, PauseSign
from oqkit.queue.repository import Repository
from oqkit.store.base import Entry

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PauseWatch:
    """Which pauses hold, as of the last look.

    A pause that held then holds until the next look, which is due when it is over by itself: by then somebody may have
    put a newer one in its place. A sign is read again only when it changed, and one that cannot be understood holds
    nobody up (guarantee G9), which is said once.
    """

    repository: Repository
    concerns: Callable[[str], bool] = lambda job_type: True  # noqa: ARG005 - all task types
    ends: float = math.inf
    """When one that holds is over by itself, in epoch seconds: then it is time to look."""
    looked: float = -math.inf
    """When the last look was begun, in monotonic seconds."""
    _known: dict[str, tuple[str, PauseSign | None]] = field(default_factory=dict)
    """Key to the etag of a sign and what it says; None if that is not understood."""
    _holding: dict[str, PauseSign] = field(default_factory=dict)
    """Task type to the sign that held at the last look."""

    def sign(self, job_type: str) -> PauseSign | None:
        """Return the pause for which nothing of a task type is started, or None."""
        return self._holding.get("") or self._holding.get(job_type)

    def look(self) -> None:
        """List the signs, in one request, and read those that changed."""
        now, monotonic = self.repository.now(), self.repository.store.clock.monotonic()
        page = self.repository.store.list(keys.PAUSES, limit=self.repository.limits.claim.page_markers)
        self.take_in(page.entries, now=now, monotonic=monotonic)

    def take_in(self, entries: Iterable[Entry], *, now: float, monotonic: float) -> None:
        """Take in all signs that there are, as a listing showed them that was begun then; one that was not read yet holds."""
        etags = {entry.key: entry.etag for entry in entries if self._concerns_me(entry.key)}
        changed = [key for key, etag in etags.items() if key not in self._known or self._known[key][0] != etag]
        self._known = {key: known for key, known in self._known.items() if key in etags and key not in changed}
        for key in changed[: self.repository.limits.claim.read_signs]:
            with suppress(Unavailable):
                self._known[key] = (etags[key], self._read(key))
        signs = {key: known[1] for key, known in self._known.items()}
        soon = now + self.repository.store.poll_s
        unread = [PauseSign(type=keys.type_of_pause(key), until=soon) for key in changed if key not in self._known]
        holding = [*unread, *(sign for sign in signs.values() if sign is not None and sign.holds(now))]
        self._holding = {sign.type: sign for sign in holding}
        self.ends = min((sign.until for sign in holding if sign.until is not None), default=math.inf)
        self.looked = monotonic

    def _concerns_me(self, key: str) -> bool:
        return keys.is_pause_key(key) and (key == keys.pause_key("") or self.concerns(keys.type_of_pause(key)))

    def _read(self, key: str) -> PauseSign | None:
        try:
            return Collection(self.repository, PAUSE).read(key).doc
        except Missing:
            return None  # somebody removed it meanwhile
        except Unavailable:
            raise
        except (FormatError, StoreError) as error:
            log.warning("left alone, so nothing is paused by it: %s", printable(error))
            return None
