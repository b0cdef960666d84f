"""Who may touch the files of a store, and no way out of its directory: links that others may have put there are not followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from oqkit.errors import Denied, StoreError, Unavailable, UsageError

#: How a file system says that there is no file of this name.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
#: How it says that something is not allowed; a link, which is not followed, is such a thing.
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP)
_UNFIT = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAX_PLAIN = 10_000


def open_file(path: str) -> int:
    """Open a regular file for reading; a link or a pipe of that name raises `OSError`, and is neither followed nor waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, "it is no file", path)
    return fd


class Fence:
    """Keeps a store inside of its directory. What is found once holds as long as nobody else can change it: `is_lasting`."""

    def __init__(self, root: str) -> None:
        self.is_lasting = False
        self._root = root
        self._plain: set[str] = set()

    def check(self, name: str) -> None:
        """Raise `OSError` if a folder between the root and the file `name` below it is a link."""
        folder = name[: name.rfind("/") + 1]
        if folder in self._plain:
            return
        _refuse_links(self._root, folder)
        if self.is_lasting:
            if len(self._plain) >= _MAX_PLAIN:
                self._plain.clear()
            self._plain.add(folder)


def written_by_others(root: Path, *, names: Sequence[str]) -> str:
    """Say by what other users of this machine can write below `root`, where `names` are; empty if nobody can."""
    if not hasattr(os, "geteuid"):
        return ""
    for path in (root, *(root / name for name in names)):
        with contextlib.suppress(*ABSENT):
            status = os.lstat(path)
            if status.st_uid not in {0, os.geteuid()}:
                return f"{path} belongs to user {status.st_uid}"
            if status.st_mode & 0o022:
                return f"{path} can be written by others; `chmod -R go-w {root}` ends that"
            if path == root and not status.st_mode & 0o011:
                return ""  # nobody else can get into it
    return ""


def store_error(what: str, error: OSError) -> StoreError | UsageError:
    """Say what an error of the file system means for the caller."""
    text = f"{what}: {error.strerror or error}"
    if error.errno in DENIED:
        return Denied(f"no permission for {text}")
    if error.errno in _UNFIT:
        return UsageError(f"a directory cannot hold {text}")
    if error.errno in _FULL:
        return Unavailable(f"cannot write {text}; free some space and try again")
    return Unavailable(f"no answer about {text}")


def _refuse_links(root: str, name: str) -> None:
    end = name.find("/")
    while end >= 0:
        try:
            status = os.lstat(f"{root}/{name[:end]}")
        except ABSENT:
            return
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, f"{name[:end]!r} is a symbolic link, which leads out of the queue")
        end = name.find("/", end + 1)
