"""Jobs that depend on others, from one end to the other."""

from __future__ import annotations

import threading

import pytest

import oqkit as oqk
from tests.local import WAIT_S, work_off


def load(x):
    return x + 1


def add(x):
    return x * 10


def refuse(x):
    raise oqk.PermanentError(f"{x} is of no use")


def ends_of(queue, *tasks):
    """Return how tasks ended: the status, and the order in which they started."""
    steps = {task.id: queue.history(task.id) for task in tasks}
    started = {name: frame["at"][frame["status"] == "running"].min() for name, frame in steps.items()}
    return [task.status for task in tasks], sorted(started, key=lambda name: started[name])


def test_diamond_runs_in_order(queue):
    first = queue.submit(load, {"x": 1})
    left, right = (queue.submit(load, {"x": n}, depends_on=[first]) for n in (2, 3))
    last = queue.submit(add, {"x": 4}, depends_on=[left, right.job.id])
    assert [task.status for task in (left, right, last)] == ["blocked"] * 3
    work_off(queue, load, add)
    statuses, order = ends_of(queue, first, left, right, last)
    assert statuses == ["completed"] * 4
    assert (order[0], order[-1]) == (first.id, last.id)
    assert last.result(WAIT_S) == 40


def test_blocked_job_says_what_it_waits_for(queue):
    first = queue.map(load, [1, 2], name="first")
    job = queue.map(add, [1, 2, 3], depends_on=["first"])
    assert job.status == "blocked"
    assert {status: n for status, n in job.counts().items() if n} == {"blocked": 3}
    assert job.tasks()["status"].tolist() == ["blocked"] * 3
    assert len(job.tasks("blocked")) == 3
    assert len(job.tasks("pending")) == 0
    assert "'first'" in job.why()
    assert first.id in job.why()
    assert queue.job(job.id).status == "blocked"
    assert list(queue.jobs(status="blocked").index) == [job.id]
    work_off(queue, load, add)
    assert job.status == "completed"
    assert job.why() == ""
    assert job.counts() == {**dict.fromkeys(job.counts(), 0), "completed": 3}


@pytest.mark.parametrize(("on_failure", "status"), ((None, "failed"), ("fail", "failed"), ("skip", "cancelled")))
def test_original_1_35_a_failed_step_never_leaves_what_follows_running_for_ever(queue, on_failure, status):
    """In the original only a step that succeeded went on with its workflow, which was `running` for ever after."""
    given = {} if on_failure is None else {"on_failure": on_failure}
    bad = queue.submit(refuse, 1)
    job = queue.map(add, [1, 2], depends_on=[bad], **given)
    after = queue.submit(add, 3, depends_on=[job], on_failure="run")
    work_off(queue, refuse, add)
    assert job.wait(WAIT_S).status == status
    assert after.result(WAIT_S) == 30
    if status == "failed":
        assert job.errors()["type"].tolist() == ["ParentFailed"] * 2
        assert job.errors()["message"].str.contains(bad.job.id, regex=False).all()
        with pytest.raises(oqk.JobFailed, match=bad.job.id):
            job.result(WAIT_S)
    assert bad.job.id in queue.history(f"{job.id}.0")["note"].iloc[-1]


def test_retry_by_hand_runs_what_was_not_run(queue):
    bad = queue.submit(refuse, 1)
    job = queue.map(add, [1, 2], depends_on=[bad])
    work_off(queue, refuse, add)
    assert job.retry() == 2
    work_off(queue, refuse, add)
    assert job.status == "completed"


def test_children_of_ended_jobs_start_at_once(queue):
    first = queue.submit(load, 1)
    work_off(queue, load)
    assert queue.submit(load, 2, depends_on=first).status == "pending"


def test_cancelled_child_is_not_run_when_its_parent_ends(queue):
    first = queue.submit(load, 1)
    second = queue.submit(load, 2, depends_on=[first])
    second.cancel(reason="no need")
    third = queue.submit(load, 3, depends_on=[second], on_failure="run")
    assert second.status == "cancelled"
    work_off(queue, load)
    assert [task.status for task in (first, second, third)] == ["completed", "cancelled", "completed"]


def test_what_is_wrong_is_refused_before_anything_is_written(queue):
    before = [entry.key for page in queue.repository.store.list_all("") for entry in page.entries]
    with pytest.raises(oqk.UnknownJob, match="'nobody'"):
        queue.submit(load, 1, depends_on=["nobody"])
    with pytest.raises(oqk.UsageError, match="on_failure='explode' must be 'fail', 'skip' or 'run'"):
        queue.submit(load, 1, on_failure="explode")
    with pytest.raises(oqk.UsageError, match="on_failure='skip' says what to do"):
        queue.submit(load, 1, on_failure="skip")
    with pytest.raises(oqk.UsageError, match="depends_on= holds 7"):
        queue.submit(load, 1, depends_on=[7])
    assert [entry.key for page in queue.repository.store.list_all("") for entry in page.entries] == before


def test_job_that_would_wait_for_itself_is_refused(queue):
    task = queue.submit(load, 1, key="a")
    with pytest.raises(oqk.UsageError, match="it would wait for ever"):
        queue.submit(load, 1, key="a", depends_on=[task])


def test_same_work_after_other_jobs_is_other_work(queue):
    first, second = queue.submit(load, 1), queue.submit(load, 2)
    job = queue.map(add, [1, 2], depends_on=[first])
    assert queue.map(add, [1, 2], depends_on=[first]).id == job.id
    assert queue.map(add, [1, 2], depends_on=[second]).id != job.id
    assert queue.map(add, [1, 2]).id != job.id


def test_original_1_35_b_several_pipelines_run_on_one_worker(queue):
    """In the original each workflow took the task type of the others, and only the last one on a worker ran."""
    lines = [[queue.submit(load, {"x": n})] for n in range(3)]
    for n, line in enumerate(lines):
        line.append(queue.submit(add, {"x": n}, depends_on=[line[-1]]))
        line.append(queue.submit(load, {"x": n}, depends_on=[line[-1]]))
    work_off(queue, load, add)
    assert [[task.result(WAIT_S) for task in line] for line in lines] == [[1, 0, 1], [2, 10, 2], [3, 20, 3]]


def test_pipeline_is_in_the_queue_that_it_was_submitted_to(queue, tmp_path):
    """In the original the engine took its bucket from the environment, once for the whole process."""
    other = oqk.connect(tmp_path)
    first = queue.submit(load, {"x": 1})
    task = queue.submit(add, {"x": 2}, depends_on=[first])
    with pytest.raises(oqk.UnknownJob):
        other.submit(add, {"x": 2}, depends_on=[first])
    work_off(queue, load, add)
    assert task.result(WAIT_S) == 20
    assert len(other.jobs()) == 0


def test_cancel_of_a_step_that_runs_ends_what_follows(queue, start):
    """In the original a cancelled workflow left the tasks of its steps running."""
    began, go_on = threading.Event(), threading.Event()

    @oqk.task(name="hold")
    def hold(x):
        began.set()
        go_on.wait(WAIT_S)
        return x

    start(hold, add, queue=queue)
    step = queue.submit("hold", 1)
    after = queue.submit(add, {"x": 2}, depends_on=[step])
    assert began.wait(WAIT_S)
    step.cancel()
    assert after.wait(WAIT_S).status == "failed"
    go_on.set()
    assert step.status == "cancelled"


def test_original_1_35_c_step_that_undoes_runs_if_a_step_fails(queue):
    """In the original compensation could not be declared, and never ran."""
    bad = queue.submit(refuse, 1)
    queue.submit(add, {"x": 1}, depends_on=[bad], on_failure="skip")
    undo = queue.submit(load, {"x": 41}, depends_on=[bad], on_failure="run")
    work_off(queue, refuse, add, load)
    assert undo.result(WAIT_S) == 42
