"""A directory in trouble: full, read-only, somebody else's, changed meanwhile; and keys that lead astray."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from oqkit.errors import Denied, Missing, Unavailable, UsageError
from oqkit.store.directory import DirectoryStore
from tests.store.disk import fail_with, temporary_files


def write_half(fd, data, write=os.write):
    if len(data) > 4:
        return write(fd, data[: len(data) // 2])
    return fail_with(errno.ENOSPC)()


@pytest.mark.parametrize(("function", "fails"), (("write", write_half), ("fsync", fail_with(errno.ENOSPC))))
def test_writes_are_unavailable_and_leave_nothing_when_the_disk_is_full(store, root, monkeypatch, function, fails):
    etag = store.create("f/a", b"old content")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fails)
        for call in (
            lambda: store.create("f/b", b"new content"),
            lambda: store.replace("f/a", b"new content", etag=etag),
            lambda: store.overwrite("f/a", b"new content"),
        ):
            with pytest.raises(Unavailable, match="No space left on device; free some space"):
                call()
    assert temporary_files(root) == []
    assert [entry.key for entry in store.list("").entries] == ["f/a"]
    assert store.read("f/a").data == b"old content"
    store.create("f/b", b"new content")


def test_write_all_goes_on_when_the_system_takes_a_part(store, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    store.create("a", b"0123456789")
    assert store.read("a").data == b"0123456789"


def test_writes_are_denied_when_the_directory_belongs_to_somebody_else(store, monkeypatch):
    monkeypatch.setattr(os, "open", fail_with(errno.EACCES))
    with pytest.raises(Denied, match="'a'"):
        store.create("a", b"")


def test_store_can_be_read_when_the_mount_is_read_only(store, root, monkeypatch):
    store.create("f/a", b"x")
    real, refuse = os.open, fail_with(errno.EROFS)
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    monkeypatch.setattr(
        os, "open", lambda path, flags, *mode, **at: (refuse if flags & writes else real)(path, flags, *mode, **at)
    )
    reader = DirectoryStore(root)
    assert reader.read("f/a").data == b"x"
    assert len(reader.list("f/").entries) == 1
    assert abs(reader.now() - time.time()) < 5
    with pytest.raises(Denied):
        reader.create("b", b"")


def test_store_says_that_its_path_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        DirectoryStore(tmp_path / "file")


@pytest.mark.parametrize(
    "key", ("", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".", ".a", "a/.b", ".tmp/a", "a\\b", "a\0b")
)
def test_verbs_refuse_a_key_that_leads_astray(store, root, key):
    for call in (
        lambda: store.create(key, b""),
        lambda: store.overwrite(key, b""),
        lambda: store.replace(key, b"", etag=""),
        lambda: store.read(key),
        lambda: store.read_changed(key, etag=""),
        lambda: store.read_range(key, start=0, length=1),
        lambda: store.delete(key),
        lambda: list(store.versions(key)),
    ):
        with pytest.raises(UsageError):
            call()
    assert temporary_files(root) == []


@pytest.mark.parametrize("prefix", ("/", "..", "../", "a/../", ".tmp/", "a//", "a\\"))
def test_list_refuses_a_prefix_that_leads_astray(store, prefix):
    with pytest.raises(UsageError):
        store.list(prefix)


def test_writes_refuse_a_key_below_another_key(store):
    store.create("a", b"")
    store.create("f/b", b"")
    for key in ("a/b", "f"):
        with pytest.raises(UsageError):
            store.create(key, b"")
        with pytest.raises(UsageError):
            store.overwrite(key, b"")
    with pytest.raises(Missing):
        store.read("a/b")
    store.delete("a/b")


def test_create_refuses_a_name_that_is_too_long(store):
    with pytest.raises(UsageError, match="File name too long"):
        store.create("x" * 300, b"")


def test_create_works_when_somebody_removed_the_directory(store, root):
    store.create("f/a", b"1")
    shutil.rmtree(root)
    store.create("f/a", b"2")
    assert store.read("f/a").data == b"2"


def test_create_works_when_its_folder_is_pruned_meanwhile(store, root, monkeypatch):
    real, left = os.link, [3]

    def prune_and_link(source, target):
        if left[0]:
            left[0] -= 1
            with contextlib.suppress(OSError):
                Path(target).parent.rmdir()
        real(source, target)

    monkeypatch.setattr(os, "link", prune_and_link)
    store.create("f/a/b/c", b"x")
    assert (root / "f/a/b/c").read_bytes() == b"x"
