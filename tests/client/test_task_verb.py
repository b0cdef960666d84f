"""What takes a job takes a single task, or says what to do: as a matrix of verbs, and of ways to name the job."""

from __future__ import annotations

import pytest

import oqkit as oq

ONE = ("job", "task", "job id", "task id", "name")
ON_QUEUE = {
    "reprioritize": lambda queue, one: queue.reprioritize(one, 200),
    "cancel": lambda queue, one: queue.cancel(one),
    "retry": lambda queue, one: queue.retry(one),
    "job": lambda queue, one: queue.job(one),
    "trace": lambda queue, one: queue.trace(one),
    "history": lambda queue, one: queue.history(one),
    "depends_on": lambda queue, one: queue.submit("work", {"x": 2}, depends_on=[one]),
}
ON_HANDLE = {
    "reprioritize": lambda one: one.reprioritize("urgent", by="me"),
    "pause": lambda one: one.pause("why", resume_after=60),
    "resume": lambda one: one.resume(),
    "tag": lambda one: one.tag({"team": "risk"}, run="7"),
    "why": lambda one: one.why(),
    "counts": lambda one: one.counts(),
    "name": lambda one: one.name,
    "type": lambda one: one.type,
    "cancel": lambda one: one.cancel(reason="why"),
    "signal": lambda one: one.signal("go"),
    "delete": lambda one: one.delete(cancel=True),
}
WHOLE = {"reprioritize", "pause", "resume", "tag", "delete"}
"""Orders that a job takes as a whole."""


def ways(queue, *, n_tasks):
    """Return the ways to name a job of so many tasks, and the first of these."""
    job = queue.map("work", list(range(n_tasks)), name=f"of {n_tasks}")
    task = queue.get(f"{job.id}.0")
    return dict(zip(ONE, (job, task, job.id, task.id, job.name), strict=True))


@pytest.mark.parametrize("way", ONE)
@pytest.mark.parametrize("verb", ON_QUEUE)
def test_verb_of_the_queue_takes_a_job_of_one_however_it_is_named(queue, verb, way):
    ON_QUEUE[verb](queue, ways(queue, n_tasks=1)[way])


@pytest.mark.parametrize("way", ONE)
@pytest.mark.parametrize("verb", ON_QUEUE)
def test_verb_of_the_queue_takes_a_job_of_many_or_says_what_to_do(queue, verb, way):
    named, is_task = ways(queue, n_tasks=3), way in {"task", "task id"}
    if (verb in {"reprioritize", "job"}) is is_task and verb in {"reprioritize", "job", "history"}:
        with pytest.raises(oq.errors.UsageError, match=named["job"].id if is_task else "task"):
            ON_QUEUE[verb](queue, named[way])
    elif verb == "history" and not is_task:
        with pytest.raises(oq.errors.UsageError, match="has 3 tasks: give the id of one"):
            ON_QUEUE[verb](queue, named[way])
    else:
        ON_QUEUE[verb](queue, named[way])


@pytest.mark.parametrize("way", ("job", "task"))
@pytest.mark.parametrize("n_tasks", (1, 3))
@pytest.mark.parametrize("verb", ON_HANDLE)
def test_verb_of_a_handle(queue, verb, n_tasks, way):
    one = ways(queue, n_tasks=n_tasks)[way]
    if way == "task" and n_tasks > 1 and verb in WHOLE:
        with pytest.raises(oq.errors.UsageError, match=rf"one of 3 of job 'of 3', .*task\.job\.{verb}\("):
            ON_HANDLE[verb](one)
    else:
        ON_HANDLE[verb](one)


@pytest.mark.parametrize("way", ("job", "task"))
@pytest.mark.parametrize("verb", ("pause", "resume"))
def test_verb_that_is_about_the_queue_says_what_is_about_a_job(queue, verb, way):
    with pytest.raises(oq.errors.UsageError, match=rf"task\.{verb}\(\) is about one job"):
        getattr(queue, verb)(ways(queue, n_tasks=1)[way])


def test_orders_to_a_single_task_are_those_to_its_job(queue):
    task = queue.submit("work", {"x": 1}, key="k")
    task.reprioritize(7)
    task.tag(team="risk")
    task.pause("maintenance")
    assert (task.options.priority, task.tags, task.type) == (7, {"team": "risk"}, "work")
    assert "maintenance" in task.why()
    assert task.counts()["pending"] == sum(task.counts().values()) == 1
    task.resume()
    task.cancel()
    assert (task.counts()["cancelled"], task.why()) == (1, "")


@pytest.mark.parametrize(
    "verb",
    (
        "id",
        "name",
        "type",
        "tags",
        "options",
        "created",
        "status",
        "counts",
        "why",
        "wait",
        "done",
        "result",
        "cancel",
        "retry",
        "signal",
        "delete",
        "pause",
        "resume",
        "reprioritize",
        "tag",
    ),
)
def test_task_has_the_verb_of_a_job(verb):
    assert hasattr(oq.Task, verb)
    assert hasattr(oq.Job, verb)
