"""The seam to the bucket: a few verbs on bytes, each with one meaning.

A backend subclasses `Store`, writes the verbs and counts every request it sends in `requests`. No
argument's absence changes what a verb guarantees: `create` never overwrites, `replace` never
creates, and only `overwrite` is unconditional.

A key is a relative POSIX path that also names a file: see `check_key`. No key may be a folder of
another one (``a`` beside ``a/b``), for a directory cannot hold both.
"""

from __future__ import annotations

import abc
import itertools
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from oqkit.clock import Clock, ServerClock, SystemClock
from oqkit.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from oqkit.store.lifecycle import Lifecycle

#: The most keys one listing reply holds, as on S3.
MAX_KEYS = 1000

_FOLDERS = r"(?:[^/\\\0.][^/\\\0]*/)*"
_NAME = r"[^/\\\0.][^/\\\0]*"
_KEY = re.compile(_FOLDERS + _NAME)
_PREFIX = re.compile(rf"{_FOLDERS}(?:{_NAME})?")


def check_key(key: str) -> str:
    """Return `key` if every store can hold it, else raise `UsageError`."""
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{key!r} cannot be a key: use a relative path such as 'jobs/1.json', without empty parts, "
            "parts that start with '.', backslashes or NUL"
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if a key may start with it, else raise `UsageError`; the empty one is fine."""
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(f"no key can start with {prefix!r}: use '' or the beginning of a relative path")
    return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """An object's bytes together with the etag they had: an opaque token, compared for equality only."""

    key: str
    data: bytes
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object of a listing."""

    key: str
    etag: str
    size_bytes: int
    modified_s: float | None = field(default=None, compare=False)
    """When it was written, in epoch seconds by the store's clock; None where a store does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One listing reply. `folders` end in ``/``; `next` continues the listing, None ends it."""

    entries: tuple[Entry, ...]
    folders: tuple[str, ...] = ()
    next: str | None = None

    @classmethod
    def cut(cls, found: Iterator[Entry | str], *, limit: int) -> Page:
        """Fill one page of at most `limit` from what a listing finds, in order: entries, and folders as text."""
        if limit < 1:
            raise UsageError(f"limit must be at least 1, got {limit}")
        limit = min(limit, MAX_KEYS)
        *items, beyond = *itertools.islice(found, limit), next(found, None)
        last = items[-1] if items and beyond is not None else None
        return cls(
            entries=tuple(item for item in items if isinstance(item, Entry)),
            folders=tuple(item for item in items if isinstance(item, str)),
            next=last.key if isinstance(last, Entry) else last,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One past or present state of an object; `modified_s` is in epoch seconds by the store's clock."""

    key: str
    id: str
    data: bytes
    modified_s: float


class Requests:
    """A running count of requests by kind: ``put``, ``get``, ``list``, ``delete``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str) -> None:
        """Count one request."""
        with self._lock:
            self._counts[kind] += 1

    def snapshot(self) -> Counter[str]:
        """Return the counts so far; subtract two snapshots to measure what lies between them."""
        with self._lock:
            return self._counts.copy()


class Store(abc.ABC):
    """Bytes in a bucket, or in something that behaves like one.

    Raises `Missing`, `Conflict`, `Unavailable`, `Denied` or `Unsupported`, `UsageError` for a key or
    limit that cannot be, and nothing else. Reads and listings show every write that was answered
    before they were asked. `Unavailable` from a write says nothing about whether it was or will be
    applied.
    """

    #: How long to wait between two looks at one object that may have changed, in seconds: what a request costs decides.
    poll_s: ClassVar[float] = 0.7
    #: How often one object should be overwritten at most, in seconds: S3 takes few writes of one key. 0: as often as one likes.
    ring_s: ClassVar[float] = 1.0
    #: How many requests are worth sending at once: 1 where latency is nothing.
    parallel: ClassVar[int] = 1
    #: Why it has no rules that remove what is old, and what to do instead.
    no_lifecycle: ClassVar[str] = "it keeps no earlier versions"
    #: How far the dates of replies are cut down, in seconds.
    date_granularity_s: ClassVar[float] = 1.0

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self.clock: Clock = clock or SystemClock()
        self.server = ServerClock(self.clock, granularity_s=self.date_granularity_s)
        self.requests = Requests()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def address(self) -> dict[str, str]:
        """Return what another process needs to open the same store, but for credentials: ``url``, and options of it."""
        return {"url": self.url}

    def now(self) -> float:
        """Return the store's own time in epoch seconds, never this machine's wall clock."""
        if not self.server.is_set:
            self.list("", limit=1)  # any reply carries a date
        return self.server.now()

    def written_by_others(self) -> str:
        """Say who else on this machine can write here, as far as that can be seen; empty if nobody can."""
        return ""

    # --- verbs -----------------------------------------------------------------------------------

    @abc.abstractmethod
    def read(self, key: str) -> Blob:
        """Return the object, or raise `Missing`."""

    @abc.abstractmethod
    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        """Return the object if its etag is another one, else None; raise `Missing`. One GET (304 on S3)."""

    @abc.abstractmethod
    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer at the object's end.

        A negative `start` counts from the end (``start=-n, length=n`` is the tail; a whole object
        shorter than `n` is returned whole). Raise `Missing`.
        """

    @abc.abstractmethod
    def create(self, key: str, data: bytes) -> str:
        """Write a key that must not exist and return its etag, or raise `Conflict`.

        Of any number of concurrent creates of one key exactly one succeeds.
        """

    @abc.abstractmethod
    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """Write a key that must still have `etag` and return the new one.

        Raise `Conflict` if it changed and `Missing` if it is gone (some servers say `Conflict` for that too).
        """

    @abc.abstractmethod
    def overwrite(self, key: str, data: bytes) -> str:
        """Write unconditionally and return the etag."""

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove the key; removing what is not there is fine."""

    @abc.abstractmethod
    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        """Return up to `limit` (at most 1,000) keys that start with `prefix`, in one request.

        Keys come sorted within one folder. With `folders` the listing stops at the next ``/``: deeper
        keys are rolled up into `Page.folders`, which count towards `limit`. `after` skips everything
        up to and including that key or folder; pass `Page.next` to go on.
        """

    @abc.abstractmethod
    def versions(self, key: str) -> Iterator[Version]:
        """Yield the states of `key`, newest first; only the present one where the store keeps no past.

        A deleted key may still have versions; a key that never existed has none.
        """

    # --- what removes earlier versions -----------------------------------------------------------

    def lifecycle(self) -> Lifecycle:
        """Return by what rules the store itself removes objects; raise `Unsupported` if it knows no such thing."""
        raise Unsupported(f"{self.url} has no lifecycle rules: {self.no_lifecycle}")

    def set_lifecycle(self, lifecycle: Lifecycle) -> None:  # noqa: ARG002 - for those that have some
        """Replace what `lifecycle` returns, all of it; raise `Unsupported` as that does."""
        raise Unsupported(f"{self.url} has no lifecycle rules: {self.no_lifecycle}")

    # --- conveniences made of verbs --------------------------------------------------------------

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove the keys, in fewer requests where the backend can; removing what is not there is fine."""
        for key in keys:
            self.delete(key)

    def list_all(self, prefix: str, *, folders: bool = False) -> Iterator[Page]:
        """Yield the pages of a whole listing, one request each."""
        after: str | None = None
        while True:
            page = self.list(prefix, after=after, folders=folders)
            yield page
            if page.next is None:
                return
            after = page.next
