"""How a queue is, at a glance: what is open, what is paused, who works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from oqkit.client.diagnosis import is_at_hand
from oqkit.client.pause_note import pause_facts
from oqkit.errors import FormatError
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.pause import PauseSign, pauses
from oqkit.queue.repository import Repository
from oqkit.queue.worker_record import WorkerRecord, workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """What is paused, and why; times are datetimes of UTC."""

    type: str | None
    """The task type; None: the whole queue."""
    reason: str
    by: str
    at: datetime
    until: datetime | None
    """When it is over by itself; None for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """What `Queue.status` saw; shows itself as a few lines of text."""

    url: str
    at: datetime
    open_jobs: Mapping[str, int]
    """Task type to the number of jobs that have work left."""
    later: int
    """How many of those have none that is due now."""
    is_complete: bool
    """Whether `open_jobs` counts all of them, and not only the first thousand."""
    paused: tuple[Paused, ...]
    workers: int
    """How many workers are there, as far as they have reported."""
    unserved: tuple[str, ...]
    """Types of open jobs for which no worker is there, unless one is there that trusts shipped code."""
    unreadable: tuple[str, ...]
    """What of it cannot be understood, and why; such a pause holds nobody up."""
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


_DATE_S: Final = 1.0
"""Stores say their time in whole seconds: what falls due within one may be due already."""


def queue_status(repository: Repository) -> QueueStatus:
    """Ask how a queue is: three LIST, and a GET for each pause sign and each of the last workers, up to a limit."""
    limits, store, now = repository.limits.client, repository.store, repository.now()
    page = store.list(keys.OPEN)
    markers = list(filter(None, (_marker(entry.key) for entry in page.entries)))
    by_job = {marker.job: marker for marker in sorted(markers, key=lambda marker: marker.gen)}
    open_jobs = Counter(keys.type_of(marker.topic) for marker in by_job.values())
    signs = pauses(repository, most=limits.read_records)
    held = [one for one in signs if isinstance(one, PauseSign)]
    records = [one for one in workers(repository, most=limits.read_records) if isinstance(one, WorkerRecord)]
    there = [record for record in records if is_at_hand(record, now=now, late_s=limits.late_s)]
    served = {name for record in there for name in record.types}
    unserved = () if any(record.trusts_code for record in there) else tuple(sorted(set(open_jobs) - served))
    n_later = sum(marker.is_later and marker.due > now + _DATE_S for marker in by_job.values())
    is_complete = page.next is None
    told = [
        *(("paused", f"{one.type or 'the whole queue'}{pause_facts(one, now=now)}") for one in held),
        *(("unreadable", one.why) for one in signs if not isinstance(one, PauseSign)),
        ("open", _open(open_jobs, n_later, is_complete=is_complete)),
        ("workers", f"{len(there):,}" + (f"; none for {', '.join(unserved)}" if unserved else "")),
    ]
    return QueueStatus(
        url=store.url,
        at=datetime.fromtimestamp(now, UTC),
        open_jobs=dict(open_jobs.most_common()),
        later=n_later,
        is_complete=is_complete,
        paused=tuple(map(_paused, held)),
        workers=len(there),
        unserved=unserved,
        unreadable=tuple(printable(why) for name, why in told if name == "unreadable"),
        text="\n".join([store.url, *(f"{name:<10}  {printable(text)}" for name, text in told)]),
    )


def _marker(key: str) -> keys.Marker | None:
    with suppress(FormatError):
        return keys.parse_marker(key)
    return None


def _paused(sign: PauseSign) -> Paused:
    until = None if sign.until is None else datetime.fromtimestamp(sign.until, UTC)
    at = datetime.fromtimestamp(sign.at, UTC)
    return Paused(type=sign.type or None, reason=sign.reason, by=sign.by, at=at, until=until)


def _open(jobs: Counter[str], n_later: int, *, is_complete: bool) -> str:
    n, more = jobs.total(), "" if is_complete else " or more"
    if not n:
        return "no job"
    types = ", ".join(f"{name} {n:,}" for name, n in jobs.most_common(8)) + (", …" if len(jobs) > 8 else "")  # noqa: PLR2004 - a line
    later = f"; {n_later:,} not due yet" if n_later else ""
    return f"{n:,}{more} {'job' if n == 1 else 'jobs'}: {types}{later}"
