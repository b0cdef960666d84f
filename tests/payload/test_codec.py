"""What a worker takes for the inputs of a part: those of this very job, as many as it has tasks."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from oqkit.errors import FormatError
from oqkit.payload.codec import ParquetCodec
from tests.local import WAIT_S, keys_in


def column(inputs):
    return [value for (value,) in inputs.arguments(("x",), inputs.rows)]


def delete(queue, job):
    queue.repository.store.delete_many([key for key in keys_in(queue) if job.id in key])


def rewritten(queue, job, **fields):
    """Return the job as it is after somebody has changed fields of its object."""
    (key,) = (key for key in keys_in(queue) if key.startswith("jobs/") and job.id in key)
    doc = json.loads(queue.repository.store.read(key).data)
    queue.repository.store.overwrite(key, json.dumps({**doc, **fields}).encode())
    return queue.repository.read_job(job.id).doc


def test_job_that_was_deleted_and_submitted_again_has_its_own_inputs(queue):
    codec = ParquetCodec(queue.repository)
    for first in (0, 100):
        job = queue.submit_frame(pd.DataFrame({"x": range(first, first + 3)}), "score", name="mine", part_rows=10)
        assert column(codec.open(queue.repository.read_job(job.id).doc, 0)) == list(range(first, first + 3))
        delete(queue, job)


def test_readers_of_a_job_are_opened_once(queue):
    codec = ParquetCodec(queue.repository)
    job = queue.submit_frame(pd.DataFrame({"x": range(3)}), "score", part_rows=10)
    first, again = (queue.repository.read_job(job.id).doc for _ in range(2))
    assert codec.inputs(first) is codec.inputs(again)


@pytest.mark.parametrize("n_tasks", (2, 4))
def test_other_number_of_values_than_tasks_is_refused(queue, n_tasks):
    job = rewritten(queue, queue.map("score", [1, 2, 3], part_rows=10), n_tasks=n_tasks)
    if n_tasks == 2:  # what is beyond the last task belongs to nobody
        assert len(ParquetCodec(queue.repository).open(job, 0)) == 2
        return
    with pytest.raises(FormatError, match="have 3 rows, not 4"):
        ParquetCodec(queue.repository).open(job, 0)


@pytest.mark.parametrize("n_tasks", (2, 4))
def test_other_number_of_rows_than_tasks_is_refused(queue, n_tasks):
    job = rewritten(queue, queue.submit_frame(pd.DataFrame({"x": [1, 2, 3]}), "score", part_rows=10), n_tasks=n_tasks)
    with pytest.raises(FormatError, match=f"have 3 rows, not {n_tasks}"):
        ParquetCodec(queue.repository).open(job, 0)


def test_rows_of_a_part_that_is_too_short_fail_at_once_and_kill_nobody(queue, start, caplog):
    def score(x):
        return x

    job = queue.submit_frame(pd.DataFrame({"x": [1, 2, 3]}), score, part_rows=10)
    rewritten(queue, job, n_tasks=4)
    start()
    job = queue.job(job.id)
    assert job.wait(WAIT_S).counts()["failed"] == 4
    assert "broke" not in caplog.text
    assert job.errors()["type"].tolist() == ["FormatError"] * 4


def test_rows_of_files_of_which_no_column_is_taken_are_as_many_as_they_are(queue, start, tmp_path):
    pd.DataFrame({"x": range(5)}).to_parquet(tmp_path / "a.parquet", row_group_size=2)
    start()
    assert queue.submit_dataset(str(tmp_path), lambda: 7, part_rows=3).result(WAIT_S).iloc[:, 0].tolist() == [7] * 5
