"""What work there is: the open markers, listed in a bounded number of requests (guarantee G6).

One LIST shows every marker of a small queue. Where a queue has more than a page of them, each topic
that concerns this worker is listed by itself, so that jobs of other types are never in the way, and
successive polls walk on from where the last one stopped, so that jobs that others are busy with are
not in the way either.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from oqkit.errors import FormatError, Missing, Unavailable
from oqkit.queue import key as keys
from oqkit.queue.bell import News, load_news
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository

log = logging.getLogger(__name__)

LIST_EVERY_S = 30.0
IDLE_AFTER_S = 600.0
IDLE_FACTOR = 7.0
COOL_S = 20.0
HOT_FACTOR = 0.2
LOOKS_A_RING = (0.4, 1.2)
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Which jobs concern a worker: these task types, or everything if it trusts shipped code."""

    types: frozenset[str] = frozenset()
    everything: bool = False

    def holds(self, topic: str) -> bool:
        """Whether jobs of this topic concern the worker."""
        return self.everything or any(topic == keys.topic_of(name, by_value=False) for name in self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The markers that a poll saw; `is_complete` if the shard has no others that concern the worker."""

    markers: tuple[keys.Marker, ...]
    shard: str
    is_complete: bool
    job: Job | None = None
    """The job of the only marker, where the bell told of it."""


@dataclass(slots=True)
class Poller:
    """Looks for markers when there is reason to: the doorbell rang, or it is time."""

    repository: Repository
    topics: Topics
    _cursors: dict[str, str | None] = field(default_factory=dict)
    _bell: str = ""
    _news: News | None = None
    _looked: float = float("-inf")
    _listed: float = float("-inf")
    _again: list[float] = field(default_factory=list)
    """When to list again after a ring, soonest first."""
    _busy: float = float("-inf")
    _shard: int = -1
    _strange: set[str] = field(default_factory=set)
    """Names that are no markers and were reported."""

    def is_due(self, *, has_work: bool) -> bool:
        """Whether to list now; asks the doorbell (one GET) at most every poll interval.

        Also with work at hand, since newer work may be more urgent, but then it is less often time.
        """
        now = self.repository.store.clock.monotonic()
        every_s = LIST_EVERY_S * (2.0 if has_work or self.poll_s() > self.repository.store.poll_s else 1.0)
        looks = self._again[-1:] if has_work else self._again[:1]
        if now - self._listed >= every_s or any(now >= when for when in looks):
            return True
        if self._again or now - self._looked < self.poll_s():
            return False  # after a ring the next looks tell all that another ring would
        self._looked = now
        if self._rang():
            # Rings are left out for `ring_s` after one, so look a few times more.
            self._again = [now + part * self.repository.store.ring_s for part in LOOKS_A_RING]
            return True
        return False

    def next_look_s(self) -> float:
        """Return how long there is nothing to do before the next look, in seconds."""
        now = self.repository.store.clock.monotonic()
        wake = self._again[0] if self._again else self._looked + self.poll_s()
        return max(0.0, wake - now)

    def poll_s(self) -> float:
        """Return how long to wait between two looks at the doorbell: the longer the longer there was no work."""
        idle_s = self.repository.store.clock.monotonic() - self._busy
        if idle_s > IDLE_AFTER_S:
            return self.repository.store.poll_s * IDLE_FACTOR
        return self.repository.store.poll_s * min(1.0, max(HOT_FACTOR, idle_s / COOL_S))

    def found_work(self) -> None:
        """Poll at the quick pace for a while."""
        self._busy = self.repository.store.clock.monotonic()

    def _rang(self) -> bool:
        store = self.repository.store
        try:
            blob = store.read_changed(keys.BELL, etag=self._bell) if self._bell else store.read(keys.BELL)
        except Missing:
            return False
        except Unavailable:
            return True
        if blob is None:
            return False
        self._bell = blob.etag
        self._news = load_news(blob.data, now=self.repository.now())
        return True

    def look(self) -> Listing:
        """Return what the bell said, or list the markers that concern this worker: at most two pages a topic, plus one."""
        news, self._news = self._news, None
        if news is not None:
            return self._told(news)
        now = self.repository.store.clock.monotonic()
        if self._busy == float("-inf"):
            self._busy = now - COOL_S
        self._again = [when for when in self._again if when > now]
        self._listed = self._looked = now
        self._shard = (self._shard + 1) % self.repository.settings.shards
        shard = f"{self._shard:04x}"
        prefix = keys.open_prefix(shard)
        page = self.repository.store.list(prefix, limit=PAGE)
        found = [entry.key for entry in page.entries]
        if page.next is not None:
            found += [key for topic in self._topics(prefix) for key in self._walk(topic)]
        markers = (marker for key in dict.fromkeys(found) if (marker := self._read(key)) is not None)
        mine = tuple(marker for marker in markers if self.topics.holds(marker.topic))
        return Listing(markers=mine, shard=shard, is_complete=page.next is None)

    def _told(self, news: News) -> Listing:
        mine = (news.marker,) if self.topics.holds(news.marker.topic) else ()
        return Listing(markers=mine, shard=news.marker.shard, is_complete=False, job=news.job)

    def _topics(self, prefix: str) -> list[str]:
        if not self.topics.everything:
            return [f"{prefix}{keys.topic_of(name, by_value=False)}/" for name in sorted(self.topics.types)]
        return list(self.repository.store.list(prefix, limit=PAGE, folders=True).folders)

    def _walk(self, topic: str) -> list[str]:
        later = self.repository.store.list(f"{topic}later/", limit=PAGE // 10)
        ready = self.repository.store.list(f"{topic}ready/", after=self._cursors.get(topic), limit=PAGE)
        self._cursors[topic] = ready.next
        return [entry.key for entry in (*ready.entries, *later.entries)]

    def _read(self, key: str) -> keys.Marker | None:
        try:
            return keys.parse_marker(key)
        except FormatError as error:
            if key not in self._strange:
                log.warning("left alone: %s", error)
                self._strange.add(key)
            return None
