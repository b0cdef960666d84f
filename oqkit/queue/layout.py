"""How many shards a queue has had, and so in which shard the objects of a job are.

Each number of shards that a queue was ever given is a *layout*, numbered in the order in which they came; the list is in
``queue.json``, and only grows. A job says for good in which layout its work and its markers are, and the key of its object follows
from its id: one without a key begins with the number of its layout, one with a key is in the first layout for ever. So nothing is
ever moved, nobody looks in two places, and whoever has not heard of the last layout writes what everybody finds. A number
that is not known means that ``queue.json`` has to be read again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from oqkit.errors import FormatError, JobMissing, Missing, StoreError, UsageError
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_LAYOUTS, MAX_SHARDS, LayoutNumber
from oqkit.queue.cas import CasLoop
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.job import LAYOUTS, Job
from oqkit.store.base import Store

Shards = Annotated[int, Meta(ge=1, le=MAX_SHARDS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Document):
    """What holds for a whole queue."""

    shards: Shards
    """Of the first layout."""
    later: Annotated[tuple[Shards, ...], Meta(max_length=MAX_LAYOUTS - 1)] = ()
    """Of the others, in their order."""
    current: LayoutNumber = 0
    """In which layout new jobs are made."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many shards each layout has."""
        return (self.shards, *self.later)

    @property
    def most(self) -> int:
        """How many shards there are in all."""
        return max(self.counts)

    @property
    def present(self) -> int:
        """How many shards new jobs are spread over."""
        return self.counts[self.current]


SETTINGS = document_type(Settings, what="settings", key_of=lambda _: keys.SETTINGS)


def check_shards(shards: int) -> int:
    """Return a number of shards that a queue can have, or raise `UsageError`."""
    if not (type(shards) is int and 1 <= shards <= MAX_SHARDS):
        raise UsageError(f"shards={shards!r} must be a whole number from 1 to {MAX_SHARDS:,}")
    return shards


def resharded(settings: Settings, shards: int) -> Settings:
    """Return the settings once new jobs are spread over so many shards; raise `UsageError` if there were too many numbers before."""
    if shards in settings.counts:
        return replace(settings, current=settings.counts.index(shards))
    if len(settings.counts) >= MAX_LAYOUTS:
        had = ", ".join(map(str, settings.counts))
        raise UsageError(
            f"shards={shards}: a queue has {MAX_LAYOUTS} numbers of shards in its life, and this one had {had}"
        )
    requires = tuple(dict.fromkeys((*settings.requires, LAYOUTS)))
    return replace(settings, later=(*settings.later, shards), current=len(settings.counts), requires=requires)


class Layouts:
    """The layouts of a queue, as far as this process knows. Threads may share it."""

    def __init__(self, store: Store, settings: Settings, *, fresh_s: float) -> None:
        self.settings = settings
        self._store = store
        self._fresh_s = fresh_s
        self._learned = store.clock.monotonic()

    def learn(self) -> bool:
        """Read the settings again; return False if the store does not answer. Those hold that are known."""
        self._learned = self._store.clock.monotonic()
        try:
            self._read()
        except StoreError as error:
            return isinstance(error, Missing)
        return True

    def _read(self) -> None:
        found = SETTINGS.load(self._store.read(keys.SETTINGS).data, keys.SETTINGS)
        if found.rev > self.settings.rev:
            self.settings = found

    def reshard(self, loop: CasLoop, shards: int) -> Settings:
        """Spread new jobs over so many shards from now on, in one write; none if it is so already."""
        held = loop.update(
            SETTINGS,
            keys.SETTINGS,
            lambda settings: resharded(settings, shards),
            applied=lambda settings: settings.present == shards,
        )
        self.settings = held.doc
        return held.doc

    def current(self) -> int:
        """Return the layout of new jobs; whether that has changed is asked now and then."""
        if self._store.clock.monotonic() - self._learned >= self._fresh_s:
            self.learn()
        return self.settings.current

    def job_key(self, job_id: str) -> str:
        """Return the key of a job object; raise `JobMissing` for an id of a layout that the queue does not have."""
        layout = int(job_id[0]) if keys.is_job_id(job_id) and not keys.is_keyed(job_id) else 0
        if not self._knows(layout):
            raise JobMissing(job_id)
        return keys.job_key(job_id, self.settings.counts[layout])

    def shard(self, job: Job) -> str:
        """Return the shard of a job's work, or raise `FormatError`."""
        if not self._knows(job.layout):
            raise FormatError(f"job {job.id} is in layout {job.layout}, which this queue does not have")
        return keys.shard_of(job.id, self.settings.counts[job.layout])

    def fits(self, marker: keys.Marker) -> bool:
        """Whether a marker is where one of that job can be, as far as is known."""
        return any(marker.shard == keys.shard_of(marker.job, count) for count in self.settings.counts)

    def _knows(self, layout: int) -> bool:
        if layout >= len(self.settings.counts):
            self._read()  # or raise `StoreError`: nobody may take a job for gone because the store does not answer
        return layout < len(self.settings.counts)
