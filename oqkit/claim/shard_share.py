"""Which shards a worker lists, where there are too many markers for everybody to list all of them. A duty of the worker.

As long as one listing shows all markers, a share of them would save nothing: then no share is leased, and nothing is asked.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from oqkit.clock import new_id
from oqkit.errors import FormatError
from oqkit.printable import printable
from oqkit.queue.eligibility import Ability
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.shard_table import MAX_SHARES, SHARD_TABLE, ShardTable, given_back, group_of, key_of, renewed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What the table said when it was written last."""

    shards: Rows
    until: float
    """Epoch seconds."""


class ShardShare:
    """The share of one worker.

    The duty is performed in a thread of its own, the rest is called by whoever looks for work, one at a time.
    """

    name = "shard lease"

    def __init__(self, repository: Repository, *, worker: str, ability: Ability) -> None:
        self._repository = repository
        self._limits = repository.limits.claim
        self._worker = worker
        self._group = group_of(ability)
        self._types = tuple(sorted(ability.types))[:MAX_SHARES]
        self._id = new_id(repository.rng)
        self._is_crowded = False
        self._held: _Held | None = None
        self._is_said = False
        self._renews = -math.inf
        self._looked_everywhere = -math.inf
        self._is_everywhere = True
        """Whether the last walk was to see everything."""

    # --- looking for work ------------------------------------------------------------------------

    def begin_walk(self) -> Rows | None:
        """Return the shards to list this time; None: all, also for a worker that has none or cannot renew its lease."""
        now, held = self._monotonic(), self._held
        is_late = now - self._looked_everywhere >= self._limits.look_everywhere_s
        self._is_everywhere = is_late or held is None or not held.shards or held.until <= self._repository.now()
        if self._is_everywhere or held is None:
            self._looked_everywhere = now
            return None
        return held.shards

    def note(self, *, is_crowded: bool) -> None:
        """Take in whether there were more markers than a listing shows."""
        self._is_crowded = is_crowded
        self._is_everywhere |= not is_crowded

    def look_everywhere(self) -> bool:
        """Return whether the last walk was to see all shards; if not, the next one is."""
        if not self._is_everywhere:
            self._looked_everywhere = -math.inf
        return self._is_everywhere

    # --- the duty --------------------------------------------------------------------------------

    def wait_s(self) -> float:
        """Return how long no lease is to be written, in seconds."""
        if self._held is None and not self._is_crowded:
            return math.inf
        return max(0.0, self._renews - self._monotonic())

    def perform(self) -> None:
        """Lease a share anew, or give it back if it is of no more use."""
        self._renews = self._monotonic() + self._limits.shard_lease_s * self._limits.shard_renew_share
        if not self._is_crowded:
            self.leave()
            return
        least = self._repository.now() + self._limits.shard_lease_s

        def change(table: ShardTable) -> ShardTable:
            now = self._repository.now()  # later than at first if the store has not answered
            until, n_shards = max(least, now + self._limits.shard_lease_s), self._repository.settings.most
            return renewed(table, self._id, worker=self._worker, until=until, now=now, n_shards=n_shards)

        def is_applied(table: ShardTable) -> bool:
            share = table.share(self._id)
            return share is not None and share.until >= least

        absent = ShardTable(group=self._group, types=self._types)
        try:
            table = self._repository.loop.update(
                SHARD_TABLE, key_of(self._group), change, applied=is_applied, absent=absent
            )
        except FormatError as error:  # then this worker lists all shards
            if not self._is_said:
                log.warning("no shards are leased: %s", printable(str(error)))
            self._is_said = True
            return
        share = table.doc.share(self._id)
        self._held = None if share is None else _Held(shards=share.shards, until=share.until)

    def leave(self) -> None:
        """Give the share back: the others have it from now on."""
        if self._held is None:
            return
        self._held = None
        self._repository.loop.update(
            SHARD_TABLE,
            key_of(self._group),
            lambda table: given_back(table, self._id),
            applied=lambda table: table.share(self._id) is None,
            absent=ShardTable(group=self._group),
        )

    def _monotonic(self) -> float:
        return self._repository.store.clock.monotonic()
