"""Which jobs there are, newest first, in a number of requests that depends on how many are asked for.

No single listing has all jobs in the order of their time, and only that of the markers tells their type. So a few listings
are put together, whose names alone say when a job was submitted, and of some that it is likely to be wanted. Those are
read first, then others that may be newer, until there are enough, or as many were read as is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from oqkit.errors import FormatError, Missing, StoreError
from oqkit.queue import key as keys
from oqkit.queue.bell import load_begin
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.tag_index import entries_of, has_tags, take_down
from oqkit.queue.view import JobState, JobStatus, JobView
from oqkit.store.base import MAX_KEYS, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are wanted; None: all."""

    type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    """Epoch seconds."""
    status: JobStatus | None = None

    def admits(self, job: Job) -> bool:
        """Whether a job is wanted, as far as its object says."""
        is_late = self.since is None or job.created >= self.since
        return is_late and self.type in {None, job.type} and has_tags(job, self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """A job of a listing: its object, or why that cannot be read."""

    id: str
    created: float
    """Epoch seconds; what the keys tell where the object cannot be read, and 0 if they do not."""
    job: Job | None
    why: str = ""
    state: JobState | None = None
    """How it is; None if nobody has asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The jobs that were found, newest first."""

    jobs: list[ListedJob]
    is_complete: bool
    """Whether as many were read as it took: else there may be further ones."""


def newest_jobs(repository: Repository, *, limit: int, wanted: Filter | None = None) -> Listed:
    """Return up to `limit` jobs that are wanted, newest first; also those whose object cannot be read.

    In three listings (of each shard) and `list_reads_factor` reads for each job that is asked for, those of a part of each
    included. Of a crowd of more than a thousand open jobs with a key, no stored inputs and no claimed part, only the newest that
    the bell points to are known, or those of a task type or with a tag that is asked for.
    """
    return _Search(repository, wanted or Filter(), limit).found()


def open_jobs(repository: Repository, *, job_type: str | None = None) -> Iterator[list[str]]:
    """Yield the ids of all jobs that have a marker, of one task type or of all, a page at a time."""
    folders = [keys.OPEN] if job_type is None else _topics(repository, job_type)
    for folder in folders:
        for page in repository.store.list_all(folder):
            yield list(dict.fromkeys(marker.job for marker in _markers(page)))


def tagged_jobs(repository: Repository, tags: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the ids of jobs that may have all of these tags, newest first, a page at a time: of the tag that the fewest have."""
    firsts = {keys.tag_prefix(*tag): repository.store.list(keys.tag_prefix(*tag)) for tag in tags.items()}
    prefix = min(firsts, key=lambda one: (firsts[one].next is not None, len(firsts[one].entries)))
    page = firsts[prefix]
    yield [keys.job_of_folder(entry.key) for entry in page.entries]
    while page.next is not None:
        page = repository.store.list(prefix, after=page.next)
        yield [keys.job_of_folder(entry.key) for entry in page.entries]


class _Search:
    """One listing: which jobs may be wanted, and then reading those."""

    def __init__(self, repository: Repository, wanted: Filter, limit: int) -> None:
        self._repository = repository
        self._store = repository.store
        self._wanted = wanted
        self._limit = limit
        self._most_pages = repository.limits.queue.list_pages
        self._left = repository.limits.queue.list_reads_factor * limit
        """How many reads are left; unless the state is asked for, those of the parts come later."""
        self._spare = max(0, repository.limits.queue.list_stale_reads - self._left)
        """How many more are left for what the index of tags should not have."""
        self._span = self._left if self._wanted != Filter() else limit
        """How many jobs a listing of those that may be wanted has at most: no more can be read."""
        self._likely: dict[str, float] = {}
        """Jobs that most likely are wanted, and when each was submitted at the latest."""
        self._others: dict[str, float] = {}
        self._entries: dict[str, list[str]] = {}
        """What the index of tags has for a job."""
        self._stale: list[str] = []
        """Jobs for which it had what it should not."""
        self._found: list[ListedJob] = []
        self._is_complete = True
        self._knows_all = False
        """Whether those that are likely to be wanted are all of them, as far as an index says."""

    def found(self) -> Listed:
        """Return what there is."""
        self._list()
        self._is_complete |= self._knows_all
        if self._wanted.status is None:
            self._left -= self._limit
        self._read_all(self._likely)
        has_all = self._knows_all and self._is_complete
        self._read_all({job: at for job, at in self._others.items() if job not in self._likely})
        is_complete = has_all or self._is_complete or len(self._found) >= self._limit
        return Listed(jobs=self._newest(), is_complete=is_complete)

    def _newest(self) -> list[ListedJob]:
        return sorted(self._found, key=lambda job: -job.created)[: self._limit]

    # --- which may be wanted -----------------------------------------------------------------------

    def _list(self) -> None:
        status = self._wanted.status
        is_ended = status is not None and status.is_final
        if self._wanted.tags:
            n_listed = self._list_tags()
        elif is_ended:
            n_listed = 0
        elif self._wanted.type is not None:
            n_listed = self._list_type(self._wanted.type)
        else:
            n_listed = self._list_open()
        for number in range(self._repository.settings.most):
            shard = f"{number:04x}"
            if n_listed < self._most_pages:
                folders = self._pages(f"{keys.WORK}{shard}/", self._span, folders=True)
                found = (folder for page in folders for folder in page.folders)
                into = self._likely if is_ended and not self._wanted.tags else self._others
                into.update({keys.job_of_folder(one): keys.created_of_folder(one) for one in found})
            if n_listed + 1 < self._most_pages:
                self._list_job_objects(number)

    def _list_job_objects(self, number: int) -> None:
        """List the newest jobs without a key in a shard, of each layout that has it."""
        for layout, count in enumerate(self._repository.settings.counts):
            if number < count:
                pages = self._pages(f"{keys.JOBS}{number:04x}/{layout}", self._span)
                ids = (keys.job_of_key(entry.key) for page in pages for entry in page.entries)
                self._others.update({job: keys.created_hint(job) for job in ids})

    def _list_tags(self) -> int:
        """List the entries of some tags; return how many listings that took."""
        prefixes = [keys.tag_prefix(*tag) for tag in self._wanted.tags.items()][: self._most_pages]
        pages = [self._store.list(prefix) for prefix in prefixes]
        chosen = [page for page in pages if page.next is None] or pages[:1]
        self._is_complete &= chosen[0].next is None
        self._knows_all = self._is_complete
        for entry in (entry for page in chosen for entry in page.entries):
            self._entries.setdefault(keys.job_of_folder(entry.key), []).append(entry.key)
        found = {job: entries[0] for job, entries in self._entries.items() if len(entries) == len(chosen)}
        self._likely.update({job: keys.created_of_folder(entry) for job, entry in found.items()})
        return len(pages)

    def _list_type(self, job_type: str) -> int:
        """List the open jobs of a task type; return how many listings that took."""
        begin = self._begin()
        topics = _topics(self._repository, job_type)
        n_listed = len(topics) // self._repository.settings.most
        for topic in topics:
            if begin.startswith(topic):
                n_listed += self._list_behind(begin) - 1
                self._is_complete &= self._wanted.status is None  # else older ones may be wanted
            else:
                self._take_in(self._pages(topic, self._limit))
        return n_listed

    def _list_open(self) -> int:
        """List open jobs; return how many listings that took."""
        begin = self._begin() if self._wanted.status is None else ""
        if begin:
            return self._list_behind(begin)
        was_complete = self._is_complete
        self._take_in(self._pages(keys.OPEN, self._limit))
        if self._is_complete or self._wanted.status is None or not (begin := self._begin()):
            return 1
        self._is_complete = was_complete
        return 1 + self._list_behind(begin)

    def _begin(self) -> str:
        """Return the marker behind which there are as many jobs as are asked for, if the bell says so; else nothing."""
        if self._limit > self._repository.limits.queue.bell_trail_jobs:
            return ""
        self._left -= 1
        try:
            return load_begin(self._store.read(keys.BELL).data)
        except Missing:
            return ""

    def _list_behind(self, begin: str) -> int:
        """List the markers behind one that the bell tells; return how many listings that took."""
        topic = "/".join(begin.split("/")[:3])
        pages = list(self._pages(f"{topic}/", (self._most_pages - 1) * MAX_KEYS, after=begin))
        self._take_in(pages)
        return len(pages)

    def _take_in(self, pages: Iterable[Page]) -> None:
        now = self._repository.now()
        into = self._likely if self._wanted != Filter() else self._others
        for marker in (marker for page in pages for marker in _markers(page)):
            into[marker.job] = keys.created_hint(marker.job) or min(marker.due, now)

    def _pages(self, prefix: str, n_most: int, *, after: str | None = None, folders: bool = False) -> Iterator[Page]:
        """Yield pages with up to so many entries or folders, rounded up to a page of markers; note if that is not all."""
        n_left = n_most
        while True:
            size = MAX_KEYS if prefix.startswith(keys.OPEN) else min(n_left, MAX_KEYS)
            page = self._store.list(prefix, after=after, limit=size, folders=folders)
            yield page
            n_left -= len(page.entries) + len(page.folders)
            after = page.next
            if after is None or n_left <= 0:
                self._is_complete &= after is None
                return

    # --- reading them ------------------------------------------------------------------------------

    def _read_all(self, candidates: Mapping[str, float]) -> None:
        """Read jobs, those first that may be the newest, as long as they may be among the newest that are wanted."""
        since = self._wanted.since or 0.0
        wanted = ((job, at) for job, at in candidates.items() if at >= since and keys.is_job_id(job))
        queue = sorted(wanted, key=lambda one: -one[1])
        each = 1 if self._wanted.status is None else 2
        while queue:
            newest = self._newest()
            oldest = keys.time_of_stamp(keys.stamp(newest[-1].created)) if len(newest) >= self._limit else -1.0
            n_next = min(max(1, self._limit - len(newest)), max(0, self._left) // each)
            batch = [one for one in queue[:n_next] if one[1] >= oldest]
            if not batch:
                self._is_complete &= queue[0][1] < oldest
                return
            queue = queue[n_next:]
            n_stale = len(self._stale)
            self._found += [job for job in self._repository.map(self._read, batch) if job is not None]
            self._spend(each * len(batch), n_stale=len(self._stale) - n_stale)

    def _spend(self, n_reads: int, *, n_stale: int) -> None:
        """Take in that jobs were read, and how many of them twice, since their entries were stale."""
        n_spare = min(self._spare, 2 * n_stale)
        self._spare -= n_spare
        self._left -= n_reads + n_stale - n_spare

    def _read(self, candidate: tuple[str, float]) -> ListedJob | None:
        job_id, created = candidate
        try:
            job = self._repository.read_job(job_id).doc
        except Missing:  # deleted meanwhile
            self._take_down(job_id, self._entries.get(job_id, ()))
            return None
        except FormatError as error:
            is_wanted = self._wanted.status in {None, JobStatus.UNREADABLE}
            return ListedJob(id=job_id, created=created, job=None, why=str(error)) if is_wanted else None
        self._take_down(job_id, set(self._entries.get(job_id, ())).difference(entries_of(job, job.tags)))
        if not self._wanted.admits(job):
            return None
        state = None if self._wanted.status is None else JobView(self._repository, job).refresh()
        if state is not None and state.status is not self._wanted.status:
            return None
        return ListedJob(id=job_id, created=job.created, job=job, state=state)

    def _take_down(self, job_id: str, stale: Collection[str]) -> None:
        """Take down entries of tags that a job does not have."""
        if stale:
            self._stale.append(job_id)
            with suppress(StoreError):  # whoever changes the tags sees to it as well
                take_down(self._repository, job_id, stale)


def _topics(repository: Repository, job_type: str) -> list[str]:
    """Return the folders of the markers of a task type."""
    shards = [keys.open_prefix(f"{number:04x}") for number in range(repository.settings.most)]
    topics = [keys.topic_of(job_type, by_value=by_value) for by_value in (False, True)]
    return [f"{shard}{topic}/" for shard in shards for topic in topics]


def _markers(page: Page) -> Iterator[keys.Marker]:
    for entry in page.entries:
        with suppress(FormatError):  # a sign of another kind
            yield keys.parse_marker(entry.key)
