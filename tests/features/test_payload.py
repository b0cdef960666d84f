"""Values too large for the documents are objects of their own, in the job's folder; a function and a reader do not notice."""

from __future__ import annotations

import json

import pytest

import oqkit
from tests.local import WAIT_S, keys_in, work_off

THRESHOLD = 262_144


@oqkit.task
def echo(value):
    return value


@oqkit.task
def length(value):
    return len(value)


def text_of(n_bytes: int) -> str:
    """Return a text that takes so many bytes as JSON."""
    return "x" * (n_bytes - 2)


def inputs_of(queue, job) -> list[str]:
    """Return the input objects of a job."""
    return [key for key in keys_in(queue) if f"-{job.id}/in-" in key]


def outputs_of(queue, job) -> list[str]:
    """Return the output objects of a job."""
    return [key for key in keys_in(queue) if f"-{job.id}/out/" in key]


def test_input_above_the_threshold_and_no_other_leaves_the_documents(queue):
    largest, larger = text_of(THRESHOLD), text_of(THRESHOLD + 1)
    assert [len(json.dumps(value)) for value in (largest, larger)] == [THRESHOLD, THRESHOLD + 1]
    inside, outside = queue.submit(length, largest), queue.submit(length, larger)
    assert (len(inputs_of(queue, inside.job)), len(inputs_of(queue, outside.job))) == (0, 1)
    work_off(queue, length)
    assert (inside.result(WAIT_S), outside.result(WAIT_S)) == (THRESHOLD - 2, THRESHOLD - 1)


def test_the_threshold_counts_bytes_of_utf_8(queue):
    inside, outside = queue.submit(length, "é" * (THRESHOLD // 2 - 1)), queue.submit(length, "é" * (THRESHOLD // 2))
    assert (len(inputs_of(queue, inside.job)), len(inputs_of(queue, outside.job))) == (0, 1)


@pytest.mark.parametrize("payload", ("reference", 10), ids=str)
def test_original_1_4_handler_gets_its_input_by_reference(queue, payload):
    """[V] the function of the original got None."""
    value = {"name": "x" * 20, "tags": (1, 2), "nested": [{"a": None}]}
    task = queue.submit(echo, {"value": value}, payload=payload)
    (key,) = inputs_of(queue, task.job)
    assert "xxxxx" not in queue.storage.read(f"jobs/0000/{task.job.id}.json").data.decode()
    assert task.input == {"value": value}
    work_off(queue, echo)
    assert task.result(WAIT_S) == value
    assert queue.storage.read(key).data


def test_original_1_4_large_output_is_offloaded_and_read_when_asked_for(queue):
    """[V] an output of 400 kB stayed in the document of the original."""
    task = queue.submit(echo, text_of(400_000))
    work_off(queue, echo)
    (key,) = outputs_of(queue, task.job)
    assert f"-{task.job.id}/" in key
    part = next(key for key in keys_in(queue) if f"-{task.job.id}/parts/" in key)
    assert len(queue.storage.read(part).data) < 10_000
    assert task.wait(WAIT_S).status == "completed"
    before = queue.storage.requests.snapshot()
    assert task.result(WAIT_S) == text_of(400_000)
    assert (queue.storage.requests.snapshot() - before)["get"] <= 2


def test_output_above_the_threshold_and_no_other_leaves_the_documents(queue):
    inside, outside = (queue.submit(echo, text_of(size), payload="inline") for size in (THRESHOLD, THRESHOLD + 1))
    work_off(queue, echo)
    assert (len(outputs_of(queue, inside.job)), len(outputs_of(queue, outside.job))) == (0, 1)
    assert (inside.result(WAIT_S), outside.result(WAIT_S)) == (text_of(THRESHOLD), text_of(THRESHOLD + 1))


def test_inline_keeps_a_large_input_in_the_job_object(queue):
    task = queue.submit(length, text_of(400_000), payload="inline")
    assert inputs_of(queue, task.job) == []
    work_off(queue, length)
    assert task.result(WAIT_S) == 400_000 - 2


def test_payloads_of_map_and_of_submit_many(queue):
    """[V] the original had none for many tasks."""
    job = queue.map(echo, [{"value": n} for n in range(3)], payload="reference")
    tasks = queue.submit_many([(echo, "a"), ("echo", "b")], payload="reference")
    assert queue.submit_many(echo, [{"value": n} for n in range(3)]).id == job.id, (
        "where its input is does not make it other work"
    )
    assert [len(inputs_of(queue, one)) for one in (job, *(task.job for task in tasks))] == [1, 1, 1]
    work_off(queue, echo)
    assert job.result(WAIT_S)["echo"].tolist() == [0, 1, 2]
    assert [task.result(WAIT_S) for task in tasks] == ["a", "b"]
    assert queue.get(f"{job.id}.1").input == {"value": 1}


def test_command_line_says_where_the_input_is_kept(queue, oq):
    ids = [oq("submit", "echo", '"a value"', "--payload", where).strip() for where in ("reference", "inline", "3", "9")]
    assert [len(inputs_of(queue, queue.get(task_id).job)) for task_id in ids] == [1, 0, 1, 0]
    work_off(queue, echo)
    assert [queue.get(task_id).result(WAIT_S) for task_id in ids] == ["a value"] * 4
    assert "payload='refs' must be" in oq("submit", "echo", "--payload", "refs", code=2)


@pytest.mark.parametrize("payload", ("refs", -1, True, None, 1.5), ids=str)
def test_what_is_no_place_for_a_payload_is_refused(queue, payload):
    before = keys_in(queue)
    with pytest.raises(
        oqkit.UsageError, match=r"payload=.* must be 'auto', 'inline', 'reference', or the number of bytes"
    ):
        queue.submit(echo, 1, payload=payload)
    assert keys_in(queue) == before


def test_all_payloads_lie_in_the_folder_of_their_job(queue):
    """[V] the original left them behind, whatever was deleted."""
    before = set(keys_in(queue))
    task = queue.submit(echo, text_of(300_000))
    work_off(queue, echo)
    job = queue.repository.read_job(task.job.id).doc
    folder = queue.repository.keys_of(job).folder
    new = {
        key
        for key in set(keys_in(queue)) - before
        if not key.startswith(("workers/", "bell", "jobs/", "open/", "sweep"))
    }
    assert len(new) == 3  # the input, the part, the output
    assert all(key.startswith(folder) for key in new)
