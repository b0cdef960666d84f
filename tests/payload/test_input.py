"""What the inputs of a job are, as its document says: every kind, what is unknown, and what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from oqkit.arrow import tagged_json
from oqkit.errors import FormatError, UsageError
from oqkit.notebook.live import Live
from oqkit.payload.codec import ParquetCodec
from oqkit.payload.input import input_of
from oqkit.payload.kind import Kind
from oqkit.queue.key import keyed_job_id
from oqkit.queue.rows import Rows
from oqkit.queue.submission import JOB_SCOPE, point_to
from tests.document import paths, with_value
from tests.local import WAIT_S, keys_in

FORMAT = Path(__file__).parents[1] / "format"
LAYOUT = {"backend": "pandas", "columns": ["x"]}
FILE = ["work/0000/x/in-0.parquet", 0, 2, 1_000, "0" * 64]
DOCS = {
    "values": {"kind": "values", "values": [1, {"x": 2}]},
    "no values": {"kind": "values", "values": []},
    "texts": {"kind": "tagged", "texts": [tagged_json.dumps((1, 2)), tagged_json.dumps(3)]},
    "texts in files": {"kind": "tagged", "files": [FILE]},
    "JSON in files": {"kind": "json", "files": [FILE]},
    "frame": {"kind": "frame", "layout": LAYOUT, "files": [FILE, ["work/0000/x/in-1.parquet", 2, 1, 900, ""]]},
    "frame of which columns are left out": {"kind": "frame", "layout": LAYOUT, "left_out": 3, "files": [FILE]},
    "frame whose rows give any number of rows": {"kind": "frame", "layout": LAYOUT, "explodes": True, "files": [FILE]},
    "groups": {
        "kind": "groups",
        "layout": LAYOUT,
        "keys_layout": {"backend": "pandas", "index": ["oq:index:0"], "index_names": ["k"]},
        "frame_digest": "0" * 32,
        "n_rows": 9,
        "by": ["k", 3],
        "is_multi": True,
        "split": [[0, 3]],
        "keys": [FILE],
        "files": [["work/0000/x/in-1.parquet", 0, 4, 900, ""]],
    },
    "results": {"kind": "results", "gathered": [["0" * 18, "origin", None], ["k" * 18, "other", 3]]},
    "dataset": {
        "kind": "dataset",
        "layout": LAYOUT,
        "dataset": {
            "protocol": "s3",
            "options": {"anon": True},
            "stored": ["x"],
            "nulls": {"x": False},
            "files": [["bucket/0.parquet", 100, "tag", [[2, 1]]]],
        },
    },
}


@pytest.fixture
def job(queue):
    """A job of two values, whose input a test may replace."""
    return queue.repository.read_job(queue.map("score", [1, 2]).id).doc


def stored_docs():
    for path in sorted(FORMAT.glob("*/jobs/*/*.json")):
        doc = json.loads(path.read_text())
        yield pytest.param(doc["input"], id=f"{path.parts[-4]} {doc['name'] or path.stem}")


@pytest.mark.parametrize("doc", (*(pytest.param(doc, id=name) for name, doc in DOCS.items()), *stored_docs()))
def test_document_is_written_again_as_it_was_read(job, doc):
    found = input_of(replace(job, input=doc))
    # what an earlier oqkit did not note of a file is written as unknown
    files = {"files": [[*ref, *([""] * (5 - len(ref)))] for ref in doc["files"]]} if "files" in doc else {}
    assert json.dumps(found.to_json()) == json.dumps({**doc, **files})


def test_every_kind_has_a_document_here():
    assert {doc["kind"] for doc in DOCS.values()} == set(Kind) - {Kind.POINTER}


@pytest.mark.parametrize("doc", ({"kind": "outputs", "job": "x"}, {"kind": ["frame"]}, {"kind": None}, {}))
def test_unknown_kind_is_refused_by_worker_and_client_and_says_what_to_do(queue, job, doc):
    newer = replace(job, input=doc)
    for look in (input_of, lambda it: ParquetCodec(queue.repository).open(it, 0)):
        with pytest.raises(FormatError, match="which this oqkit does not know: upgrade it here"):
            look(newer)
    handle = queue.job(job.id)
    handle._view.state.job.input.clear()
    handle._view.state.job.input.update(doc)
    with pytest.raises(FormatError, match="which this oqkit does not know: upgrade it here"):
        handle.partial()
    assert len(handle.errors()) == 0
    assert len(handle.tasks()) == 2
    assert Live(handle, screen=None).watch.snapshot().requests["put"] >= 2


@pytest.mark.parametrize("name", DOCS)
def test_damaged_document_is_read_as_something_or_refused_with_a_format_error(queue, job, name):
    """Whoever can write the queue can write anything there; whatever it is, worker and client go on."""
    n_refused = 0
    for path in paths(DOCS[name]):
        for value in (None, 7, -1, "x", [], {}, [[]], [["x"]], True, 1e300):
            doc = with_value(DOCS[name], path, value)
            if not isinstance(doc, dict):
                continue  # which the queue room refuses
            spoilt = replace(job, input=doc)
            try:
                input_of(spoilt).to_json()
                ParquetCodec(queue.repository).open(spoilt, 0)
            except (FormatError, UsageError):
                n_refused += 1
    assert n_refused > 5


def test_display_of_a_job_whose_files_cannot_be_read_is_drawn(queue):
    handle = queue.submit_frame(pd.DataFrame({"x": [1]}), "score")
    handle._view.state.job.input["files"] = 5
    assert Live(handle, screen=None).watch.snapshot().n_tasks == 1


@pytest.mark.parametrize(("kind", "value"), (("tagged", (1, 2)), ("json", {"$oq": ["tuple", [1, 2]]})))
def test_texts_in_files_are_read_as_their_kind_says(queue, kind, value):
    found = queue.repository.read_job(
        queue.map("score", [(1, 2)] * 10_000, part_rows=4_000, payload="reference").id
    ).doc
    assert (found.input["kind"], "files" in found.input) == ("tagged", True)
    inputs = ParquetCodec(queue.repository).open(replace(found, input={**found.input, "kind": kind}), 2)
    assert list(inputs.items) == [value] * 2_000


def test_name_that_led_to_a_job_that_was_deleted_is_a_job_of_no_tasks(queue):
    target = queue.repository.read_job(queue.map("score", [1, 2], name="target").id).doc
    point_to(queue.repository, target, name="alias")
    assert queue.job("alias").id == target.id
    queue.repository.store.delete_many([key for key in keys_in(queue) if target.id in key])
    left = queue.job("alias")
    assert left.id == keyed_job_id(JOB_SCOPE, "alias", 1)
    assert len(left.result(WAIT_S)) == 0


def test_join_is_refused_for_a_frame_of_another_kind_than_the_one_that_was_submitted(queue, start):
    polars = pytest.importorskip("polars")
    start()
    job = queue.submit_frame(polars.DataFrame({"x": [1]}), lambda x: x)
    with pytest.raises(UsageError, match="a frame of polars was submitted, and this is one of pandas"):
        job.result(WAIT_S, join=pd.DataFrame({"x": [1]}))


def test_inputs_of_a_job_that_took_the_place_of_a_deleted_one_are_its_own(queue):
    codec, found = ParquetCodec(queue.repository), []
    for values in ([1, 0], [True, False], [1.0, -0.0]):
        job = queue.repository.read_job(queue.map("score", values, name="again").id).doc
        inputs = [codec.open(job, index) for index in range(job.n_parts)]
        found.append([repr(value) for one in inputs for value in one.values(Rows.span(0, len(one)))])
        for key in keys_in(queue):
            if "queue.json" not in key:
                queue.repository.store.delete(key)
    assert found == [["1", "0"], ["True", "False"], ["1.0", "-0.0"]]
