from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.errors import Conflict, Denied, Missing, Unavailable, UsageError
from oqkit.store import directory
from oqkit.store import file as store_file
from oqkit.store.directory import DirectoryStore
from oqkit.store.memory import MemoryStore
from oqkit.testing.contract import StoreContract
from oqkit.testing.race import Increment, check_chain


@pytest.fixture
def root(tmp_path):
    return tmp_path / "queue"


@pytest.fixture
def store(root):
    return DirectoryStore(root)


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


def fail_with(number):
    def fail(*_args, **_options):
        raise OSError(number, os.strerror(number))

    return fail


def mtime_ns(root, key):
    return (root / key).stat().st_mtime_ns


def temporary_files(root):
    return list((root / ".tmp").iterdir())


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


# --- several processes ---------------------------------------------------------------------------


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


# --- what goes wrong -----------------------------------------------------------------------------


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


# --- etags ---------------------------------------------------------------------------------------


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


@settings(max_examples=150, deadline=None)
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
