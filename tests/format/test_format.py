"""Queues that released versions wrote, and stopped in the middle: this one reads, lists and finishes them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from oqkit.queue.collection import Collection
from tests.format import document, task
from tests.local import names_below
from tests.queue.test_collection import FULL, NOTE

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").exists())
FINISHED = {
    "batch": {"completed": 30},
    "cancelled": {"cancelled": 12},
    "completed": {"completed": 25},
    "expired": {"expired": 3},
    "failed": {"completed": 26, "failed": 14},
    "parquet": {"completed": 40},
    "resumed": {"completed": 9},
    "retried": {"completed": 40},
    "running": {"completed": 10},
    "scattered": {"completed": 22, "cancelled": 18},
    "single": {"completed": 1},
    "untouched": {"completed": 40},
    "waits": {"completed": 6},
    "paused": {"completed": 8},
}
_numbers = itertools.count()


@pytest.fixture(params=VERSIONS)
def stored(request):
    """A queue as one version left it, and what that version said of it."""
    folder = HERE / request.param
    queue = oq.connect(f"memory://format-{next(_numbers)}")
    store = queue.repository.store
    store.delete_many(names_below(store))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("expected.json", "documents.json"):
            store.create(path.relative_to(folder).as_posix(), path.read_bytes())
    expected = json.loads((folder / "expected.json").read_text())
    task.is_bad.clear()
    task.go_on.set()
    return oq.connect(queue.url), expected


@pytest.fixture
def documents(request):
    """What the version said of the documents that it stored."""
    path = HERE / request.node.callspec.params["stored"] / "documents.json"
    return json.loads(path.read_text()) if path.exists() else {}


def counts(job):
    return {status: n for status, n in job.counts().items() if n}


def test_stored_queue_reads_as_the_version_that_wrote_it_said(stored):
    queue, expected = stored
    for told in expected.values():
        job = queue.job(told["id"])
        assert job.status == told["status"]
        assert job.counts() == told["counts"]
        tasks = job.tasks()
        assert [str(status) for status in tasks["status"]] == told["statuses"]
        assert tasks["attempt"].tolist() == told["attempts"]
        assert job.errors()["message"].tolist() == told["errors"]
        assert len(queue.history(f"{job.id}.0")) >= 1


def test_stored_queue_is_listed_with_its_workers(stored):
    queue, expected = stored
    assert set(queue.jobs().index) == {told["id"] for told in expected.values()}
    assert set(queue.workers().index) == {"holder", "maker"}


def test_stored_documents_read_as_the_version_that_wrote_them_said(stored, documents):
    queue, _ = stored
    assert document.told_of(queue) == documents


def test_what_is_told_of_documents_names_every_field_that_is_not_a_default(queue):
    note = Collection(queue.repository, NOTE).create(replace(FULL, origin="o")).doc
    told = document.told_of(queue, {"notes/": NOTE})
    fields = json.loads(queue.repository.store.read("notes/a.json").data)
    assert told == {"notes/a.json": {name: fields[name] for name in fields.keys() - {"format", "requires"}}}
    assert told["notes/a.json"]["op"] == note.op


def test_stored_queue_is_finished(stored):
    queue, expected = stored
    queue.job(expected["paused"]["id"]).resume()  # while one is paused, a worker does not count as idle
    worker = oq.Worker(queue, [task.double, task.parts, task.picky, task.hold, task.again], grace_s=1.0)
    worker.run(until_idle=True)
    jobs = {name: queue.job(told["id"]) for name, told in expected.items()}
    assert {name: counts(job) for name, job in jobs.items()} == FINISHED
    assert jobs["completed"].result()["double"].tolist() == [2 * x for x in range(25)]
    assert jobs["running"].result()["hold"].tolist() == [-x for x in range(10)]
    assert jobs["waits"].result()["again"].tolist() == list(range(1, 7))
    retried = jobs["retried"].result(join=True)
    assert retried["x_result"].tolist() == retried["x"].tolist() == list(range(40))
    batch = jobs["batch"].result()
    text = pd.StringDtype("pyarrow", na_value=float("nan"))  # of pandas 3, which wrote it; also where pandas 2 reads it
    pd.testing.assert_index_equal(batch.index, pd.Index([f"r{n}" for n in range(30)], dtype=text))
    assert batch["twice"].tolist() == [2 * x for x in range(30)]
    assert len(jobs["scattered"].result(errors="drop")) == 22
    assert queue.get(expected["single"]["task"]).result() == 42


def test_stored_queue_takes_orders(stored):
    queue, expected = stored
    paused = queue.job(expected["paused"]["id"])
    paused.resume()
    assert queue.job(expected["untouched"]["id"]).cancel([0, 8, 9]) == 3
    assert queue.job(expected["failed"]["id"]).retry("failed") == 14
    oq.Worker(queue, [task.double, task.picky], grace_s=1.0).run(until_idle=True)
    assert counts(paused) == {"completed": 8}
    assert counts(queue.job(expected["untouched"]["id"])) == {"completed": 37, "cancelled": 3}
    assert counts(queue.job(expected["failed"]["id"])) == {"completed": 40}


@pytest.mark.parametrize("place", ("jobs/", "/parts/0000000.json"))
def test_what_requires_an_unknown_feature_is_left_alone_by_a_worker_and_shown(stored, place, caplog):
    queue, expected = stored
    queue.job(expected["paused"]["id"]).resume()
    store, job_id = queue.repository.store, expected["scattered"]["id"]
    (key,) = [key for key in names_below(store) if place in key and job_id in key]
    store.overwrite(key, json.dumps({**json.loads(store.read(key).data), "requires": ["telepathy"]}).encode())
    data = store.read(key).data
    markers = [entry.key for entry in store.list("open/").entries if job_id in entry.key]
    worker = oq.Worker(queue, [task.double, task.parts, task.picky, task.hold, task.again], grace_s=1.0)
    worker.run(until_idle=True)
    assert store.read(key).data == data
    assert [entry.key for entry in store.list("open/").entries if job_id in entry.key] == markers
    why = "written by a newer oqkit, which knows 'telepathy': upgrade"
    assert why in queue.jobs().loc[job_id, "status"]
    assert len([record for record in caplog.records if why in record.getMessage()]) == 1
    others = {name: counts(queue.job(told["id"])) for name, told in expected.items() if name != "scattered"}
    assert others == {name: told for name, told in FINISHED.items() if name != "scattered"}


def test_key_of_a_stored_queue_is_still_that_of_its_task(stored):
    queue, expected = stored
    told = expected["single"]["task"]
    assert queue.submit(task.double, {"x": 21}, key="single").id == told
    assert queue.submit(task.double, {"x": 21}, key="single", scope="type", key_ttl=0.001).id == told  # it had none
    with pytest.raises(oq.errors.DuplicateJob, match="x is 21 there and 22 here"):
        queue.submit(task.double, {"x": 22}, key="single")
    assert queue.submit(task.double, {"x": 22}, key="single", scope="queue").id != told
