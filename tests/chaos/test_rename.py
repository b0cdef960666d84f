"""A process that is killed between the writing of a file and its appearing under its name leaves nothing that counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from oqkit.errors import Missing
from oqkit.queue import key as keys
from oqkit.store import directory
from oqkit.store.directory import _STALE_TEMP_S, DirectoryStore
from tests.chaos.fleet import ROOT, Fleet, check_outcomes, directory_place
from tests.chaos.task import double
from tests.forked import exit_code_of
from tests.local import names_below, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STEPS = [
    (step, when, verb)
    for verb, steps in (
        ("create", ("half", "fsync", "stamp", "link", "sync_folder")),
        ("replace", ("half", "fsync", "stamp", "link", "replace", "sync_folder")),
        ("overwrite", ("half", "fsync", "stamp", "link", "replace", "sync_folder")),
    )
    for step in steps
    for when in (("before",) if step == "half" else ("before", "after"))
]


def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_way(fd, data):
    os.write(fd, data[:3])
    die()


def die_after(real):
    def call(*arguments, **options):
        real(*arguments, **options)
        die()

    return call


def write_and_die(step, when, verb, path):
    """Write, and die as soon as a step of that is reached: before it, or once it is done."""
    store = DirectoryStore(path)
    etag = store.read("a/old").etag
    if step == "half":
        directory.write_all = die_half_way
    else:
        owner = directory if step in {"stamp", "sync_folder"} else os
        setattr(owner, step, die_after(getattr(owner, step)) if when == "after" else die)
    if verb == "create":
        store.create("a/new", b"new value")
    elif verb == "replace":
        store.replace("a/old", b"new value", etag=etag)
    else:
        store.overwrite("a/old", b"new value")


@pytest.mark.parametrize("verb", ("create", "replace", "overwrite"))
def test_write_that_is_killed_is_whole_or_absent(tmp_path, verb):
    for number, (step, when, _) in enumerate(s for s in STEPS if s[2] == verb):
        folder = tmp_path / str(number)
        DirectoryStore(folder).create("a/old", b"old value")
        assert exit_code_of(write_and_die, step, when, verb, folder) == -signal.SIGKILL, f"it reached {step}"
        store = DirectoryStore(folder)
        if verb == "create":
            assert store.read("a/old").data == b"old value"
            is_there = "a/new" in names_below(store, "")
            assert is_there == (step == "sync_folder" or (step, when) == ("link", "after"))
            if is_there:
                assert store.read("a/new").data == b"new value"
            else:
                with pytest.raises(Missing):
                    store.read("a/new")
                store.create("a/new", b"again")
        else:
            is_new = step == "sync_folder" or (step, when) == ("replace", "after")
            assert store.read("a/old").data == (b"new value" if is_new else b"old value"), f"killed {when} {step}"
            store.replace("a/old", b"again", etag=store.read("a/old").etag)  # and no lock is left behind
            assert store.read("a/old").data == b"again"
        check_leftovers_are_swept(folder)


def check_leftovers_are_swept(folder):
    """What the killed process left is no object, and a store that is opened a day later removes it."""
    store = DirectoryStore(folder)
    assert all(not name.startswith(".") for name in names_below(store, ""))
    past = time.time() - _STALE_TEMP_S - 10
    for path in (folder / ".tmp").iterdir():
        os.utime(path, (past, past))
    DirectoryStore(folder)
    assert list((folder / ".tmp").iterdir()) == []


#: A worker that dies at the n-th time it gives a file of a job its name.
DOOMED = """
import itertools, os, signal, sys
from oqkit.cli.main import main
count, last = itertools.count(1), int(sys.argv.pop(1))
for name in ("link", "replace"):
    def dying(source, target, *more, real=getattr(os, name), **options):
        if "/work/" in str(target) and ".versions" not in str(target) and next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(source, target, *more, **options)
    setattr(os, name, dying)
sys.exit(main(sys.argv[1:]))
"""


def test_job_is_done_once_when_workers_die_just_before_each_rename(tmp_path):
    place = directory_place(tmp_path / "queue")
    queue = place.queue()
    n_rows = 400
    job = queue.submit_frame(frame_of(n_rows), double, part_rows=50)
    record = tmp_path / "fleet"
    n_deaths = 0
    with Fleet(place, record) as fleet:
        for last in range(1, 7):
            died = subprocess.run(
                [sys.executable, "-c", DOOMED, str(last), "worker", "--lease", "2", "--until-idle", "tests.chaos.task"],
                env={**os.environ, "OQ_URL": place.url, "CHAOS_RECORD": str(record), "PYTHONPATH": str(ROOT)},
                cwd=record,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-1000:]
            n_deaths += 1
            done = place.queue().job(job.id).partial()
            assert len(done) == 0 or list(done["y"]) == [2 * x for x in done.index], "what is there is whole"
        fleet.start(lease_s=2)
        result = job.result(timeout=60)
    assert n_deaths == 6
    assert list(result["y"]) == [2 * x for x in range(n_rows)]
    check_outcomes(queue, job.id)
    until(lambda: not names_below(queue.repository.store, keys.OPEN), what="the marker is taken down")


def frame_of(n_rows):
    return pd.DataFrame({"label": "rename", "x": range(n_rows)})
