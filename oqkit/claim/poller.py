"""What work there is: the open markers, listed in a bounded number of requests (guarantee G6).

One LIST shows every marker of a small queue, whatever the number of its shards. Where there are more than
a page, successive looks walk on through the pages until they have seen all of them. In a shard that fills a
page by itself the walk follows the topics that concern this worker, so that jobs of other types are never in
the way. While a walk is under way and there is nothing to do, the next look comes at once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import le

from oqkit.claim.alarm_clock import AlarmClock
from oqkit.claim.pause_watch import PauseWatch
from oqkit.claim.shard_share import ShardShare
from oqkit.errors import FormatError, Missing, Unavailable
from oqkit.limits import ClaimLimits
from oqkit.queue import key as keys
from oqkit.queue.alarm import FOLDER as ALARMS
from oqkit.queue.bell import News, load_news
from oqkit.queue.bound import MAX_SHARDS
from oqkit.queue.job import Job
from oqkit.queue.reconcile import newest_generations
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.store.base import Entry, Page

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Which jobs concern a worker: these task types, or everything if it trusts shipped code."""

    types: frozenset[str] = frozenset()
    everything: bool = False

    def holds(self, topic: str) -> bool:
        """Whether jobs of this topic concern the worker: what is shipped by value may be a function that it has."""
        return self.has_type(keys.type_of(topic))

    def has_type(self, job_type: str) -> bool:
        """Whether jobs of a task type concern the worker."""
        return self.everything or job_type in self.types

    def names(self) -> list[str]:
        """Return the topics of the task types."""
        return [keys.topic_of(name, by_value=by_value) for name in sorted(self.types) for by_value in (False, True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The markers that a look saw; `is_complete` if the queue had no others that concern the worker."""

    markers: tuple[keys.Marker, ...]
    is_complete: bool
    job: Job | None = None
    """The job of the only marker, where the bell told of it."""


@dataclass(slots=True)
class MarkerWalk:
    """Goes through more markers than a page holds, a few requests at a time."""

    repository: Repository
    topics: Topics
    share: ShardShare | None = None
    """Which shards this worker lists, where there are more markers than a page shows; None: all."""
    signs: list[Entry] | None = None
    """The pause signs, if the last step showed all that there are."""
    _shards: Rows | None = None
    """What the present walk passes through; None: all shards."""
    _limits: ClaimLimits = field(init=False)
    _after: str | None = None
    """Where the next page starts."""
    _left: dict[str, str | None] = field(default_factory=dict)
    """Folders to be listed, and where to go on in each."""
    _soon: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Folders of which only the markers were read that fall due first: when others may (epoch seconds), and after what."""

    def __post_init__(self) -> None:
        self._limits = self.repository.limits.claim

    @property
    def is_midway(self) -> bool:
        """Whether there are markers that the present walk has not seen."""
        return self._after is not None or bool(self._left)

    def falls_due(self, now: float) -> bool:
        """Whether markers may fall due that were left out so far."""
        return any(due <= now for due, _ in self._soon.values())

    def go_on(self) -> tuple[list[Entry], bool]:
        """Return the next entries, and whether those are all that there are."""
        now, self.signs = self.repository.now(), None
        due = {folder: after for folder, (when, after) in self._soon.items() if when <= now}
        self._left = {**due, **self._left}
        found: list[Entry] = []
        for _ in range(0 if self._left else self._limits.look_pages):
            is_first = self._after is None
            page = self.repository.store.list(keys.OPEN, after=self._after, limit=self._limits.page_markers)
            if is_first:
                self._begin(page)
            found += page.entries if self._shards is None else _within(self._shards, page.entries)
            self._after = None if page.next is None else self._ahead(page.next)
            if page.next is None:
                if is_first:
                    self._soon = {}
                return found, is_first
            if (shard := _only_shard(page)) is not None and self._has(int(shard, 16)):
                self._enter(shard)
                break
            if self._after is None:
                break
        return found + self._in_folders(), False

    def _begin(self, page: Page) -> None:
        """Take in the first page of a walk: the pause signs, and whether others look at some of the shards."""
        if page.next is None or _is_in_order(page):
            self.signs = [entry for entry in page.entries if entry.key.startswith(keys.PAUSES)]
        self._shards = None
        if self.share is not None:
            self.share.note(is_crowded=page.next is not None)
            if page.next is not None and self.signs is not None:
                self._shards = self.share.begin_walk()

    def _has(self, shard: int) -> bool:
        return self._shards is None or shard in self._shards

    def _ahead(self, name: str) -> str | None:
        """Return after what to go on behind a name: in its shard, if that is to be listed; None if there is nothing left."""
        shard = _shard_of(name)
        return name if shard is None or self._has(shard) else self._from(shard + 1)

    def _from(self, shard: int) -> str | None:
        """Return after what to list the shards from that one on; None if none of them is to be listed."""
        if self._shards is not None:
            left = self._shards.clip(shard, MAX_SHARDS)
            if not left:
                return None
            shard = left.first
        return f"{keys.open_prefix(f'{shard - 1:04x}')}~"  # which sorts behind every topic

    def _enter(self, shard: str) -> None:
        """Follow the topics of a shard that has many markers, those that are due first."""
        prefix = keys.open_prefix(shard)
        if self.topics.everything:
            folders = self.repository.store.list(prefix, limit=self._limits.page_markers, folders=True).folders
            topics = tuple(folder for folder in folders if folder != f"{prefix}{ALARMS}")
        else:
            topics = tuple(f"{prefix}{name}/" for name in self.topics.names())
        self._left = dict.fromkeys(f"{topic}{when}/" for when in ("ready", "later") for topic in topics)
        is_last = int(shard, 16) + 1 >= self.repository.settings.most
        self._after = None if is_last else self._from(int(shard, 16) + 1)

    def _in_folders(self) -> list[Entry]:
        found: list[Entry] = []
        for folder in list(self._left)[: self._limits.look_folders]:
            is_later = folder.endswith("/later/")
            limit = max(1, self._limits.page_markers // (10 if is_later else 1))
            page = self.repository.store.list(folder, after=self._left.pop(folder), limit=limit)
            found += page.entries
            self._soon.pop(folder, None)
            if page.next is None:
                continue
            if is_later:
                self._soon[folder] = (_last_due(page.entries), page.next)
            else:
                self._left[folder] = page.next  # behind the others: those come first
        return found


@dataclass(slots=True)
class Poller:
    """Looks for markers when there is reason to: the doorbell rang, or it is time."""

    repository: Repository
    topics: Topics
    answered: float = float("-inf")
    """When the last listing that the store answered was begun, in monotonic seconds."""
    marked: Mapping[str, int] | None = None
    """The jobs that had a marker when all of them were listed last, and of what generation; None if there were too many."""
    alarms: AlarmClock = field(init=False)
    """What the listings have shown of schedules."""
    _limits: ClaimLimits = field(init=False)
    _walk: MarkerWalk = field(init=False)
    pauses: PauseWatch = field(init=False)
    _bell: str = ""
    _news: News | None = None
    _is_told: bool = False
    """Whether the bell rang for something else than a job that it told of: perhaps for a pause."""
    _looked: float = float("-inf")
    _listed: float = float("-inf")
    _again: list[float] = field(default_factory=list)
    """When to list again after a ring, soonest first."""
    _busy: float = float("-inf")
    _n_late: int = 0
    """How many claims came too late since the markers were listed last."""
    _asked: float | None = None
    """At which look the settings were read again, since there was a marker in a shard that it cannot be in."""
    _has_learned: bool = True
    """Whether they could be read then."""
    _strange: set[str] = field(default_factory=set)
    """Names that are no markers and were reported."""

    def __post_init__(self) -> None:
        self._limits = self.repository.limits.claim
        self._walk = MarkerWalk(self.repository, self.topics)
        self.pauses = PauseWatch(self.repository, concerns=self.topics.has_type)
        self.alarms = AlarmClock(self.repository)

    def is_due(self, *, has_work: bool) -> bool:
        """Whether to look now; asks the doorbell (one GET) at most every poll interval.

        Also with work at hand, since newer work may be more urgent, but then it is less often time.
        """
        now = self.repository.store.clock.monotonic()
        looks = self._again[1:2] or self._again if has_work else self._again
        if now - self._listed >= self._list_every_s(has_work=has_work) or (looks and now >= looks[0]):
            if self._walk.is_midway and now >= self._asks_next():
                self._ask(now)  # a walk takes many looks: what the bell tells of comes first
            return True
        now_s = self.repository.now()
        if self._walk.falls_due(now_s) or now_s >= self.pauses.ends:
            return True
        if now < self._asks_next():
            return False
        return self._ask(now)

    def _ask(self, now: float) -> bool:
        """Ask the doorbell, and return whether it rang."""
        self._looked = now
        rang = self._rang()
        if rang:
            self._look_again(now)
        return rang

    def next_look_s(self) -> float:
        """Return how long there is nothing to do before the next look, in seconds."""
        now = self.repository.store.clock.monotonic()
        resumes_s = self.pauses.ends - self.repository.now()
        return max(0.0, min(min([self._asks_next(), *self._again[:1]]) - now, resumes_s))

    def poll_s(self) -> float:
        """Return how long to wait between two looks at the doorbell: the longer the longer there was no work."""
        idle_s = self.repository.store.clock.monotonic() - self._busy
        poll_s, limits = self.repository.store.poll_s, self._limits
        if idle_s > limits.idle_after_s:
            return poll_s * limits.idle_factor
        return poll_s * min(1.0, max(limits.hot_factor, idle_s / limits.cool_s))

    def share_shards(self, share: ShardShare) -> None:
        """List only the shards of a share, where there are more markers than a page shows."""
        self._walk.share = share

    def has_looked_everywhere(self) -> bool:
        """Whether the last looks have shown all markers; if not, the next ones do."""
        if self._walk.is_midway:
            return False
        if self._walk.share is None or self._walk.share.look_everywhere():
            return True
        self.look_soon()
        return False

    def look_soon(self) -> None:
        """List the markers at the next opportunity: there is work that came from here. Any thread may call it."""
        self._listed = float("-inf")

    def came_late(self, job: Job) -> None:
        """Take in that others had taken what a marker told of; after a few of these a listing costs less than more of them."""
        self._n_late += job.n_parts == 1
        if self._n_late >= self._limits.late_claims:
            self.look_soon()

    def found_work(self) -> None:
        """Poll at the quick pace for a while."""
        self._busy = self.repository.store.clock.monotonic()

    def _list_every_s(self, *, has_work: bool) -> float:
        if self._walk.is_midway and not has_work:
            return self.repository.store.poll_s
        if self.poll_s() > self.repository.store.poll_s:
            return self._limits.list_every_s * self._limits.idle_list_factor
        return self._limits.list_every_s * (self._limits.busy_list_factor if has_work else 1.0)

    def _asks_next(self) -> float:
        """Return when to ask the doorbell next: not while a look is near that tells all that a ring would."""
        asks = self._looked + self.poll_s()
        is_near = bool(self._again) and self._again[0] - asks <= self.repository.store.ring_s
        return max(asks, self._again[0]) if is_near else asks

    def _look_again(self, now: float) -> None:
        """Look a few times more after a ring: the marker may come after it, and rings are left out for `ring_s`."""
        ring_s, limits = self.repository.store.ring_s, self._limits
        late_s = max(ring_s, self.repository.limits.queue.marker_late_s) * limits.look_last_rings
        looks = [now + ring_s * limits.look_first_rings, now + late_s] if ring_s else [now + late_s]
        known = self._again[: limits.planned_looks - 1]  # never put off by later rings
        self._again = [*known, *looks[-1:]] if known else looks

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
        fresh_s = self.repository.limits.queue.bell_fresh_s
        self._news = load_news(blob.data, now=self.repository.now(), fresh_s=fresh_s, load=self.repository.load_job)
        self._is_told = self._is_told or self._news is None
        return True

    def look(self) -> Listing:
        """Return what the bell said, or list some markers that concern this worker, in a few requests."""
        news, self._news = self._news, None
        if news is not None:
            told = (news.marker,) if self.topics.holds(news.marker.topic) else ()
            return Listing(markers=told, is_complete=False, job=news.job)
        now = self.repository.store.clock.monotonic()
        if self._busy == float("-inf"):
            self._busy = now - self._limits.cool_s
        self._again = [when for when in self._again if when > now]
        self._listed, self._looked, self._n_late = now, now, 0
        found, is_complete = self._look_around(now, told=self._is_told)
        self._is_told = False
        self.answered = now
        names = dict.fromkeys(entry.key for entry in found if not keys.is_pause_key(entry.key))
        alarms = self.alarms.take_in(names)
        markers = [marker for key in names if key not in alarms and (marker := self._read(key)) is not None]
        self.marked = newest_generations(markers) if is_complete else None
        mine = tuple(marker for marker in markers if self.topics.holds(marker.topic))
        return Listing(markers=mine, is_complete=is_complete)

    def _look_around(self, monotonic: float, *, told: bool) -> tuple[list[Entry], bool]:
        """List some markers, and learn of pauses: from that listing if it shows all signs, else by themselves now and then."""
        now = self.repository.now()
        try:
            found, is_complete = self._walk.go_on()
        finally:  # what a listing has shown of pauses holds, whether or not the store answers the next
            if self._walk.signs is not None:
                self.pauses.take_in(self._walk.signs, now=now, monotonic=monotonic)
            elif told or now >= self.pauses.ends or monotonic - self.pauses.looked >= self._limits.look_signs_s:
                self.pauses.look()
        return found, is_complete

    def _read(self, key: str) -> keys.Marker | None:
        marker = _parsed(key)
        if marker is not None and self.repository.layouts.fits(marker):
            return marker
        if marker is not None and key not in self._strange:
            if self._asked != self._listed:  # once a look: there may be a layout more by now
                self._asked, self._has_learned = self._listed, self.repository.layouts.learn()
            if self.repository.layouts.fits(marker):
                return marker
            if not self._has_learned:
                return None  # nobody can say: the next look tells
        if key not in self._strange and len(self._strange) < self._limits.page_markers:
            log.warning("left alone: %r is not a marker that this oqkit knows", key)
            self._strange.add(key)
        return None


def _parsed(key: str) -> keys.Marker | None:
    try:
        return keys.parse_marker(key)
    except FormatError:
        return None


def _last_due(entries: Iterable[Entry]) -> float:
    """Return the latest time that markers of one folder tell of, in epoch seconds."""
    return max((marker.due for entry in entries if (marker := _parsed(entry.key)) is not None), default=0.0)


def _is_in_order(page: Page) -> bool:
    """Whether a first page shows what sorts before its last key, as listings do that are in order: not all stores' are."""
    names = [entry.key for entry in page.entries]
    return names[-1] > f"{keys.PAUSES}~" and all(map(le, names, names[1:]))


def _shard_of(name: str) -> int | None:
    """Return the shard that a name is in; None if it is that of a pause sign, or of nothing that is known."""
    found = _SHARD.match(name)
    return None if found is None else int(found[1], 16)


def _within(shards: Rows, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield what is in one of these shards, or in none at all."""
    for entry in entries:
        shard = _shard_of(entry.key)
        if shard is None or shard in shards:
            yield entry


_SHARD = re.compile(f"{keys.OPEN}([0-9a-f]{{4}})/")


def _only_shard(page: Page) -> str | None:
    """Return the shard that all keys of a page are in, or None if they are in several."""
    shards = {entry.key.split("/")[1] for entry in page.entries if not entry.key.startswith(keys.PAUSES)}
    only = shards.pop() if len(shards) == 1 else ""
    return only if re.fullmatch("[0-9a-f]{4}", only) else None
