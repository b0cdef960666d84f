"""One queue as this process uses it: what `Queue` and the handles of its jobs and tasks share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Self
from weakref import WeakValueDictionary

from oqkit.client.scheme import open_store
from oqkit.client.signing import signer
from oqkit.client.submit import Submitter
from oqkit.config import Settings, settings
from oqkit.errors import UsageError
from oqkit.observe.entry_point import installed_observers
from oqkit.observe.hook import Hooks
from oqkit.observe.observer import Listener, Observer, Observers
from oqkit.payload.access import Access
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.repository import Repository, open_repository
from oqkit.store.base import Store
from oqkit.task.timer import RowTimer

Place = tuple[str, str, int]
"""What tells a queue from every other one: its URL, the endpoint, and of one in memory the process."""


class Connection:
    """An open queue: the files that hold the verbs of `Queue` and of its handles stand on this, and on nothing else.

    It is a value: equal to another one of the same place, and pickled as that. Who loads it gets the connection that the
    process has, or else one that is made as its machine is configured. No credentials travel.
    """

    def __init__(self, repository: Repository, settings: Settings, *, observers: Iterable[Observer] = ()) -> None:
        self.repository = repository
        self.settings = settings
        self.access = Access.of(settings)
        """What this process may read outside of the queue, for jobs that ask for it."""
        self.observers = Observers(map(Listener, observers))
        """Who is told what this process does with the queue."""
        self.hooks = Hooks(self.observers)
        """Functions that are called for it."""
        self.codec = ParquetCodec(repository, self.access)
        """Reads inputs of jobs."""
        self.timer = RowTimer(repository.limits.task)
        """How long rows of each function took, as far as this process waited for them."""
        self.submitter = Submitter(repository, self.observers)
        _open[self._place] = self

    @classmethod
    def opened(
        cls, chosen: Settings, *, shards: int | None = None, observers: Iterable[Observer] = (), create: bool = True
    ) -> Self:
        """Open the queue that the settings name; one that is new is created, or raises `UnknownQueue` without `create`."""
        store = open_store(chosen, create=create)
        repository = open_repository(store, shards=shards, signer=signer(chosen, url=store.url), create=create)
        installed = installed_observers(replace(chosen, url=store.url))
        return cls(repository, chosen, observers=[*installed, *observers])

    @property
    def url(self) -> str:
        """Where the queue is."""
        return self.repository.store.url

    @property
    def storage(self) -> Store:
        """The store that holds the queue: bytes under keys, as `oqkit.store.base.Store` says."""
        return self.repository.store

    # --- as a value ------------------------------------------------------------------------------

    @property
    def _place(self) -> Place:
        return _place_of(self.storage.address())

    def __eq__(self, other: object) -> bool:
        return self._place == other._place if isinstance(other, Connection) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._place)

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Mapping[str, str], int]]:
        return type(self).reopened, (self.storage.address(), self._place[-1])

    @classmethod
    def reopened(cls, address: Mapping[str, str], pid: int) -> Self:
        """Return the queue at an address; raise `UsageError` if it was in the memory of another process, `pid`."""
        if pid not in {0, os.getpid()}:
            raise UsageError(
                f"{address['url']} was in the memory of another process, {pid}, and cannot be reached from here: "
                "use a directory or a bucket"
            )
        known = _open.get(_place_of(address))
        if isinstance(known, cls):
            return known
        place = Settings(url=address["url"], endpoint_url=address.get("endpoint_url"), region=address.get("region"))
        return cls.opened(settings(place), create=False)


_open: WeakValueDictionary[Place, Connection] = WeakValueDictionary()
"""The connections of this process; of several to one queue the newest."""


def _place_of(address: Mapping[str, str]) -> Place:
    url = address["url"]
    return url, address.get("endpoint_url", "").rstrip("/"), os.getpid() if url.startswith("memory:") else 0
