"""Several processes on one directory: races, kills and forks."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys

import pytest

from oqkit.errors import Missing, Unavailable
from oqkit.store import directory
from oqkit.testing.race import Increment, check_chain
from tests.store.disk import temporary_files

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def start(script, *arguments):
    """Start Python on a script that does its work once it can read a line."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def exit_code_of(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, timeout=60, check=False).returncode


def results_of(processes):
    """Let the processes go at the same moment, and return the JSON that each prints."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(output) for output in outputs]


CREATE = """
import json, sys
from oqkit.store.directory import DirectoryStore
from oqkit.testing.race import create_if_absent
store, me = DirectoryStore(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([n for n in range(200) if create_if_absent(store, f"race/{n}", me.encode())]))
"""
INCREMENT = """
import dataclasses, json, sys
from oqkit.store.directory import DirectoryStore
from oqkit.testing.race import increment
store = DirectoryStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([dataclasses.asdict(one) for one in increment(store, "count", times=50)]))
"""


def test_create_has_one_winner_when_processes_race(store):
    won = results_of([start(CREATE, store.root, number) for number in range(4)])
    assert sorted(itertools.chain.from_iterable(won)) == list(range(200))
    for number, mine in enumerate(won):
        assert {store.read(f"race/{n}").data for n in mine} <= {str(number).encode()}


def test_replace_loses_no_increment_when_processes_race(store):
    first_etag = store.create("count", b"0")
    found = results_of([start(INCREMENT, store.root) for _ in range(4)])
    check_chain(first_etag, [Increment(**one) for mine in found for one in mine])
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
