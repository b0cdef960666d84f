"""A trial of the observers, as of somebody new: an installed package counts in a file what worker processes do."""

from __future__ import annotations

import json
from collections import Counter

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import UsageError
from tests.local import WAIT_S, until

FRAME = pd.DataFrame({"x": range(40)})
METADATA = "Metadata-Version: 2.1\nName: oqkit-count\nVersion: 1.0\n"
ENTRY_POINTS = "[oqkit.observers]\ncount = oqkit_count:counter\n"
MODULE = '''
import json, os
from oqkit.observe.event import Event, LeaseCommitted

def counter(settings):
    """Return an observer that writes a line for each event into the file that OQKIT_COUNT names."""
    def count(event: Event) -> None:
        rows = {verb: len(rows) for verb, rows in event.rows.items()} if isinstance(event, LeaseCommitted) else {}
        line = {"event": type(event).__name__, "url": settings.url, "pid": os.getpid(), "rows": rows}
        with open(os.environ["OQKIT_COUNT"], "a") as file:
            file.write(json.dumps(line) + "\\n")
    return count
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with an observer; returns the file in which that counts."""
    folder = tmp_path / "site-packages"
    (folder / "oqkit_count-1.0.dist-info").mkdir(parents=True)
    (folder / "oqkit_count-1.0.dist-info/METADATA").write_text(METADATA)
    (folder / "oqkit_count-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "oqkit_count.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(connect, "_default", [])
    monkeypatch.setenv("OQKIT_COUNT", str(tmp_path / "counted"))
    return tmp_path / "counted"


def fails_at_seven(x):
    if x == 7:
        raise oq.PermanentError("seven")
    return x


@pytest.mark.slow
def test_observer_of_a_package_counts_what_worker_processes_do(package, tmp_path, monkeypatch):
    monkeypatch.setenv("OQ_OBSERVERS", "count")
    queue = oq.connect(tmp_path / "queue")
    with oq.local_workers(2, queue=queue) as workers:
        until(lambda: package.exists() and package.read_text().count("WorkerStarted") == 2)
        pids = set(workers.pids)
        queue.submit_frame(FRAME, fails_at_seven).wait(WAIT_S)
        until(lambda: "JobEnded" in package.read_text())
    queue.observers.flush(WAIT_S)
    lines = [json.loads(line) for line in package.read_text().splitlines()]
    rows = Counter()
    for line in lines:
        rows.update(line["rows"])
    assert rows == {"complete": 39, "fail": 1}
    events = Counter(line["event"] for line in lines)
    assert events["JobSubmitted"] == 1
    assert events["WorkerStarted"] == events["WorkerStopped"] == 2
    assert events["LeaseClaimed"] == events["LeaseEnded"] > 0
    assert {line["pid"] for line in lines if line["event"] == "WorkerStarted"} == pids
    assert {line["url"] for line in lines} == {queue.url}


def test_observer_that_nobody_named_is_not_even_loaded(package, tmp_path, monkeypatch):
    monkeypatch.delenv("OQ_OBSERVERS", raising=False)
    queue = oq.connect(tmp_path / "queue")
    job = queue.submit_frame(FRAME, fails_at_seven, tags={"observers": "count"})
    oq.Worker(queue, [fails_at_seven]).run(until_idle=True)
    assert job.counts()["completed"] == 39
    assert not package.exists()


def test_observer_that_is_not_installed_is_refused_and_those_that_are_named(package, tmp_path, monkeypatch):
    monkeypatch.setenv("OQ_OBSERVERS", "count, cuont")
    with pytest.raises(UsageError, match=r"observer 'cuont', .* is not installed here; installed packages bring count"):
        oq.connect(tmp_path / "queue")
