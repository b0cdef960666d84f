"""Files as a store wants them: durable once written, told apart by an etag, found in order."""

# Paths are strings here: making a Path costs as much as the system call it is for.
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH116, PTH120, PTH123

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import stat
from collections.abc import Iterator

from oqkit.errors import Conflict, Missing, Unsupported
from oqkit.store.base import Blob, Entry
from oqkit.store.permission import ABSENT, open_file

_MTIME_STEP_NS = 1_000  # the coarsest mtimes of a usable file system: NTFS and SMB keep 100 ns, some FUSE 1 µs


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many steps as the system takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def etag_of(status: os.stat_result) -> str:
    """Return the etag: what tells two states of a file apart and a listing has at hand."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def status_of(path: str) -> os.stat_result | None:
    """Return the status of a file, None if there is none; raise `IsADirectoryError` for a folder."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is the folder of other keys", path)
    return status


def names_in(folder: str) -> set[str]:
    """Return the names in a folder, those of folders with a ``/`` at the end; none if there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return {
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in found
                if not entry.name.startswith(".")
            }
    except ABSENT:
        return set()


def walk(root: str, prefix: str, *, after: str, folders: bool) -> Iterator[Entry | str]:
    """Yield the entries below `root`, and folders as plain text, in the order of the whole keys.

    Files that vanish meanwhile are left out; a folder that holds no file is none, as in a bucket.
    """
    return _walk(root, prefix[: prefix.rfind("/") + 1], prefix=prefix, after=after, folders=folders)


def _walk(root: str, folder: str, *, prefix: str, after: str, folders: bool) -> Iterator[Entry | str]:
    first = max(prefix[len(folder) :], after[len(folder) :] if after.startswith(folder) else "")
    names = [name for name in names_in(f"{root}/{folder}") if name >= first or first.startswith(name)]
    heapq.heapify(names)  # a page takes few of them, so sorting them all would be most of the work
    while names:
        key = folder + heapq.heappop(names)
        is_folder = key.endswith("/")
        if key > prefix and not key.startswith(prefix):
            return
        if key < prefix or (key <= after and (folders or not is_folder or not after.startswith(key))):
            continue
        if not is_folder:
            yield from _entry(root, key)
        elif not folders:
            yield from _walk(root, key, prefix=key, after=after, folders=False)
        elif any(_walk(root, key, prefix=key, after="", folders=False)):
            yield key


def _entry(root: str, key: str) -> Iterator[Entry]:
    with contextlib.suppress(*ABSENT):
        status = os.lstat(f"{root}/{key}")
        if stat.S_ISREG(status.st_mode):
            yield Entry(key=key, etag=etag_of(status), size_bytes=status.st_size, modified_s=status.st_mtime)


def read_blob(key: str, path: str) -> Blob:
    """Read a file with its etag."""
    with open(open_file(path), "rb", buffering=0) as file:
        return Blob(key=key, data=file.readall(), etag=etag_of(os.fstat(file.fileno())))


def expect(key: str, path: str, etag: str) -> os.stat_result:
    """Return the status of a file that has this etag; raise `Missing` or `Conflict`."""
    try:
        status = os.lstat(path)
    except ABSENT:
        raise Missing(key) from None
    if etag_of(status) != etag:
        raise Conflict(key)
    return status


def stamp(path: str, *, above_ns: int) -> str:
    """Make sure that a file's mtime is later than `above_ns`, and return its etag."""
    status = os.stat(path)
    if status.st_mtime_ns <= above_ns:
        os.utime(path, ns=(above_ns + _MTIME_STEP_NS, above_ns + _MTIME_STEP_NS))
        status = os.stat(path)
        if status.st_mtime_ns <= above_ns:
            raise Unsupported(f"{path}: this file system does not keep times to the microsecond; use another one")
    return etag_of(status)


def rename_new(source: str, target: str) -> None:
    """Rename, but raise `FileExistsError` if `target` exists; only a lock makes this exact."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target)


def can_link(path: str) -> bool:
    """Whether the file system knows hard links (FAT and some network mounts do not)."""
    try:
        os.link(path, f"{path}-link")
    except OSError:
        return False
    os.unlink(f"{path}-link")
    return True


def make_folder(path: str, *, mode: int = 0o777, is_lasting: bool = True) -> None:
    """Make a folder and those above it, each forced to disk if it is to last; it may be gone again when this returns."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(os.path.dirname(path), mode=mode, is_lasting=is_lasting)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(path, mode)
    if is_lasting:
        sync_folder(os.path.dirname(path))


def prune(folder: str, *, n_levels: int) -> str:
    """Remove the folder and those above it, `n_levels` at most, while they are empty; return what stays."""
    for _ in range(n_levels):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:  # not empty, or not ours to remove
            break
        folder = os.path.dirname(folder)
    return folder


def sync_folder(path: str) -> None:
    """Force the names in a folder to disk."""
    if os.name == "nt":  # Windows keeps them without being asked, and has no way to ask
        return
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # all that was in it has been deleted meanwhile
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_stale(folder: str, *, before_s: float) -> None:
    """Remove the files of a folder that were not written since `before_s`; links are neither followed nor removed."""
    with os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError, PermissionError):  # removed already, or not ours
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < before_s:
                    os.unlink(entry.path)
