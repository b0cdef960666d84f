"""A store in a directory, local or mounted: the default, with nothing to install and nothing to start.

An object is a file whose path is its key, so a person reads a queue with ``ls`` and ``cat``. Beside
the objects, hidden from listings, lie

===========================  ===================================================================
``.tmp/``                    files being written; a killed process leaves one, a later one sweeps it up
``.versions/{key}/{time}``   what a key held before: hard links, named by the nanosecond of writing
``.locks/{slot}.lock``       excludes writers that replace or remove; a key's slot is its hash
``.locks/{slot}.last``       its mtime is the latest mtime of any file that was deleted in this slot
===========================  ===================================================================

Everything has the permissions of the queue's own folder, which is made for its owner alone (0700, so files are
0600). Links are not followed: somebody else may have put them there.

A write goes into a temporary file, is forced to disk, and appears under its name in one step, which
is forced to disk too: readers see all of it or nothing, and so does who comes after a power cut.
`create` needs no lock: of many processes that link a file to one name, the kernel lets one succeed.
"""

# Paths are strings here: making a Path costs as much as the system call it is for.
# ruff: noqa: PTH105, PTH108, PTH116, PTH120, PTH123

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from oqkit.clock import Clock, new_id, system_random, wall_time
from oqkit.errors import Conflict, Missing, StoreError, Unavailable, UsageError
from oqkit.store.base import Blob, Page, Store, Version, check_key, check_prefix
from oqkit.store.file import (
    can_link,
    etag_of,
    expect,
    make_folder,
    names_in,
    prune,
    read_blob,
    remove_stale,
    rename_new,
    stamp,
    status_of,
    sync_folder,
    walk,
    write_all,
)
from oqkit.store.permission import ABSENT, DENIED, Fence, open_file, store_error, written_by_others

_SLOTS = 256
_LOCK_POLL_S = 0.001
_LOCK_TIMEOUT_S = 10.0  # it is held for microseconds: who holds it longer was stopped, and may stay so
_CREATE_TRIES = 100
_STALE_TEMP_S = 86_400.0
_DATE_LASTS_S = 10.0
#: Folders this near to the root stay when they are empty: a queue empties the same ones all the time,
#: and making one costs a forced write.
_LASTING_DEPTH = 2

_PRIVATE = 0o700

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

    Keys that start with one of `unversioned` keep no past: give those that are rewritten all the time and
    say nothing worth keeping. Old versions of all others stay until somebody removes ``.versions``.
    """

    poll_s = 0.03
    ring_s = 0.0
    parallel = 4  # not for latency: decoding in between gains
    no_lifecycle = "a directory keeps earlier versions in .versions, from which files of any age may be deleted"
    date_granularity_s = 0.01  # Linux stamps files with the time of the last timer tick

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        unversioned: tuple[str, ...] = (),
    ) -> None:
        self.root = Path(path).expanduser().absolute()
        super().__init__(self.root.as_uri(), clock=clock)
        self.unversioned = unversioned
        self._rng = system_random()
        self._has_links = True
        self._dated_s: float | None = None
        self._mode = _PRIVATE
        self._fence = Fence(str(self.root))
        self._open()
        self._fence.is_lasting = not self.written_by_others()

    def written_by_others(self) -> str:
        return written_by_others(self.root, names=("queue.json", "jobs", "code", "open", "work"))

    # --- verbs -----------------------------------------------------------------------------------

    def read(self, key: str) -> Blob:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key):
            return read_blob(key, path)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key):
            return None if etag_of(os.lstat(path)) == etag else read_blob(key, path)

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        path = self._path(key)
        self.requests.add("get")
        with self._reading(key), open(open_file(path), "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            file.seek(start if start >= 0 else max(0, size_bytes + start))
            return file.read(length)

    def create(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            if status_of(path) is not None:  # spares a write that cannot succeed
                raise Conflict(key)
            with self._draft(data) as draft, contextlib.nullcontext() if self._has_links else self._locked(key):
                etag = self._publish(key, draft)
            sync_folder(os.path.dirname(path))
            return etag

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            expect(key, path, etag)  # spares a write that cannot succeed
            with self._draft(data) as draft, self._locked(key):
                new_etag = self._supersede(key, draft, old=expect(key, path, etag))
            sync_folder(os.path.dirname(path))
            return new_etag

    def overwrite(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self.requests.add("put")
        with self._writing(key):
            with self._draft(data) as draft, self._locked(key):
                etag = self._put(key, draft)
            sync_folder(os.path.dirname(path))
            return etag

    def delete(self, key: str) -> None:
        path = self._path(key)
        self.requests.add("delete")
        with self._writing(key), contextlib.suppress(*ABSENT):  # absent already: that is all it promises
            os.lstat(path)  # spares the lock
            with self._locked(key):
                self._raise_floor(key, os.lstat(path).st_mtime_ns)
                os.unlink(path)
            sync_folder(prune(os.path.dirname(path), n_levels=key.count("/") - _LASTING_DEPTH))

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        check_prefix(prefix)
        self.requests.add("list")
        with self._reading(prefix):
            self._refuse_links(prefix)
            self._look_at_clock()
            return Page.cut(walk(str(self.root), prefix, after=after or "", folders=folders), limit=limit)

    def versions(self, key: str) -> Iterator[Version]:
        present = self._version(key, self._path(key))
        if present is not None:
            yield present
        self.requests.add("list")
        folder = f"{self.root}/.versions/{key}"
        with self._reading(key):
            self._refuse_links(f".versions/{key}/")
            ids = sorted((name for name in names_in(folder) if not name.endswith("/")), reverse=True)
        for id_ in ids:
            if present is None or id_ < present.id:  # else it is what was present, superseded meanwhile
                version = self._version(key, f"{folder}/{id_}")
                if version is not None:
                    yield version

    # --- reading ---------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        return self._inside(check_key(key))

    def _inside(self, name: str) -> str:
        """Return the path of what is called `name` in this directory; raise `Denied` if a link would lead out of it."""
        self._refuse_links(name)
        return f"{self.root}/{name}"

    def _refuse_links(self, name: str) -> None:
        try:
            self._fence.check(name)
        except OSError as error:
            raise self._error(name, error) from None

    def _version(self, key: str, path: str) -> Version | None:
        self.requests.add("get")
        with self._reading(key), contextlib.suppress(*ABSENT), open(open_file(path), "rb") as file:
            mtime_ns = os.fstat(file.fileno()).st_mtime_ns
            return Version(key=key, id=_version_id(mtime_ns), data=file.read(), modified_s=mtime_ns / 1e9)
        return None

    def _look_at_clock(self) -> None:
        """Learn the date from a file's mtime, so that on a mount the server's clock rules, not ours."""
        now = self.clock.monotonic()
        if self._dated_s is not None and now - self._dated_s < _DATE_LASTS_S:
            return
        try:
            with self._draft(b"", sync=False):
                pass
        except OSError:  # a read-only mount: this machine's clock is all there is
            self.server.observe(wall_time(), sent=now, received=now)
            self._dated_s = now

    # --- writing ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _draft(self, data: bytes, *, sync: bool = True) -> Iterator[str]:
        """Write a temporary file and yield its path; remove what is still there of it at the end."""
        sent = self.clock.monotonic()
        name, fd = self._open_new()
        try:
            with open(fd, "wb", buffering=0):
                write_all(fd, data)
                self._dated_s = self.clock.monotonic()
                self.server.observe(os.fstat(fd).st_mtime_ns / 1e9, sent=sent, received=self._dated_s)
                if sync:
                    os.fsync(fd)
            yield name
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def _open_new(self) -> tuple[str, int]:
        name = self._inside(f".tmp/{os.getpid()}-{new_id(self._rng)}")  # forked processes share the generator's state
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        try:
            return name, os.open(name, flags, self._mode & 0o666)
        except FileNotFoundError:  # somebody removed the whole directory under us
            self._make_own_folders()
            return name, os.open(name, flags, self._mode & 0o666)

    def _publish(self, key: str, draft: str) -> str:
        """Give `draft` its name and return its etag; raise `FileExistsError` if the name is taken."""
        path = self._path(key)
        etag = stamp(draft, above_ns=self._floor_ns(key))
        for _ in range(_CREATE_TRIES):
            try:
                if self._has_links:
                    os.link(draft, path)
                else:  # then whoever is here holds the lock
                    rename_new(draft, path)
            except FileNotFoundError:  # the folder is new, or was empty and has just been pruned
                make_folder(os.path.dirname(path), mode=self._mode)
            else:
                return etag
        raise Unavailable(f"no folder for {key!r} in {self.root}: it is removed as soon as it is made")

    def _put(self, key: str, draft: str) -> str:
        while True:
            try:
                old = status_of(self._path(key))
                return self._publish(key, draft) if old is None else self._supersede(key, draft, old=old)
            except FileExistsError:
                continue  # created a moment ago, for `create` takes no lock

    def _supersede(self, key: str, draft: str, *, old: os.stat_result) -> str:
        etag = stamp(draft, above_ns=max(old.st_mtime_ns, self._floor_ns(key)))
        if not key.startswith(self.unversioned):
            self._keep(key, old)
        os.replace(draft, self._path(key))
        return etag

    def _keep(self, key: str, old: os.stat_result) -> None:
        """Make what `key` holds a version; not forced to disk, for it is history and not truth."""
        version = self._inside(f".versions/{key}/{_version_id(old.st_mtime_ns)}")
        make_folder(os.path.dirname(version), mode=self._mode, is_lasting=False)
        try:
            os.link(self._path(key), version)
        except FileExistsError:
            pass  # the same state: a writer was killed between here and the rename
        except OSError:  # no links here, or not to another user's file (fs.protected_hardlinks)
            shutil.copy2(self._path(key), version)

    # --- excluding others ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        slot = _slot(key)
        path = self._inside(f".locks/{slot:02x}.lock")
        # Who can open a lock file can hold the lock, so that is for those who can write here.
        mode = 0o600 | self._mode & 0o022 | (self._mode & 0o022) << 1
        lock = filelock.FileLock(path, timeout=_LOCK_TIMEOUT_S, mode=mode)
        with _thread_locks[slot], lock.acquire(poll_interval=_LOCK_POLL_S):
            yield

    # An etag is (mtime, size, inode), which a listing has at hand. An inode is used again as soon as
    # its file is gone, within the same clock tick, so mtimes are made to tell two states of one key
    # apart, always: 1. What supersedes a file, under the lock, gets a later mtime than the file. 2.
    # `delete` first notes the file's mtime as the slot's floor, and whoever makes a file gives it an
    # mtime above the floor, which he reads *after* making the temporary file. Either the deleted file
    # still existed then, and the inodes differ, or its mtime was noted already, and the mtimes do.

    def _floor_ns(self, key: str) -> int:
        try:
            return os.stat(self._floor_path(key)).st_mtime_ns
        except FileNotFoundError:
            return 0

    def _raise_floor(self, key: str, mtime_ns: int) -> None:
        if mtime_ns <= self._floor_ns(key):
            return
        try:
            os.utime(self._floor_path(key), ns=(mtime_ns, mtime_ns))
        except (FileNotFoundError, PermissionError):  # the first in this slot, or another user's file
            with self._draft(b"", sync=False) as name:
                os.utime(name, ns=(mtime_ns, mtime_ns))
                os.replace(name, self._floor_path(key))

    def _floor_path(self, key: str) -> str:
        return self._inside(f".locks/{_slot(key):02x}.last")

    # --- housekeeping ----------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._make_own_folders()
            with self._draft(b"", sync=False) as name:
                self._has_links = can_link(name)
            self._sweep()
        except OSError as error:
            if error.errno not in DENIED or not self.root.is_dir():
                raise self._error(".", error) from error
            # A read-only mount can still be read, and a write will say that it is denied.

    def _make_own_folders(self) -> None:
        make_folder(str(self.root.parent))
        make_folder(str(self.root), mode=_PRIVATE)
        self._mode = stat.S_IMODE(os.stat(self.root).st_mode) & 0o777
        for name in (".tmp", ".locks", ".versions"):
            make_folder(self._inside(f"{name}/")[:-1], mode=self._mode)

    def _sweep(self) -> None:
        """Remove the temporary files of processes that were killed."""
        oldest_s = self.server.now() - _STALE_TEMP_S
        self._refuse_links(".tmp/")
        remove_stale(f"{self.root}/.tmp", before_s=oldest_s)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except ABSENT:
            raise Missing(key) from None
        except OSError as error:
            raise self._error(key, error) from error

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise Conflict(key) from None
        except OSError as error:
            raise self._error(key, error) from error

    def _error(self, key: str, error: OSError) -> StoreError | UsageError:
        return store_error(f"{key!r} in {self.root}", error)


def _slot(key: str) -> int:
    return zlib.crc32(key.encode()) % _SLOTS


def _version_id(mtime_ns: int) -> str:
    return f"{mtime_ns:020d}"
