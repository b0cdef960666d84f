"""Every verb of the handle of a job that was deleted says so, in one way: as a matrix of verbs, handles and what is left."""

from __future__ import annotations

import pickle

import pytest

import oqkit as oq
from oqkit.errors import JobMissing
from oqkit.limits import Limits, QueueLimits
from tests.local import connect_with, keys_in, work_off

KNOWN = {"id", "name", "type", "tags", "options", "created", "input", "job", "row", "of_id"}
"""What a handle says of what was submitted, and asks nobody for."""
WHOLE = {"pause", "resume", "reprioritize", "tag"}
"""What one task of many refuses, as it is about all of them, whatever became of the job."""
ARGUMENTS = {
    "signal": ("go",),
    "to_parquet": ("never.parquet",),
    "reprioritize": (5,),
    "tag": ({"team": "risk"},),
    "wait": (5,),
    "result": (5,),
    "cancel": (),
    "retry": (),
}
HANDLES = {"job": oq.Job, "task of one": oq.Task, "task of many": oq.Task}
VERBS = [
    (handle, verb)
    for handle, kind in HANDLES.items()
    for verb in dir(kind)
    if not verb.startswith("_") and verb not in KNOWN | {"delete"}
    if not (handle == "task of many" and verb in WHOLE)
]


def work(x):
    return x


@pytest.fixture(scope="module")
def deleted():
    """For each kind of handle, some of a job that was deleted, by what is left of it and whether it had been asked before."""
    with pytest.MonkeyPatch.context() as patch:
        connect_with(Limits(queue=QueueLimits(deleted_first_look_s=0.0, deleted_look_s=0.0)), patch)
        queue = oq.connect("memory://deleted-jobs")
        yield {
            (handle, is_gone, is_asked): handle_of_deleted(queue, handle, is_gone=is_gone, is_asked=is_asked)
            for handle in HANDLES
            for is_gone in (False, True)
            for is_asked in (False, True)
        }


def handle_of_deleted(queue, handle, *, is_gone, is_asked):
    made = (
        queue.submit(work, {"x": 1}).job if handle == "task of one" else queue.map(work, [{"x": x} for x in range(3)])
    )
    work_off(queue, work)
    found = queue.job(made.id) if handle == "job" else queue.get(f"{made.id}.0")
    if is_asked:
        found.wait(5)
        found.result(5)
    queue.job(made.id).delete(by="ana@laptop")
    if is_gone:
        queue.storage.delete_many([key for key in keys_in(queue) if made.id in key])
    return found


@pytest.mark.parametrize("is_asked", (False, True), ids=("fresh", "asked"))
@pytest.mark.parametrize("is_gone", (False, True), ids=("tombstone", "nothing"))
@pytest.mark.parametrize(("handle", "verb"), VERBS)
def test_verb_of_a_deleted_job_says_that_it_was_deleted(deleted, handle, verb, is_gone, is_asked):
    found = deleted[handle, is_gone, is_asked]
    with pytest.raises(oq.UnknownJob, match="deleted" if is_gone else "was deleted on .* UTC by 'ana@laptop'"):
        use(found, verb)


def use(found, verb):
    value = getattr(found, verb)
    if callable(value):
        one_of_many = (0,) if verb == "debug" and isinstance(found, oq.Job) else ()
        value = value(*ARGUMENTS.get(verb, one_of_many))
    if verb == "as_completed":
        list(value)


@pytest.mark.parametrize("handle", HANDLES)
def test_deleting_what_was_deleted_is_fine(deleted, handle):
    if handle != "task of many":
        for is_gone in (False, True):
            deleted[handle, is_gone, False].delete()


@pytest.mark.parametrize("verb", ("job", "get", "history", "cancel", "retry", "trace"))
def test_queue_says_of_the_id_of_a_deleted_job_that_it_was_deleted(deleted, verb):
    task = deleted["task of one", False, False]
    name = task.id if verb in {"get", "history"} else task.job.id
    with pytest.raises(oq.UnknownJob, match=r"was deleted on .* by 'ana@laptop'"):
        getattr(task._connection, verb)(name)


def test_error_of_a_deleted_job_pickles():
    error = JobMissing("a", 5.0, "ana")
    assert (
        str(pickle.loads(pickle.dumps(error)))
        == str(error)
        == "job 'a' was deleted on 1970-01-01 00:00:05 UTC by 'ana'"
    )
    assert isinstance(error, oq.UnknownJob)


def test_deletion_is_noticed_by_a_handle_that_knew_the_job_as_ended(queue):
    job = queue.map(work, [{"x": 1}, {"x": 2}])
    work_off(queue, work)
    assert job.status == "completed"
    queue.job(job.id).delete()
    with pytest.raises(oq.UnknownJob, match="was deleted"):
        job.counts()


def test_job_that_had_ended_is_seen_to_go_on_after_a_retry_elsewhere(queue):
    job = queue.map(work, [{"x": 1}, {"x": 2}])
    job.cancel()
    assert job.status == "cancelled"
    queue.job(job.id).retry("cancelled")
    assert not job.done()
    work_off(queue, work)
    assert job.status == "completed"
