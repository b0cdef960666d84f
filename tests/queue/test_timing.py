"""When a task began and ended, as the log of its part says, or its versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.queue import timing as module
from oqkit.queue.history import Step
from oqkit.queue.job import Job
from oqkit.queue.part import Part
from oqkit.queue.part_log import Event
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState
from oqkit.queue.timing import Timing, timing
from oqkit.queue.transition import Status, Verb

JOB = Job(id="k" + "0" * 17, type="a", n_tasks=9, part_rows=3, created=1.0, origin="o", mode="value")


def part_of(status, *events, attempt=1):
    """Return a part of three rows in one state, whose log has these events: (verb, at, rows)."""
    log = tuple(Event(at=at, verb=verb, rows=rows, n_rows=len(rows)) for verb, at, rows in events)
    state = TaskState(status=status, attempt=attempt)
    return Part(job=JOB.id, index=2, n_rows=3, states={state: Rows.span(0, 3)}, log=log)


ALL, SECOND, THIRD = Rows.span(0, 3), Rows.of([1]), Rows.of([2])


@pytest.mark.parametrize(
    ("part", "found"),
    (
        (part_of(Status.PENDING, attempt=0), Timing()),
        (part_of(Status.RUNNING, (Verb.CLAIM, 5.0, ALL)), Timing(started=5.0)),
        (part_of(Status.COMPLETED, (Verb.CLAIM, 5.0, ALL), (Verb.COMPLETE, 7.0, ALL)), Timing(started=5.0, ended=7.0)),
        (
            part_of(
                Status.FAILED,
                (Verb.CLAIM, 5.0, ALL),
                (Verb.RETRY, 6.0, ALL),
                (Verb.CLAIM, 8.0, ALL),
                (Verb.RETRY, 9.0, ALL),
            ),
            Timing(started=8.0, ended=9.0),
        ),
        (part_of(Status.PENDING, (Verb.CLAIM, 5.0, ALL), (Verb.RETRY, 6.0, ALL)), Timing(started=5.0)),
        (part_of(Status.CANCELLED, (Verb.CANCEL, 4.0, ALL), attempt=0), Timing(ended=4.0)),
        (
            part_of(
                Status.COMPLETED, (Verb.CLAIM, 5.0, ALL), (Verb.COMPLETE, 7.0, SECOND), (Verb.COMPLETE, 8.0, THIRD)
            ),
            Timing(started=5.0, ended=7.0),
        ),
        (part_of(Status.COMPLETED, (Verb.CLAIM, 5.0, ALL), (Verb.COMPLETE, 4.9, ALL)), Timing(started=5.0, ended=5.0)),
    ),
    ids=["untouched", "running", "completed", "failed", "waiting", "cancelled", "others", "clock"],
)
def test_timing_is_what_the_log_says_of_the_row(part, found):
    assert timing(None, JOB, part, 1) == found


def test_timing_asks_the_versions_where_the_log_is_not_exact_or_too_short(monkeypatch):
    asked = []

    def history(repository, job, row):
        asked.append(row)
        told = (
            (1.0, Status.PENDING),
            (2.0, Status.RUNNING),
            (3.0, Status.PENDING),
            (4.0, Status.RUNNING),
            (6.0, Status.COMPLETED),
        )
        return [Step(at=at, status=status, attempt=1, worker="", note="") for at, status in told]

    monkeypatch.setattr(module, "history", history)
    too_short = part_of(Status.COMPLETED, (Verb.COMPLETE, 7.0, ALL))
    unclear = Event(at=6.0, verb=Verb.COMPLETE, rows=ALL, n_rows=2)  # two of the three, and nobody knows which
    scattered = part_of(Status.COMPLETED, (Verb.CLAIM, 5.0, ALL))
    for part in (too_short, replace(scattered, log=(*scattered.log, unclear))):
        assert timing(None, JOB, part, 1) == Timing(started=4.0, ended=6.0)
    assert asked == [7, 7]
