"""From a call, a list, a frame or files to results, and back to them in another process."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

import oqkit
from tests.local import WAIT_S, work_off

FRAME = pd.DataFrame({"x": [1.0, 2.0, 4.0], "unused": ["a", "b", "c"]}, index=["p", "q", "r"])


@oqkit.task
def half(x):
    return x / 2


@oqkit.task(batch=True)
def doubled(frame):
    return frame[["x"]] * 2


@oqkit.task
async def later(x):
    await asyncio.sleep(0)
    return x


@oqkit.task(retries=0)
def inverse(x):
    return 1 / x


def test_submit_runs_one_call(queue):
    task = queue.submit(half, {"x": 3})
    assert (task.status, task.done()) == ("pending", False)
    work_off(queue, half)
    assert task.result(WAIT_S) == 1.5
    assert (task.status, task.attempt, task.done()) == ("completed", 1, True)


def test_map_runs_a_call_for_each_input_in_order(queue):
    job = queue.map(half, [{"x": x} for x in range(5)])
    assert queue.submit_many(half, [{"x": x} for x in range(5)]).id == job.id  # the same work
    work_off(queue, half)
    assert job.result(WAIT_S)["half"].tolist() == [0, 0.5, 1, 1.5, 2]


def test_submit_frame_gives_results_aligned_with_the_frame(queue):
    rows, batches = queue.submit_frame(FRAME, half), queue.submit_frame(FRAME, doubled, columns=["x"])
    work_off(queue, half, doubled)
    assert rows.result(WAIT_S)["half"].to_dict() == {"p": 0.5, "q": 1.0, "r": 2.0}
    assert batches.result(WAIT_S)["x"].to_dict() == {"p": 2.0, "q": 4.0, "r": 8.0}
    assert rows.result(join=True).columns.tolist() == ["x", "unused", "half"]


def test_submit_dataset_leaves_the_files_where_they_are(queue, tmp_path):
    FRAME.to_parquet(tmp_path / "one.parquet")
    queue = oqkit.connect(data_roots=[tmp_path])
    job = queue.submit_dataset(str(tmp_path / "*.parquet"), half)
    work_off(queue, half)
    assert job.result(WAIT_S)["half"].tolist() == [0.5, 1.0, 2.0]


def test_coroutine_function_runs_like_any_other(queue):
    job = queue.map(later, [1, 2])
    work_off(queue, later)
    assert job.result(WAIT_S)["later"].tolist() == [1, 2]


def test_function_defined_in_a_notebook_is_shipped(queue):
    def local(x):
        return x + 1

    task = queue.submit(local, 1)
    work_off(queue)
    assert task.result(WAIT_S) == 2


def test_job_waits_for_all_and_can_be_awaited(queue, start):
    start(half, queue=queue)
    job = queue.map(half, [1, 2])
    assert job.wait(WAIT_S).done()

    async def wait():
        return (await job).status

    assert asyncio.run(wait()) == "completed"
    with pytest.raises(oqkit.WaitTimeout):
        queue.submit("nobody_has_it", 1).wait(0)


def test_job_gives_what_has_completed_and_says_what_failed(queue):
    job = queue.map(inverse, [1, 0, 4])
    assert job.partial().empty
    work_off(queue, inverse)
    assert job.counts() == {**dict.fromkeys(job.counts(), 0), "completed": 2, "failed": 1}
    assert job.partial()["inverse"].tolist() == [1.0, 0.25]
    assert [len(piece) for piece in job.as_completed(WAIT_S)] == [2]
    assert job.errors()["type"].tolist() == ["ZeroDivisionError"]
    assert job.tasks("failed")["row"].tolist() == [1]
    with pytest.raises(oqkit.JobFailed):
        job.result(WAIT_S)
    assert job.result(errors="drop")["inverse"].tolist() == [1.0, 0.25]
    assert job.result(errors="coerce")["inverse"].isna().tolist() == [False, True, False]


def test_job_is_found_again_by_name_and_by_id(queue):
    job = queue.map(half, [1], name="nightly")
    again = oqkit.connect()
    assert again.job("nightly").id == again.job(job.id).id == job.id
    assert again.get(f"{job.id}.0").status == "pending"
    with pytest.raises(oqkit.UnknownJob):
        again.job("daily")


def test_queues_of_one_bucket_do_not_see_each_other(queue):
    queue.map(half, [1], name="ours")
    other = oqkit.connect(f"{queue.url}/tenant-b")
    assert len(other.jobs()) == 0
    other.map(half, [1, 2], name="ours")
    assert (len(queue.job("ours")), len(other.job("ours"))) == (1, 2)
