"""Who works on a queue: one small object a worker, for people to look at. No guarantee rests on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.bound import Count, Moment, Name
from oqkit.queue.document import FORMAT, dump, load_as
from oqkit.queue.repository import Repository

BUSY_EVERY_S = 60.0
IDLE_EVERY_S = 600.0


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


def put_worker(repository: Repository, record: WorkerRecord) -> None:
    """Write a worker's record over its last one."""
    repository.store.overwrite(keys.worker_key(record.name), dump({"format": FORMAT, "requires": [], **asdict(record)}))


def workers(repository: Repository) -> list[WorkerRecord]:
    """Return every worker's record, also of those that ended or died."""
    found = [entry.key for page in repository.store.list_all(keys.WORKERS) for entry in page.entries]
    return [record for record in repository.map(lambda key: _read(repository, key), found) if record is not None]


def _read(repository: Repository, key: str) -> WorkerRecord | None:
    try:
        return load_as(WorkerRecord, repository.store.read(key).data, what=f"worker {key!r}")
    except (Missing, FormatError):
        return None  # removed meanwhile, or of a newer oqkit
