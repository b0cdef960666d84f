"""Who works on a queue: one small object a worker, for people to look at. No guarantee rests on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue import record as records
from oqkit.queue.bound import Count, Moment, Name, Note, Span, Unknown
from oqkit.queue.document import FORMAT, dump, load_as
from oqkit.queue.eligibility import Ability, Hurdle, Refusal
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository

MAX_REFUSALS = 16
MAX_DETAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A refusal that a worker put on record: of the jobs that run the function named `subject`, or of the job of that id."""

    subject: Name
    hurdle: Name
    detail: Note = ""
    unknown: Unknown = ()

    @property
    def refusal(self) -> Refusal:
        """What is said; of a hurdle that only a newer oqkit knows, what it adds to it."""
        is_known = self.hurdle in set(Hurdle)
        return Refusal(hurdle=Hurdle(self.hurdle) if is_known else Hurdle.UNLOADABLE, detail=self.detail)

    def concerns(self, job: Job) -> bool:
        """Whether it is about this job, as it is now."""
        return self.subject == job.id or (job.code.name != "" and self.subject == job.code.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """What a worker last said of itself; times in epoch seconds by the store's clock."""

    name: Name
    host: Name
    pid: Count
    types: Sequence[Name]
    trusts_code: bool
    concurrency: Count
    started: Moment
    seen: Moment
    n_rows: Count
    """Rows with an outcome so far."""
    requests: Mapping[Name, Count]
    """Requests sent so far, by kind."""
    is_stopped: bool = False
    python: Name = ""
    """Its Python, such as ``3.12``; empty if unknown, as is `magic`."""
    magic: Name = ""
    """What byte code of its Python begins with, in hexadecimal digits."""
    every_s: Span = 600.0
    """It reports again within this time, or it is gone; ten minutes if the record does not say."""
    refusals: Sequence[Noted] = ()
    """What it found and leaves alone, the newest last; at most `MAX_REFUSALS`."""

    @property
    def ability(self) -> Ability:
        """What it can run."""
        return Ability(types=frozenset(self.types), trusts_code=self.trusts_code, python=self.python, magic=self.magic)


def put_worker(repository: Repository, record: WorkerRecord) -> None:
    """Write a worker's record over its last one."""
    repository.store.overwrite(
        keys.worker_key(record.name), dump({"format": FORMAT, "requires": [], **records.write(record)})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRecord:
    """A worker's record that was not understood."""

    name: str
    why: str


def workers(repository: Repository, *, most: int | None = None) -> list[WorkerRecord | UnreadableRecord]:
    """Return every worker's record, also of those that ended or died; with `most` at most so many, the last ones of a page."""
    if most is None:
        found = [entry.key for page in repository.store.list_all(keys.WORKERS) for entry in page.entries]
    else:
        entries = sorted(repository.store.list(keys.WORKERS).entries, key=lambda entry: -(entry.modified_s or 0.0))
        found = [entry.key for entry in entries[:most]]
    return [record for record in repository.map(lambda key: _read(repository, key), found) if record is not None]


def read_worker(repository: Repository, key: str) -> WorkerRecord | None:
    """Return the record under a key; None if it was removed meanwhile, or cannot be read."""
    found = _read(repository, key)
    return found if isinstance(found, WorkerRecord) else None


def _read(repository: Repository, key: str) -> WorkerRecord | UnreadableRecord | None:
    try:
        return load_as(WorkerRecord, repository.store.read(key).data, what=f"worker {key!r}")
    except Missing:
        return None  # removed meanwhile
    except FormatError as error:
        return UnreadableRecord(name=key.removeprefix(keys.WORKERS).removesuffix(".json"), why=str(error))
