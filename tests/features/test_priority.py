"""Priorities and tags: chosen at submit, changed while the job waits."""

from __future__ import annotations

import json

import pytest

import oqkit
from tests.local import WAIT_S, work_off

RAN: list[str] = []


@oqkit.task
def note(x):
    RAN.append(x)
    return x


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def test_priority_by_name_goes_first(queue):
    for name in ("bulk", "normal", "critical", "low"):
        queue.submit(note, {"x": name}, priority=name)
    work_off(queue, note)
    assert RAN == ["critical", "normal", "low", "bulk"]


def test_the_same_work_with_a_priority_by_name_or_number_is_the_same(queue):
    job = queue.map(note, [{"x": "a"}], priority="high")
    assert queue.map(note, [{"x": "a"}], priority=175) == job


@pytest.mark.parametrize("priority", ("High", 256, -1, 1.5))
def test_priority_that_is_none_is_refused_before_anything_is_written(queue, priority):
    with pytest.raises(oqkit.UsageError, match="'critical', 'urgent', 'high'"):
        queue.submit(note, {"x": 1}, priority=priority)
    assert queue.jobs().empty


def test_waiting_job_is_moved_ahead_of_others(queue, oq):
    tasks = {name: queue.submit(note, {"x": name}) for name in "abcd"}
    assert queue.reprioritize(tasks["c"].job, "urgent", by="ana@lab") == 200
    oqkit.reprioritize(tasks["b"].job.id, 50)
    assert oq("reprioritize", tasks["d"].job.id, "critical") == "priority 255\n"
    assert tasks["c"].job.options.priority == 200
    work_off(queue, note)
    assert (RAN[:2], RAN[-1]) == (["d", "c"], "b")
    history = queue.history(tasks["c"].id)
    assert history[["note", "by"]].iloc[1].tolist() == ["priority 200", "ana@lab"]


def test_job_that_has_ended_cannot_be_given_a_priority(queue, oq):
    task = queue.submit(note, {"x": 1})
    work_off(queue, note)
    task.wait(WAIT_S)
    assert "has ended (completed): there is nothing to reprioritize" in oq("reprioritize", task.job.id, "9", code=2)


def test_old_job_overtakes_urgent_ones_in_a_worker_with_aging(queue):
    queue.submit(note, {"x": "old"}, priority="bulk")
    at = queue.repository.now()
    while queue.repository.now() < at + 0.01:
        queue.storage.list("", limit=1)
    queue.submit(note, {"x": "new"}, priority="critical")
    oqkit.Worker(queue, [note], aging=1e-6).run(until_idle=True)
    assert RAN == ["old", "new"]


@pytest.mark.parametrize("aging", (0, -1, "soon"))
def test_aging_that_is_no_time_is_refused(queue, aging):
    with pytest.raises(oqkit.UsageError, match="aging="):
        oqkit.Worker(queue, [note], aging=aging)


def test_tags_are_changed_on_a_live_job(queue, oq):
    job = queue.map(note, [{"x": "a"}], tags={"team": "risk", "draft": "yes"})
    job.tag(team="pricing", by="ana@lab")
    job.tag({"cost centre": "7"}, draft=None)
    assert queue.job(job.id).tags == {"team": "pricing", "cost centre": "7"}
    assert json.loads(oq("tag", job.id, "stage=final", "--remove", "team", "--json"))["tags"] == {
        "cost centre": "7",
        "stage": "final",
    }
    work_off(queue, note)
    job.tag(checked="yes")  # also of one that has ended
    assert list(queue.jobs(tags={"checked": "yes"}).index) == [job.id]
    notes = queue.history(f"{job.id}.0")["note"].tolist()
    assert notes[1:3] == ["tags team=pricing", "tags cost centre=7, no draft"]


@pytest.mark.parametrize("tags", ({}, {"team": 5}, {"team": "x" * 20_000}, {f"t{n}": "" for n in range(21)}))
def test_what_cannot_be_a_tag_is_refused(queue, tags):
    job = queue.map(note, [{"x": "a"}])
    with pytest.raises(oqkit.UsageError):
        job.tag(tags)
    assert queue.job(job.id).tags == {}
