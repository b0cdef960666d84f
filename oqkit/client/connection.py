"""One queue as this process uses it: what `Queue` and the handles of its jobs and tasks share."""

from __future__ import annotations

from collections.abc import Iterable

from oqkit.client.submit import Submitter
from oqkit.config import Settings
from oqkit.observe.observer import Listener, Observer, Observers
from oqkit.payload.access import Access
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.repository import Repository
from oqkit.task.timer import RowTimer


class Connection:
    """An open queue: the files that hold the verbs of `Queue` and of its handles stand on this, and on nothing else."""

    def __init__(self, repository: Repository, settings: Settings, *, observers: Iterable[Observer] = ()) -> None:
        self.repository = repository
        self.settings = settings
        self.access = Access.of(settings)
        """What this process may read outside of the queue, for jobs that ask for it."""
        self.observers = Observers(map(Listener, observers))
        """Who is told what this process does with the queue."""
        self.codec = ParquetCodec(repository, self.access)
        """Reads inputs of jobs."""
        self.timer = RowTimer(repository.limits.task)
        """How long rows of each function took, as far as this process waited for them."""
        self.submitter = Submitter(repository, self.observers)

    @property
    def url(self) -> str:
        """Where the queue is."""
        return self.repository.store.url
