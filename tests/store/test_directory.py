"""A store in a directory: its contract, how objects lie there, and that it lists as a store in memory does."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.store import file as store_file
from oqkit.store.directory import DirectoryStore
from oqkit.store.memory import MemoryStore
from oqkit.testing.contract import StoreContract
from tests.store.disk import fail_with, temporary_files


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def store(self, root):
        return DirectoryStore(root)

    @pytest.fixture
    def another_client(self, store):
        return DirectoryStore(store.root)


class TestDirectoryStoreWithoutHardLinks(TestDirectoryStore):
    @pytest.fixture
    def store(self, root, monkeypatch):
        monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
        return DirectoryStore(root)


# --- layout --------------------------------------------------------------------------------------


def test_objects_are_files_that_a_person_can_read(store, root):
    etag = store.create("jobs/0/j1.json", b'{"n": 1}')
    store.replace("jobs/0/j1.json", b'{"n": 2}', etag=etag)
    assert (root / "jobs/0/j1.json").read_text() == '{"n": 2}'
    (past,) = (root / ".versions/jobs/0/j1.json").iterdir()
    assert past.read_text() == '{"n": 1}'
    assert {path.name for path in root.iterdir()} == {"jobs", ".versions", ".locks", ".tmp"}
    assert temporary_files(root) == []


def test_versions_are_not_kept_of_unversioned_keys(root):
    store = DirectoryStore(root, unversioned=("bell", "tmp/"))
    for key in ("bell", "tmp/a", "b"):
        store.create(key, b"1")
        store.overwrite(key, b"2")
    assert [len(list(store.versions(key))) for key in ("bell", "tmp/a", "b")] == [1, 1, 2]


def test_versions_outlive_the_object(store):
    store.create("a", b"1")
    store.overwrite("a", b"2")
    store.delete("a")
    assert [version.data for version in store.versions("a")] == [b"1"]
    store.create("a", b"3")
    assert [version.data for version in store.versions("a")] == [b"3", b"1"]


def test_versions_are_copied_when_the_file_may_not_be_linked(store, monkeypatch):
    store.create("a", b"1")
    monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
    store.overwrite("a", b"2")
    assert [version.data for version in store.versions("a")] == [b"2", b"1"]


def test_list_leaves_out_hidden_and_special_files_and_empty_folders(store, root):
    store.create("f/a", b"")
    (root / "f/.DS_Store").touch()
    (root / "f/.hidden").mkdir()
    (root / "f/.hidden/x").touch()
    (root / "empty/in/empty").mkdir(parents=True)
    os.mkfifo(root / "f/pipe")
    assert [entry.key for entry in store.list("").entries] == ["f/a"]
    assert store.list("", folders=True).folders == ("f/",)
    assert [entry.key for entry in store.list("f/", folders=True).entries] == ["f/a"]


def test_list_leaves_out_files_that_vanish_meanwhile(store, monkeypatch):
    store.create("f/a", b"")
    real = store_file.names_in
    monkeypatch.setattr(
        store_file,
        "names_in",
        lambda folder: real(folder) | ({"vanished", "gone/"} if folder.endswith("/f/") else set()),
    )
    assert [entry.key for entry in store.list("f/").entries] == ["f/a"]
    assert store.list("f/", folders=True).folders == ()


def test_delete_removes_the_folders_that_it_empties_but_not_the_upper_ones(store, root):
    store.create("work/0/j1/parts/0.json", b"")
    store.create("work/0/j1/in", b"")
    store.delete("work/0/j1/parts/0.json")
    assert not (root / "work/0/j1/parts").exists()
    assert (root / "work/0/j1").exists()
    store.delete("work/0/j1/in")
    assert not (root / "work/0/j1").exists()
    assert (root / "work/0").exists()


def test_store_sweeps_temporary_files_older_than_a_day(store, root):
    old, young = root / ".tmp/old", root / ".tmp/young"
    for path, age_s in ((old, 90_000), (young, 80_000)):
        path.touch()
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    DirectoryStore(root)
    assert temporary_files(root) == [young]


def test_url_is_that_of_the_absolute_path(root, monkeypatch):
    root.mkdir()
    monkeypatch.chdir(root)
    assert DirectoryStore("a b").url == f"file://{root}/a%20b"
    monkeypatch.setenv("HOME", str(root))
    assert DirectoryStore("~/c").root == root / "c"


@pytest.mark.parametrize("verb", ("create", "list"))
def test_now_follows_the_dates_that_the_file_system_stamps(root, monkeypatch, verb):
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: shifted(real(fd)))
    store = DirectoryStore(root)
    store.create("a", b"") if verb == "create" else store.list("")
    assert store.now() - time.time() == pytest.approx(3_600, abs=5)


def shifted(status):
    return SimpleNamespace(
        st_mtime_ns=status.st_mtime_ns + 3_600 * 10**9,
        st_size=status.st_size,
        st_ino=status.st_ino,
        st_mode=status.st_mode,
    )


# --- against the memory store --------------------------------------------------------------------

folder_names = st.sampled_from(["a", "b", "a-", "a!", "ab"])
file_names = st.sampled_from(["x", "y.json", "a.", "a0", "a--", "b~"])
all_keys = st.builds(lambda folders, name: "/".join([*folders, name]), st.lists(folder_names, max_size=3), file_names)
beginnings = st.builds(lambda key, length: key[:length], all_keys, st.integers(0, 9)).filter(
    lambda text: "//" not in text
)


@settings(max_examples=150)
@given(
    keys=st.sets(all_keys, max_size=12),
    deleted=st.sets(all_keys, max_size=4),
    prefix=beginnings,
    after=st.none() | beginnings | all_keys,
    limit=st.integers(1, 6),
    folders=st.booleans(),
)
def test_list_agrees_with_the_memory_store(keys, deleted, prefix, after, limit, folders):
    fsync, os.fsync = os.fsync, lambda _fd: None
    try:
        with tempfile.TemporaryDirectory() as path:
            stores = [DirectoryStore(path), MemoryStore()]
            for store in stores:
                for key in keys:
                    store.create(key, key.encode())
                for key in deleted:
                    store.delete(key)
            found, expected = (store.list(prefix, after=after, limit=limit, folders=folders) for store in stores)
    finally:
        os.fsync = fsync
    assert found.folders == expected.folders
    assert found.next == expected.next
    assert [(entry.key, entry.size_bytes) for entry in found.entries] == [
        (entry.key, entry.size_bytes) for entry in expected.entries
    ]
