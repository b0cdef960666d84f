"""Whether there is room for one more submission, or how long it takes."""

from __future__ import annotations

from oqkit.client.option import whole
from oqkit.client.pace import Pace
from oqkit.errors import QueueFull, UsageError
from oqkit.queue import key as keys
from oqkit.queue.repository import Repository
from oqkit.task.function import Options


def await_room(repository: Repository, job_type: str, options: Options) -> None:
    """Raise `QueueFull` while as many jobs and tasks of a type are open as `options` allow, or wait until they are fewer.

    One look is two LIST a shard for each thousand that is allowed, and none without ``max_pending``. Two that
    submit at the same time may both find room.
    """
    if options.on_full not in {None, "raise", "wait"}:
        raise UsageError(f"on_full={options.on_full!r:.80} must be 'raise' or 'wait'")
    if options.max_pending is None:
        return
    most = whole(options.max_pending, what="max_pending", low=1, high=10**6)
    pace = Pace(repository)
    for pause_s in pace.pauses(None):
        n_open = _n_open(repository, job_type, most=most)
        if n_open < most:
            return
        if options.on_full != "wait":
            raise QueueFull(job_type, n_open, most)
        pace.sleep(pause_s)


def _n_open(repository: Repository, job_type: str, *, most: int) -> int:
    """Count the jobs of a type that have a marker, up to `most`."""
    found: set[str] = set()
    for number in range(repository.settings.most):
        for by_value in (False, True):
            topic = keys.topic_of(job_type, by_value=by_value)
            for page in repository.store.list_all(f"{keys.open_prefix(f'{number:04x}')}{topic}/"):
                found.update(entry.key.rpartition("-")[2].partition(".")[0] for entry in page.entries)
                if len(found) >= most:
                    return len(found)
    return len(found)
