"""Deleting jobs and tasks."""

from __future__ import annotations

import pytest

import oqkit
from oqkit.errors import UnknownJob, UsageError
from tests.local import work_off


@oqkit.task(name="double")
def double(x):
    return 2 * x


def test_deleted_job_is_gone_with_its_inputs_and_results(queue, oq):
    job = queue.map(double, list(range(20)), payload="reference")
    task = queue.submit(double, 21)
    work_off(queue, double)
    assert task.result() == 42
    folder = queue.repository.keys_of(queue.repository.read_job(job.id).doc).folder
    assert any("/in-" in entry.key for entry in queue.repository.store.list(folder).entries)
    job.delete()
    assert not any("/parts/" not in entry.key for entry in queue.repository.store.list(folder).entries)
    assert list(queue.jobs().index) == [task.job.id]
    with pytest.raises(UnknownJob):
        queue.job(job.id)
    oq("delete", task.id)
    assert "was deleted on" in oq("status", task.job.id, code=2)
    assert len(queue.jobs()) == 0


def test_job_that_has_not_ended_is_deleted_only_if_it_is_to_be_cancelled(queue, oq):
    job = queue.submit(double, 1, key="order-1").job
    with pytest.raises(UsageError, match="cancel=True"):
        job.delete()
    assert "not ended" in oq("delete", job.id, code=2)
    job.delete(cancel=True)
    job.delete()
    with pytest.raises(UnknownJob):
        job.retry("cancelled")
    again = queue.submit(double, 2, key="order-1")
    work_off(queue, double)
    assert again.result() == 4


def test_name_of_a_deleted_job_is_free_again(queue):
    first = queue.map(double, [1], name="report")
    work_off(queue, double)
    first.delete()
    with pytest.raises(UnknownJob):
        queue.job("report")
    second = queue.map(double, [5], name="report")
    work_off(queue, double)
    assert second.result()["double"].tolist() == [10]


def test_task_of_a_job_of_many_is_not_deleted_alone(queue):
    job = queue.map(double, [1, 2])
    with pytest.raises(UsageError, match="go together"):
        queue.get(f"{job.id}.1").delete(cancel=True)
