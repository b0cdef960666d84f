"""A directory whose disk is full: nothing is torn, the error says what to do, and work goes on when there is space again."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Unavailable
from oqkit.limits import Limits, QueueLimits
from oqkit.queue.repository import open_repository
from oqkit.store import directory
from oqkit.store.directory import DirectoryStore
from tests.chaos.fleet import check_outcomes
from tests.local import names_below, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

N_ROWS = 60
ADVICE = "free some space and try again"


class Disk:
    """Decides how many more bytes this process's stores may write; a write that does not fit is cut short, as on Linux."""

    def __init__(self):
        self.left = None
        self.n_refused = 0

    def write_all(self, fd, data):
        if self.left is not None and len(data) > self.left:
            os.write(fd, data[: self.left])
            self.left = 0
            self.n_refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.left is not None:
            self.left -= len(data)
        while data:
            data = data[os.write(fd, data) :]


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(directory, "write_all", disk.write_all)
    return disk


@oq.task
def bulky(x: int) -> dict[str, object]:
    threading.Event().wait(0.01)
    return {"y": 2 * x, "text": os.urandom(2000).hex()}


def queue_in(path):
    store = DirectoryStore(path)
    limits = Limits(queue=QueueLimits(patience_s=0.5))  # not the minute that it would ask again
    return Queue(open_repository(store, limits=limits), Settings(url=store.url))


@contextlib.contextmanager
def at_work(path):
    worker = oq.Worker(queue_in(path), [bulky], lease_s=3, grace_s=5)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("left", (0, 1, 100, 3000), ids="{} bytes are left".format)
def test_submission_to_a_full_disk_leaves_nothing_and_says_what_to_do(tmp_path, disk, left):
    queue = queue_in(tmp_path)
    before = names_below(queue.repository.store, "jobs/")
    disk.left = left
    with pytest.raises(Unavailable, match=ADVICE) as raised:
        queue.submit_frame(pd.DataFrame({"x": range(5000)}), bulky, name="full")
    assert "No space left on device" in str(raised.value)
    assert names_below(queue.repository.store, "jobs/") == before, "a frame is there as a whole or not at all"
    assert list((tmp_path / ".tmp").iterdir()) == []
    disk.left = None
    job = queue.submit_frame(pd.DataFrame({"x": range(5000)}), bulky, name="full")
    assert job.counts()["pending"] == 5000


def test_worker_goes_on_when_the_disk_has_space_again(tmp_path, disk):
    queue = queue_in(tmp_path)
    job = queue.submit_frame(pd.DataFrame({"x": range(N_ROWS)}), bulky, part_rows=10, retries=0)
    with at_work(tmp_path):
        until(lambda: job.counts()["completed"] >= 10, what="a first part")
        disk.left = 100
        until(lambda: disk.n_refused >= 5, what="writes are refused")
        done = job.partial()
        assert list(done["y"]) == [2 * x for x in done.index], "what is there is whole"
        assert len(done) < N_ROWS
        disk.left = None
        result = job.result(timeout=60)
    assert list(result["y"]) == [2 * x for x in range(N_ROWS)]
    check_outcomes(queue, job.id)
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_object_keeps_what_it_held_when_its_successor_does_not_fit(tmp_path, disk):
    store = DirectoryStore(tmp_path)
    etag = store.create("a/b", b"first")
    disk.left = 10
    for write in (
        lambda: store.replace("a/b", b"x" * 100, etag=etag),
        lambda: store.overwrite("a/b", b"x" * 100),
        lambda: store.create("a/c", b"x" * 100),
    ):
        with pytest.raises(Unavailable, match=ADVICE):
            write()
    assert store.read("a/b").data == b"first"
    assert store.read("a/b").etag == etag
    assert names_below(store, "") == ["a/b"]
    disk.left = None
    store.replace("a/b", b"x" * 100, etag=etag)
    assert store.read("a/b").data == b"x" * 100


def test_limit_of_the_file_size_is_an_error_and_nothing_is_torn(tmp_path):
    """The kernel itself cuts the write short: its limit on a file's size needs no rights and no disk of its own."""
    store = DirectoryStore(tmp_path)
    etag = store.create("a", b"first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Unavailable):
            store.replace("a", b"x" * 5000, etag=etag)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read("a").data == b"first"
    assert list((tmp_path / ".tmp").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB of its own, where this machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system; the tests above cut the writes short without one")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_job_on_a_really_full_disk_is_completed_when_there_is_space(small_disk):
    queue = queue_in(small_disk)
    job = queue.submit_frame(pd.DataFrame({"x": range(N_ROWS)}), bulky, part_rows=10, retries=0)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(Unavailable, match=ADVICE):
        queue.submit_frame(pd.DataFrame({"x": range(N_ROWS), "z": "other" * 2000}), bulky)
    with at_work(small_disk):
        threading.Event().wait(2)
        assert job.counts()["completed"] < N_ROWS
        ballast.unlink()
        result = job.result(timeout=60)
    assert list(result["y"]) == [2 * x for x in range(N_ROWS)]
    check_outcomes(queue, job.id)
