"""Several processes on one directory: races, kills and forks."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
from functools import partial

import pytest

from oqkit.errors import Missing, Unavailable
from oqkit.store import directory
from oqkit.store.directory import DirectoryStore
from oqkit.testing.race import check_chain, create_if_absent, increment
from tests.forked import at_once, exit_code_of
from tests.store.disk import temporary_files


def create_200(root, number):
    store = DirectoryStore(root)
    return [n for n in range(200) if create_if_absent(store, f"race/{n}", str(number).encode())]


def increment_50_times(root, _number):
    return increment(DirectoryStore(root), "count", times=50)


def test_create_has_one_winner_when_processes_race(store, root):
    won = at_once(partial(create_200, root), n=4)
    assert sorted(itertools.chain.from_iterable(won)) == list(range(200))
    for number, mine in enumerate(won):
        assert {store.read(f"race/{n}").data for n in mine} <= {str(number).encode()}


def test_replace_loses_no_increment_when_processes_race(store, root):
    first_etag = store.create("count", b"0")
    found = at_once(partial(increment_50_times, root), n=4)
    check_chain(first_etag, [one for mine in found for one in mine])
    assert store.read("count").data == b"200"
    assert [int(version.data) for version in store.versions("count")] == list(range(200, -1, -1))


def die_at(step, root):
    """Write, and die when that comes to a call of the system."""
    store = DirectoryStore(root)
    setattr(os, step, lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL))
    store.create("f/a", b"mine") if step == "link" else store.overwrite("f/a", b"mine")


def test_create_leaves_no_object_when_killed_before_the_link(store, root):
    assert exit_code_of(die_at, "link", root) == -signal.SIGKILL
    assert store.list("").entries == ()
    with pytest.raises(Missing):
        store.read("f/a")
    (stray,) = temporary_files(root)
    assert stray.read_bytes() == b"mine"
    store.create("f/a", b"next")
    assert store.read("f/a").data == b"next"


def test_overwrite_leaves_the_old_object_and_no_lock_when_killed_before_the_rename(store, root):
    etag = store.create("f/a", b"old")
    assert exit_code_of(die_at, "replace", root) == -signal.SIGKILL
    assert store.read("f/a").data == b"old"
    assert [version.data for version in store.versions("f/a")] == [b"old"]
    store.replace("f/a", b"next", etag=etag)
    assert [version.data for version in store.versions("f/a")] == [b"next", b"old"]


def write_in_a_child(root):
    store = DirectoryStore(root)
    for lock in directory._thread_locks:
        lock.acquire()  # as other threads might, at the moment of the fork
    child = os.fork()
    if child == 0:
        store.overwrite("a", b"child")
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_overwrite_works_in_a_forked_child_when_threads_of_the_parent_hold_locks(store, root):
    assert exit_code_of(write_in_a_child, root) == 0
    assert store.read("a").data == b"child"


def test_replace_is_unavailable_when_a_stopped_process_holds_the_lock(store, root, monkeypatch):
    monkeypatch.setattr(directory, "_LOCK_TIMEOUT_S", 0.02)
    etag = store.create("a", b"old")
    with (root / ".locks" / f"{directory._slot('a'):02x}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            store.replace("a", b"new", etag=etag)
    store.replace("a", b"new", etag=etag)
