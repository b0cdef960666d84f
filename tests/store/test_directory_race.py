"""Several processes on one directory: races, kills and forks."""

from __future__ import annotations

import fcntl
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from oqkit.errors import Missing, Unavailable
from oqkit.store import directory
from oqkit.store.directory import DirectoryStore
from oqkit.testing.race import check_chain, create_if_absent, increment
from tests.store.disk import temporary_files

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
PROCESSES = multiprocessing.get_context("forkserver")  # one process imports everything, and the others come from it
PROCESSES.set_forkserver_preload([__name__])
N_PROCESSES = 4


def exit_code_of(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, timeout=60, check=False).returncode


def at_once(act, root):
    """Call `act(store, number)` in each of some processes, all of them at the same moment; return what the calls give."""
    start = PROCESSES.Barrier(N_PROCESSES)
    with ProcessPoolExecutor(N_PROCESSES, PROCESSES, initializer=_remember, initargs=(start,)) as pool:
        calls = [pool.submit(_wait_and_act, act, root, number) for number in range(N_PROCESSES)]
        return [call.result() for call in calls]


def _remember(barrier):
    global _start  # noqa: PLW0603 - a barrier is handed to a new process only
    _start = barrier


def _wait_and_act(act, root, number):
    store = DirectoryStore(root)
    _start.wait()
    return act(store, number)


def create_200(store, number):
    return [n for n in range(200) if create_if_absent(store, f"race/{n}", str(number).encode())]


def increment_50_times(store, number):
    return increment(store, "count", times=50)


def test_create_has_one_winner_when_processes_race(store, root):
    won = at_once(create_200, root)
    assert sorted(itertools.chain.from_iterable(won)) == list(range(200))
    for number, mine in enumerate(won):
        assert {store.read(f"race/{n}").data for n in mine} <= {str(number).encode()}


def test_replace_loses_no_increment_when_processes_race(store, root):
    first_etag = store.create("count", b"0")
    found = at_once(increment_50_times, root)
    check_chain(first_etag, [one for mine in found for one in mine])
    assert store.read("count").data == b"200"
    assert [int(version.data) for version in store.versions("count")] == list(range(200, -1, -1))


KILLED = """
import os, signal, sys
from oqkit.store.directory import DirectoryStore
store = DirectoryStore(sys.argv[1])
setattr(os, sys.argv[2], lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL))
store.create("f/a", b"mine") if sys.argv[2] == "link" else store.overwrite("f/a", b"mine")
"""


def test_create_leaves_no_object_when_killed_before_the_link(store, root):
    assert exit_code_of(KILLED, root, "link") == -signal.SIGKILL
    assert store.list("").entries == ()
    with pytest.raises(Missing):
        store.read("f/a")
    (stray,) = temporary_files(root)
    assert stray.read_bytes() == b"mine"
    store.create("f/a", b"next")
    assert store.read("f/a").data == b"next"


def test_overwrite_leaves_the_old_object_and_no_lock_when_killed_before_the_rename(store, root):
    etag = store.create("f/a", b"old")
    assert exit_code_of(KILLED, root, "replace") == -signal.SIGKILL
    assert store.read("f/a").data == b"old"
    assert [version.data for version in store.versions("f/a")] == [b"old"]
    store.replace("f/a", b"next", etag=etag)
    assert [version.data for version in store.versions("f/a")] == [b"next", b"old"]


FORKED = """
import os, sys
from oqkit.store import directory
store = directory.DirectoryStore(sys.argv[1])
for lock in directory._thread_locks:
    lock.acquire()      # as other threads might, at the moment of the fork
child = os.fork()
if child == 0:
    store.overwrite("a", b"child")
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_overwrite_works_in_a_forked_child_when_threads_of_the_parent_hold_locks(store, root):
    assert exit_code_of(FORKED, root) == 0
    assert store.read("a").data == b"child"


def test_replace_is_unavailable_when_a_stopped_process_holds_the_lock(store, root, monkeypatch):
    monkeypatch.setattr(directory, "_LOCK_TIMEOUT_S", 0.02)
    etag = store.create("a", b"old")
    with (root / ".locks" / f"{directory._slot('a'):02x}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            store.replace("a", b"new", etag=etag)
    store.replace("a", b"new", etag=etag)
