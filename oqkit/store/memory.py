"""A store in this process's memory, for tests and experiments: exact, quick, gone at exit."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from oqkit.clock import Clock, SystemClock, wall_time
from oqkit.errors import Conflict, Missing
from oqkit.store.base import Blob, Entry, Page, Store, Version, check_key, check_prefix

#: Epoch seconds at the zero of the monotonic clock; fixed, so that the dates move with an injected clock only.
_EPOCH_S = wall_time() - SystemClock().monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What a key holds, or held."""

    data: bytes
    etag: str
    modified_s: float


class _Content:
    """The objects that any number of `MemoryStore`s share; every method wants `lock` held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._present: dict[str, _State] = {}
        self._past: defaultdict[str, list[_State]] = defaultdict(list)
        self._keys: list[str] = []  # sorted
        self._n_writes = 0

    def get(self, key: str) -> _State | None:
        return self._present.get(key)

    def demand(self, key: str) -> _State:
        if (state := self._present.get(key)) is None:
            raise Missing(key)
        return state

    def put(self, key: str, data: bytes, *, modified_s: float) -> str:
        self._n_writes += 1
        if (old := self._present.get(key)) is not None:
            self._past[key].append(old)
        else:
            bisect.insort(self._keys, key)
        self._present[key] = _State(data=bytes(data), etag=f"{self._n_writes:x}", modified_s=modified_s)
        return self._present[key].etag

    def drop(self, key: str) -> None:
        if self._present.pop(key, None) is not None:
            del self._keys[bisect.bisect_left(self._keys, key)]

    def states(self, key: str) -> list[_State]:
        """Return the states of `key`, newest first."""
        present = self._present.get(key)
        return [*([present] if present else []), *reversed(self._past.get(key, []))]

    def walk(self, prefix: str, *, after: str, folders: bool) -> Iterator[Entry | str]:
        """Yield entries, and folders as plain text, in order."""
        slash = after.find("/", len(prefix)) if folders and after.startswith(prefix) else -1
        if slash >= 0:
            position = bisect.bisect_left(self._keys, _beyond(after[: slash + 1]))
        else:
            position = max(bisect.bisect_left(self._keys, prefix), bisect.bisect_right(self._keys, after))
        while position < len(self._keys) and (key := self._keys[position]).startswith(prefix):
            slash = key.find("/", len(prefix)) if folders else -1
            if slash < 0:
                state = self._present[key]
                yield Entry(key=key, etag=state.etag, size_bytes=len(state.data), modified_s=state.modified_s)
                position += 1
            else:
                folder = key[: slash + 1]
                yield folder
                position = bisect.bisect_left(self._keys, _beyond(folder))


def _beyond(folder: str) -> str:
    """Return the least text that sorts after everything in `folder`."""
    return folder[:-1] + chr(ord("/") + 1)


class MemoryStore(Store):
    """Objects in a dict. A new one is empty and its own; `named` gives the shared one of this process.

    `wall` gives the server's date in epoch seconds; without it the date follows `clock`.
    """

    poll_s = 0.02
    ring_s = 0.0
    date_granularity_s = 1e-6

    _named: ClassVar[dict[str, _Content]] = {}
    _named_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str = "", *, clock: Clock | None = None, wall: Callable[[], float] | None = None) -> None:
        super().__init__(f"memory://{name}", clock=clock)
        self._wall = wall or (lambda: _EPOCH_S + self.clock.monotonic())
        self._content = _Content()

    @classmethod
    def named(cls, name: str, *, clock: Clock | None = None, wall: Callable[[], float] | None = None) -> MemoryStore:
        """Return a client of the content that has this name in this process, made when first asked for."""
        store = cls(name, clock=clock, wall=wall)
        with cls._named_lock:
            store._content = cls._named.setdefault(name, store._content)
        return store

    def _request(self, kind: str) -> float:
        """Count a request and return its date."""
        self.requests.add(kind)
        sent = self.clock.monotonic()
        date_s = self._wall()
        self.server.observe(date_s, sent=sent, received=self.clock.monotonic())
        return date_s

    def read(self, key: str) -> Blob:
        check_key(key)
        self._request("get")
        with self._content.lock:
            state = self._content.demand(key)
        return Blob(key=key, data=state.data, etag=state.etag)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        blob = self.read(key)
        return None if blob.etag == etag else blob

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        data = self.read(key).data
        first = start if start >= 0 else max(0, len(data) + start)
        return data[first : first + length]

    def create(self, key: str, data: bytes) -> str:
        check_key(key)
        date_s = self._request("put")
        with self._content.lock:
            if self._content.get(key) is not None:
                raise Conflict(key)
            return self._content.put(key, data, modified_s=date_s)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        check_key(key)
        date_s = self._request("put")
        with self._content.lock:
            if self._content.demand(key).etag != etag:
                raise Conflict(key)
            return self._content.put(key, data, modified_s=date_s)

    def overwrite(self, key: str, data: bytes) -> str:
        check_key(key)
        date_s = self._request("put")
        with self._content.lock:
            return self._content.put(key, data, modified_s=date_s)

    def delete(self, key: str) -> None:
        check_key(key)
        self._request("delete")
        with self._content.lock:
            self._content.drop(key)

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        check_prefix(prefix)
        self._request("list")
        with self._content.lock:
            return Page.cut(self._content.walk(prefix, after=after or "", folders=folders), limit=limit)

    def versions(self, key: str) -> Iterator[Version]:
        check_key(key)
        self._request("list")
        with self._content.lock:
            states = self._content.states(key)
        for state in states:
            self._request("get")
            yield Version(key=key, id=state.etag, data=state.data, modified_s=state.modified_s)
