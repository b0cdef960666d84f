"""Other users of this machine: what they can read and write of a directory queue, and links that they may put there."""

from __future__ import annotations

import contextlib
import os
import stat
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import Denied, OqError, UsageError
from oqkit.store.directory import DirectoryStore
from tests.local import WAIT_S

OLD = time.time() - 10 * 86_400


@pytest.fixture
def root(tmp_path):
    return tmp_path / "above/queue"


def modes_in(root):
    """Return every mode below a folder: (of folders, of files)."""
    found = [(path.is_dir(), stat.S_IMODE(path.lstat().st_mode)) for path in [root, *root.rglob("*")]]
    return {mode for is_folder, mode in found if is_folder}, {mode for is_folder, mode in found if not is_folder}


def fill(store):
    etag = store.create("jobs/0000/a.json", b"one")
    store.replace("jobs/0000/a.json", b"two", etag=etag)
    store.overwrite("bell", b"1")
    store.create("open/0000/x/ready/m", b"")
    store.delete("open/0000/x/ready/m")


@pytest.fixture(params=(0o022, 0o000, 0o077))
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


# --- permissions ---------------------------------------------------------------------------------


def test_new_queue_is_for_its_owner_alone_whatever_the_umask(root, umask):
    fill(DirectoryStore(root))
    assert modes_in(root) == ({0o700}, {0o600})


@pytest.mark.parametrize(
    ("mode", "folders", "files"), ((0o750, {0o750}, {0o640}), (0o770, {0o770}, {0o660}), (0o755, {0o755}, {0o644}))
)
def test_everything_has_the_permissions_of_a_folder_that_was_made_before(root, mode, folders, files):
    before = os.umask(0)
    try:
        root.mkdir(parents=True)
        root.chmod(mode)
        fill(DirectoryStore(root))
        found = modes_in(root)
        locks = {stat.S_IMODE(path.stat().st_mode) for path in (root / ".locks").glob("*.lock")}
    finally:
        os.umask(before)
    assert (found[0], found[1] - {0o600}) == (folders, files)
    assert locks == {0o660 if mode & 0o020 else 0o600}, "who can only read the queue can hold no lock"


def test_queue_that_a_worker_makes_anew_is_private_again(root, store):
    for name in (".tmp", ".locks", ".versions"):
        (root / name).rmdir()
    root.rmdir()
    fill(store)
    assert modes_in(root) == ({0o700}, {0o600})


WRITABLE = {
    "group can write": lambda root: root.chmod(0o770),
    "everybody can write": lambda root: root.chmod(0o707),
    "everybody can write its jobs": lambda root: (root.chmod(0o755), (root / "jobs").chmod(0o777)),
    "everybody can write its files": lambda root: (root.chmod(0o755), (root / "queue.json").chmod(0o666)),
    "belongs to somebody else": lambda root: os.chown(root, 12345, -1),
    "what is in it belongs to somebody else": lambda root: (root.chmod(0o755), os.chown(root / "code", 12345, -1)),
}


@pytest.mark.parametrize("case", WRITABLE)
def test_code_in_a_queue_that_others_can_write_is_not_trusted(tmp_path, case):
    if "belongs" in case and os.geteuid():
        pytest.skip("only root can give files away")
    root = tmp_path / "queue"
    queue = oq.connect(root)
    (root / "code").mkdir()
    queue.submit("score", 1)
    WRITABLE[case](root)
    for trusting in (lambda: oq.Worker(queue, trust_code=True), lambda: oq.local_workers(1, queue=queue)):
        with pytest.raises(
            UsageError, match=r"code in file:///.*/queue cannot be trusted: .*(by others|to user 12345)"
        ):
            trusting()
    oq.Worker(queue, [oq.task(name="score")(abs)])  # runs nothing but its own


@pytest.mark.parametrize("mode", (0o700, 0o755, 0o711, 0o750))
def test_code_in_a_queue_that_its_owner_alone_can_write_is_trusted(tmp_path, mode):
    queue = oq.connect(tmp_path / "queue")
    (tmp_path / "queue").chmod(mode)
    oq.Worker(queue, trust_code=True)


# --- links ---------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """A folder of somebody else's files, old enough to be swept up, in the places where a queue would have its own."""
    folder = tmp_path / "victim"
    for name in ("a.json", "jobs/0000/a.json", "0000/a.json", "1-abc", "00.lock", "00.last"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
        os.utime(path, (OLD, OLD))
    return folder


def seen(folder):
    return {str(path): (path.read_bytes(), path.stat().st_mtime) for path in folder.rglob("*") if path.is_file()}


VERBS = {
    "read": lambda store, key: store.read(key),
    "read_changed": lambda store, key: store.read_changed(key, etag="0-0-0"),
    "read_range": lambda store, key: store.read_range(key, start=0, length=4),
    "create": lambda store, key: store.create(key, b"new"),
    "replace": lambda store, key: store.replace(key, b"new", etag=etag_through(store, key)),
    "overwrite": lambda store, key: store.overwrite(key, b"new"),
    "delete": lambda store, key: store.delete(key),
    "list": lambda store, key: store.list(key[:-1]).entries,
    "list all": lambda store, _: [entry for page in store.list_all("") for entry in page.entries],
    "versions": lambda store, key: list(store.versions(key)),
    "open": lambda store, _: DirectoryStore(store.root),
}


def etag_through(store, key):
    status = (store.root / key).stat()
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


LINKS = ("jobs", "jobs/0000", "jobs/0000/a.json", ".tmp", ".locks", ".versions", ".versions/jobs")


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("verb", VERBS)
def test_link_in_a_queue_leads_nobody_out_of_it(store, root, victim, verb, link):
    place = root / link
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rmdir()
    place.symlink_to(victim / "a.json" if link.endswith(".json") else victim)
    before = seen(victim)
    said = ()
    with contextlib.suppress(OqError, FileNotFoundError):
        said = VERBS[verb](store, "jobs/0000/a.json")
    assert seen(victim) == before
    assert "prec" not in repr(said)
    if verb.startswith("list"):
        assert not said


def test_link_is_told(store, root, victim):
    (root / "jobs").symlink_to(victim)
    with pytest.raises(Denied, match="'jobs' is a symbolic link, which leads out of the queue"):
        store.read("jobs/a.json")


def test_listing_jobs_sweeps_nothing_up_behind_a_link(tmp_path, victim):
    root = tmp_path / "queue"
    oq.connect(root)
    (root / ".tmp").rmdir()
    (root / ".tmp").symlink_to(victim)
    before = seen(victim)
    with pytest.raises(Denied, match=r"'.tmp' is a symbolic link"):
        oq.connect(root).jobs()
    assert seen(victim) == before


def test_link_among_the_temporary_files_is_left_alone(store, root, victim):
    (root / ".tmp/1-abc").symlink_to(victim / "1-abc")
    os.utime(root / ".tmp/1-abc", (OLD, OLD), follow_symlinks=False)
    before = seen(victim)
    DirectoryStore(root)
    assert seen(victim) == before


def test_pipe_in_a_queue_is_not_waited_for(store, root):
    (root / "jobs").mkdir()
    os.mkfifo(root / "jobs/a.json")
    with pytest.raises(OqError):
        store.read("jobs/a.json")
    assert store.list("").entries == ()


def test_queue_may_itself_be_reached_through_a_link(tmp_path, start):
    (tmp_path / "large").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "large")
    queue = oq.connect(tmp_path / "link/queue")
    start(queue=queue)
    assert queue.submit_frame(pd.DataFrame({"x": [1]}), lambda x: x + 1, name="n").result(WAIT_S).iloc[0, 0] == 2
