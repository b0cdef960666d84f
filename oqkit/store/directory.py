"""A store in a directory, local or mounted: the default, with nothing to install and nothing to start.

An object is a file whose path is its key, so a person reads a queue with ``ls`` and ``cat``. Beside
the objects, hidden from listings, lie

===========================  ===================================================================
``.tmp/``                    files being written; a killed process leaves one, a later one sweeps it up
``.versions/{key}/{time}``   what a key held before: hard links, named by the nanosecond of writing
``.locks/{slot}.lock``       excludes writers that replace or remove; a key's slot is its hash
``.locks/{slot}.last``       its mtime is the latest mtime of any file that was deleted in this slot
===========================  ===================================================================

A write goes into a temporary file, is forced to disk, and appears under its name in one step, which
is forced to disk too: readers see all of it or nothing, and so does who comes after a power cut.
`create` needs no lock: of many processes that link a file to one name, the kernel lets one succeed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from oqkit.clock import Clock, new_id, system_random, wall_time
from oqkit.errors import Conflict, Denied, Missing, StoreError, Unavailable, Unsupported, UsageError
from oqkit.store.base import Blob, Entry, Page, Store, Version, check_key, check_prefix

_SLOTS = 256
_LOCK_POLL_S = 0.001
_LOCK_TIMEOUT_S = 10.0  # it is held for microseconds: who holds it longer was stopped, and may stay so
_CREATE_TRIES = 100
_STALE_TEMP_S = 86_400.0
_DATE_LASTS_S = 10.0
_MTIME_STEP_NS = 1_000  # the coarsest mtimes of a usable file system: NTFS and SMB keep 100 ns, some FUSE 1 µs
#: Folders this near to the root stay when they are empty: a queue empties the same ones all the time,
#: and making one costs a forced write.
_LASTING_DEPTH = 2

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)

#: Taken before the lock file of the same slot: spares threads the polling, and excludes them also
#: where the kernel makes a lock belong to the process (NFS).
_thread_locks = [threading.Lock() for _ in range(_SLOTS)]


def _renew_thread_locks() -> None:
    """Free a forked child of locks that threads of its parent held."""
    _thread_locks[:] = [threading.Lock() for _ in range(_SLOTS)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_thread_locks)


class DirectoryStore(Store):
    """Objects as files below `path`, which is made when it does not exist; `~` is understood.

    Keys that start with one of `unversioned` keep no past: the doorbell is rewritten all the time and
    says nothing worth keeping. Old versions of all others stay until somebody removes ``.versions``.
    """

    poll_s = 0.05
    date_granularity_s = 0.01  # Linux stamps files with the time of the last timer tick

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        unversioned: tuple[str, ...] = ("bell",),
    ) -> None:
        self.root = Path(path).expanduser().absolute()
        super().__init__(self.root.as_uri(), clock=clock)
        self.unversioned = unversioned
        self._rng = system_random()
        self._has_links = True
        self._dated_s: float | None = None
        self._open()

    # --- verbs -----------------------------------------------------------------------------------

    def read(self, key: str) -> Blob:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key):
            return _read(key, path)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key):
            return None if _etag(os.stat(path)) == etag else _read(key, path)

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key), open(path, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            file.seek(start if start >= 0 else max(0, size_bytes + start))
            return file.read(length)

    def create(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            if _stat(path) is not None:  # spares a write that cannot succeed
                raise Conflict(key)
            with self._draft(data) as draft, contextlib.nullcontext() if self._has_links else self._locked(key):
                etag = self._publish(key, draft)
            _sync_folder(os.path.dirname(path))
            return etag

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            _expect(key, path, etag)  # spares a write that cannot succeed
            with self._draft(data) as draft, self._locked(key):
                new_etag = self._supersede(key, draft, old=_expect(key, path, etag))
            _sync_folder(os.path.dirname(path))
            return new_etag

    def overwrite(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            with self._draft(data) as draft, self._locked(key):
                etag = self._put(key, draft)
            _sync_folder(os.path.dirname(path))
            return etag

    def delete(self, key: str) -> None:
        path = self._path(key)
        self.requests.add("delete")
        with self._writing(key), contextlib.suppress(*_ABSENT):  # absent already: that is all it promises
            os.stat(path)  # spares the lock
            with self._locked(key):
                self._raise_floor(key, os.stat(path).st_mtime_ns)
                os.unlink(path)
            _sync_folder(self._prune(os.path.dirname(path)))

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        check_prefix(prefix)
        self.requests.add("list")
        with self._reading(prefix):
            self._look_at_clock()
            folder = prefix[: prefix.rfind("/") + 1]
            return Page.cut(self._walk(folder, prefix=prefix, after=after or "", folders=folders), limit=limit)

    def versions(self, key: str) -> Iterator[Version]:
        present = self._version(key, self._path(key))
        if present is not None:
            yield present
        self.requests.add("list")
        with self._reading(key):
            folder = self._own(f"versions/{key}")
            ids = sorted(_names(folder, files_only=True), reverse=True)
        for id_ in ids:
            if present is None or id_ < present.id:  # else it was superseded while we looked
                version = self._version(key, f"{folder}/{id_}")
                if version is not None:
                    yield version
