"""Etags of files never repeat, whatever the clock says."""

from __future__ import annotations

import contextlib
import os
import random
import time

import pytest

from oqkit.errors import Conflict
from oqkit.store import directory
from oqkit.store.directory import DirectoryStore


@pytest.fixture
def no_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def stopped_clock(monkeypatch):
    """Let the file system stamp the same time on all files, as within one tick of a coarse clock."""
    real = directory.write_all

    def write_and_stamp(fd, data):
        real(fd, data)
        os.utime(fd, ns=(TICK_NS, TICK_NS))

    monkeypatch.setattr(directory, "write_all", write_and_stamp)


TICK_NS = 1_700_000_000 * 10**9


def before_next_link(monkeypatch, action):
    """Let others act between the moment when a draft is complete and the moment when it gets its name."""
    real = os.link

    def link(source, target):
        monkeypatch.setattr(os, "link", real)
        action()
        real(source, target)

    monkeypatch.setattr(os, "link", link)


def mtime_ns(root, key):
    return (root / key).stat().st_mtime_ns


@pytest.mark.usefixtures("no_fsync", "stopped_clock")
def test_etag_never_repeats_in_2000_quick_rewrites_of_the_same_size(store):
    etags = [store.create("bell", b"0000")]  # not versioned, so that inodes are free for use again
    for number in range(1, 2000):
        etags.append(store.replace("bell", b"%04d" % number, etag=etags[-1]))
    assert len(set(etags)) == 2000
    (entry,) = store.list("bell").entries
    assert entry.etag == store.read("bell").etag == etags[-1]


@pytest.mark.usefixtures("no_fsync", "stopped_clock")
def test_mtime_rises_with_every_write_when_the_key_is_deleted_in_between(store, root):
    rng = random.Random(7)
    clients = [store, DirectoryStore(root)]
    last = 0
    for _ in range(2000):
        client = rng.choice(clients)
        match rng.choice(["create", "overwrite", "delete"]):
            case "create":
                with contextlib.suppress(Conflict):
                    client.create("bell", b"same")
            case "overwrite":
                client.overwrite("bell", b"same")
                assert mtime_ns(root, "bell") > last
            case "delete":
                client.delete("bell")
                continue
        assert mtime_ns(root, "bell") >= last
        last = mtime_ns(root, "bell")


@pytest.mark.usefixtures("no_fsync")
def test_mtime_is_later_than_a_deleted_one_when_the_clock_was_set_back(store, root):
    store.create("a", b"1")
    future_ns = time.time_ns() + 3_600 * 10**9
    os.utime(root / "a", ns=(future_ns, future_ns))
    store.delete("a")
    store.create("a", b"2")
    assert mtime_ns(root, "a") > future_ns


@pytest.mark.usefixtures("stopped_clock")
def test_mtime_rises_above_all_that_was_deleted_while_a_create_was_slow(store, root, monkeypatch):
    past = []

    def live_a_whole_life():
        past.append(store.create("a", b"1"))
        past.append(store.overwrite("a", b"2"))
        past.append(store.overwrite("a", b"3"))
        past.append(mtime_ns(root, "a"))
        store.delete("a")

    before_next_link(monkeypatch, live_a_whole_life)
    etag = store.create("a", b"4")
    assert etag not in past
    store.replace("a", b"5", etag=etag)
    assert mtime_ns(root, "a") > past[-1]


def test_overwrite_supersedes_what_was_created_a_moment_ago(store, monkeypatch):
    before_next_link(monkeypatch, lambda: store.create("a", b"created"))
    store.overwrite("a", b"overwritten")
    assert [version.data for version in store.versions("a")] == [b"overwritten", b"created"]


def test_replace_raises_conflict_when_a_person_edited_the_file(store, root):
    etag = store.create("a", b"1")
    (root / "a").write_bytes(b"edited")
    with pytest.raises(Conflict):
        store.replace("a", b"2", etag=etag)
