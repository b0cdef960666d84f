"""How a job that depends on others comes to start: who tells it, and how nobody forgets to.

A job waits for one parent at a time that has not ended: an entry below ``waiting/{parent}/`` says so, and an order
FOLLOW in the parent makes whoever sees its end look for such entries. He looks for another parent that has not
ended, where the job waits next, or gives it the order RELEASE. The entry is deleted after that, and the marker of the
parent after its entries: so whoever dies in between leaves all to be done again, and doing it again does no harm.

The entry is written first, then the order, and then the parent is looked at once more. If it has not ended by then, whoever
sees its end will find both; if it has, the one who looked goes on himself. A worker that read the parent before
the order takes down only the markers of that generation, and the order has put up another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from oqkit.clock import new_id
from oqkit.errors import Denied, FormatError, Missing, NotAllowed
from oqkit.queue import key as keys
from oqkit.queue.cas import Versioned
from oqkit.queue.control import bring_up
from oqkit.queue.dependency import Parent, named
from oqkit.queue.ending import ends, ends_of
from oqkit.queue.gate import due
from oqkit.queue.job import Control, ControlVerb, Job, with_control
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status

BLOCK = 16
"""So many parents are looked at together. A job waits for the last open one of a block: those of the blocks before have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A job whose parents have ended, and the marker that tells workers of it now."""

    job: Job
    marker: keys.Marker
    stale: tuple[str, ...] = ()
    """What is of no more use: the marker that it most likely had until then, and entries that a crash may have left."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of one parent."""

    job: Versioned[Job] | None = None
    """None: it is gone, or cannot be read."""
    has_ended: bool = False
    has_failed: bool = False
    """Whether it has ended, and not all of its tasks completed, as far as is known."""
    is_forgotten: bool = False
    """Whether it is gone, and nothing is left that says how it ended."""

    @classmethod
    def of(cls, repository: Repository, job: Versioned[Job], *, rows: Rows | None = None) -> _Look:
        """Look at the parts of a job, or at those that have these rows."""
        ended = ends(repository, job.doc) if rows is None else ends_of(repository, job.doc, rows)
        return cls(job, ended is not None, _has_failed(ended))

    @classmethod
    def of_deleted(cls, grave: Job | None) -> _Look:
        """Read from a tombstone (None: there is none) how a job ended, the whole of it."""
        outcome = None if grave is None else grave.outcome
        return cls(has_ended=True, has_failed=outcome is None or _has_failed(outcome), is_forgotten=outcome is None)


def _has_failed(ended: Iterable[Status] | None) -> bool:
    return not {Status.COMPLETED}.issuperset(ended or ())


def begin(repository: Repository, held: Versioned[Job]) -> Job:
    """Let a job that has just been stored wait for its parents; return it as it is then.

    Done again, for whoever died over it, it does no harm.
    """
    job = held.doc
    for entry in tree_entries(job):
        repository.loop.put_once(entry, b"")
    if not job.n_tasks or not job.depends_on:
        return job
    released = advance(repository, held)
    return job if released is None else released.job


def tree_entries(job: Job) -> list[str]:
    """Return the keys of the entries by which a job is found from the ones that its pipelines begin with."""
    roots = [*([job.root] if job.root else []), *(parent.root or parent.job for parent in job.depends_on)]
    return [f"{keys.tree_prefix(root)}{job.id}" for root in dict.fromkeys(roots)]


def advance(repository: Repository, held: Versioned[Job]) -> Released | None:
    """Let a job wait for a parent that has not ended, or release it; None if it has to wait, or was released before."""
    with _allowed(repository, held.doc):
        released = _advance(repository, held, _Found(), known={})
    if released is not None and released.stale:
        repository.delete_quietly(*released.stale)
    return released


def release_followers(repository: Repository, parent: Job) -> list[Released]:
    """Tell the jobs that wait for one that has ended; return those that wait for nothing any more.

    In random order, so that workers that do it together share the work; what was told is deleted a few at a time.
    """
    seen = _Look.of(repository, Versioned(parent, None))
    if not seen.has_ended:
        return []  # it was put to work again, and has another marker
    pages = repository.store.list_all(keys.waiting_prefix(parent.id))
    entries = [entry.key for page in pages for entry in page.entries]
    repository.rng.shuffle(entries)
    released: list[Released] = []
    for first in range(0, len(entries), BLOCK):
        chunk = entries[first : first + BLOCK]
        with _allowed(repository, parent):
            told = repository.map(lambda entry: _tell(repository, parent, entry, seen), chunk)
        found = [one for one in told if isinstance(one, Released)]
        known = [entry for entry, one in zip(chunk, told, strict=True) if one is not _Strange.LEFT_ALONE]
        repository.delete_quietly(*known, *(name for one in found for name in one.stale))
        released += found
    return released


class _Strange(Enum):
    """What becomes of entries, or jobs, that a newer oqkit may have written: it will understand them."""

    LEFT_ALONE = auto()


@contextmanager
def _allowed(repository: Repository, job: Job) -> Iterator[None]:
    """Let whoever may not write jobs be told so as by `NotAllowed`: it is no trouble with the store."""
    try:
        yield
    except Denied as error:
        raise NotAllowed(
            f"job {job.id} is left to others: jobs that wait for others start when somebody says so who may write "
            f"below {repository.store.url}/jobs/ and {repository.store.url}/waiting/: {error}"
        ) from error


def _tell(repository: Repository, parent: Job, entry: str, seen: _Look) -> Released | _Strange | None:
    """Tell the job of an entry what became of its parent; None: it was told, or is gone."""
    try:
        job_id, failed = keys.parse_waiting(entry)
        held = repository.read_job(job_id)
    except Missing:
        return None
    except FormatError:
        return _Strange.LEFT_ALONE
    if held.doc.release is not None:
        return _announce(repository, held.doc)  # whoever released it may have died before that
    places = [place for place, one in enumerate(held.doc.depends_on) if one.job == parent.id]
    since = _Found(place=min(places, default=0), failed=[] if failed is None else [failed])
    try:
        return _advance(repository, held, since, known={parent.origin: seen})
    except Missing:  # it was deleted just now
        return None


def _advance(
    repository: Repository, held: Versioned[Job], found: _Found, *, known: Mapping[str, _Look]
) -> Released | None:
    """Do what `advance` does, from what was `found` before; `known` says of parents, by their origin, what was seen."""
    job, left = held.doc, list[str]()
    released: Released | None = None
    while job.release is None:
        found = _next_open(repository, job, found, known)
        if found.parent is None:
            released = None if found.is_unknown else _release(repository, held, found)
            break
        entry = keys.waiting_key(found.parent.doc.id, job.id, failed=next(iter(found.failed), None))
        repository.loop.put_once(entry, b"")
        if not _has_ended(repository, found.parent, job.depends_on[found.place].rows):
            break
        left.append(entry)
    if left:  # not before the job waits elsewhere, or for nothing: somebody may rely on it
        repository.delete_quietly(*left)
    return released


def _has_ended(repository: Repository, parent: Versioned[Job], rows: Rows | None) -> bool:
    """Make whoever sees the end of a job tell those that wait for it, and return whether it, or its `rows`, has ended by now."""
    try:
        job = _order_once(repository, parent, ControlVerb.FOLLOW, applied=lambda doc: doc.has_followers)
    except Missing:  # it was deleted just now
        return True
    repository.announce(repository.marker(job, due=due(job, repository.now())))
    return _Look.of(repository, Versioned(job, None), rows=rows).has_ended


# --- looking at parents --------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    """What a look through the parents of a job found, those in the blocks before `place` having ended."""

    failed: list[int] = field(default_factory=list)
    """Places of parents that did not complete."""
    place: int = 0
    parent: Versioned[Job] | None = None
    """The one at that place, which has not ended."""
    is_unknown: bool = False
    """Whether the state of one cannot be read here, so that nobody can say whether it has ended."""
    is_forgotten: bool = False
    """Whether one of those that count as failed is gone, and nobody knows how it ended."""


def _next_open(repository: Repository, job: Job, since: _Found, known: Mapping[str, _Look]) -> _Found:
    """Look for a parent that has not ended, from the block on in which one was found last."""
    found = _Found(failed=since.failed)
    for first in range(since.place - since.place % BLOCK, len(job.depends_on), BLOCK):
        block = job.depends_on[first : first + BLOCK]
        looks = repository.map(lambda parent: _known(parent, known) or _look_at(repository, parent), block)
        for n, look in enumerate(looks, first):
            if look.has_failed and n not in found.failed:
                found.failed.append(n)
                found.is_forgotten |= look.is_forgotten
            if not look.has_ended:
                found.is_unknown |= look.job is None
                if look.job is not None:
                    found.place, found.parent = n, look.job
        if found.parent is not None or found.is_unknown:
            break
    return found


def _known(parent: Parent, known: Mapping[str, _Look]) -> _Look | None:
    return known.get(parent.origin) if parent.rows is None else None


def _look_at(repository: Repository, parent: Parent) -> _Look:
    try:
        held = repository.read_job_or_tombstone(parent.job)
    except Missing:
        return _Look.of_deleted(None)
    except FormatError:
        return _Look()
    if held.doc.origin != parent.origin:  # another one, in the place of one that was deleted
        return _Look.of_deleted(None)
    if held.doc.deleted is not None:
        return _Look.of_deleted(held.doc)
    return _Look.of(repository, held, rows=parent.rows)


# --- orders that anybody gives, and nobody twice -------------------------------------------------


def _release(repository: Repository, held: Versioned[Job], found: _Found) -> Released:
    """Let the tasks of a job start, or end as it has chosen if some of its parents did not complete."""
    failed = found.failed
    parents = [held.doc.depends_on[place] for place in sorted(failed)]
    how = "did not complete, or was deleted so that nobody knows" if found.is_forgotten else "did not complete"
    reason = f"it depends on {named(parents)}, which {how}" if failed else ""
    before = repository.marker(held.doc, due=due(held.doc, repository.now()))
    job = _order_once(repository, held, ControlVerb.RELEASE, applied=lambda doc: doc.release is not None, reason=reason)
    told = {None, next(iter(failed), None)}
    entries = (keys.waiting_key(one.job, job.id, failed=place) for one in job.depends_on for place in told)
    return replace(_announce(repository, job), stale=(before.key, *entries))


def _announce(repository: Repository, job: Job) -> Released:
    """Tell workers of a released job, and let its tasks end that are not to be run."""
    marker = repository.marker(job, due=due(job, repository.now()))
    repository.announce(marker, job=job)
    if job.release is not None:
        bring_up(repository, job, job.release)
    return Released(job=job, marker=marker)


def _order_once(
    repository: Repository,
    held: Versioned[Job],
    verb: ControlVerb,
    *,
    applied: Callable[[Job], bool],
    reason: str = "",
) -> Job:
    control = Control(op=new_id(repository.rng), verb=verb, at=repository.now(), reason=reason)
    return repository.update_job(held.doc.id, lambda doc: with_control(doc, control), applied=applied, held=held).doc
