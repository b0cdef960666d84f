"""An outcome that cannot be stored with the part fails its own row: not the others, and not the worker."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

import oqkit as oq
from oqkit.errors import UsageError
from oqkit.limits import ClaimLimits, Limits, WorkerLimits
from oqkit.queue import document
from oqkit.queue.commit import Outcome
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.worker import sift
from oqkit.worker.buffer import Results
from tests.local import WAIT_S, connect_with


def wait_often(x: int, ctx: oq.Context) -> int:
    """Wait `x` times for signals with long names, which all stand in the part, each until its time is over."""
    for number in range(x):
        with suppress(TimeoutError):
            ctx.wait_for_signal(f"{number}".zfill(500), timeout=0.02)
    return x


def other(x: int) -> int:
    return x


def test_row_that_makes_its_part_too_large_fails_alone(monkeypatch, start, queue):
    monkeypatch.setattr(document, "MAX_BYTES", 40_000)
    connect_with(Limits(claim=ClaimLimits(grown_part_bytes=20_000)), monkeypatch)
    queue = oq.connect("memory://grown")
    start(wait_often, other, queue=queue)
    job = queue.map(wait_often, [{"x": x} for x in (0, 200, 3, 0)], part_rows=4)
    counts = job.wait(WAIT_S).counts()
    assert (counts["completed"], counts["failed"]) == (3, 1)
    error = job.errors().iloc[0]
    assert (error["row"], error["type"]) == (1, "SchemaError")
    assert "may grow to 20,000" in error["message"]
    assert job.tasks()["attempt"].tolist()[::3] == [1, 1], "no other row was lost with its lease"
    assert queue.submit(other, {"x": 1}).result(WAIT_S) == 1, "the worker goes on"


def test_part_that_is_large_already_still_takes_outcomes_that_make_it_smaller(monkeypatch, start, queue):
    connect_with(Limits(claim=ClaimLimits(grown_part_bytes=10)), monkeypatch)
    queue = oq.connect("memory://large")
    job = queue.map(other, [{"x": x} for x in range(1000)], part_rows=1000)
    job.cancel(range(0, 1000, 2))
    start(other, queue=queue)
    assert job.wait(WAIT_S).counts()["completed"] == 500


def told_apart(results, check):
    return sift.sift(results, check, most_tries=WorkerLimits().sift_commits)


def results_of(*rows, tables=()):
    return Results(
        rows=Rows.of(rows),
        values=[row * 10 for row in rows],
        tables=[(Rows.of(table), object()) for table in tables],
        outcomes=[Outcome(verb=Verb.RETRY, rows=Rows.of([90, 91]))],
    )


def refusing(*bad, most=1_000):
    def check(results):
        rows = results.all_rows()
        if rows & Rows.of(bad) or len(rows) > most:
            raise UsageError(f"{len(rows)} rows")

    return check


@pytest.mark.parametrize("bad", ((), (0,), (5,), (90,), (0, 7, 91), tuple(range(8))))
def test_rows_that_cannot_be_stored_are_told_apart(bad):
    kept, found = told_apart(results_of(*range(8)), refusing(*bad))
    assert set(found) == set(bad)
    assert kept.all_rows() == Rows.of({*range(8), 90, 91} - set(bad))
    assert kept.values == [row * 10 for row in kept.rows]


def test_of_rows_that_are_too_large_together_as_many_stay_as_can():
    kept, found = told_apart(results_of(*range(8)), refusing(most=4))
    assert len(kept.all_rows()) == 4
    assert len(found) == 6


def test_rows_of_one_table_stay_together():
    kept, found = told_apart(results_of(0, 1, tables=((2, 5), (3, 4))), refusing(3))
    assert sorted(found) == [3, 4]
    assert [rows for rows, _ in kept.tables] == [Rows.of([2, 5])]


def test_search_for_what_cannot_be_stored_is_bounded():
    tries = []

    def check(results):
        tries.append(results)
        raise UsageError("never")

    _, found = told_apart(results_of(*range(80)), check)
    assert len(found) == 82
    many = Results(rows=Rows.span(0, 10_000), values=np.arange(10_000))
    _, found = told_apart(many, check)
    assert len(found) == 10_000
    assert len(tries) < 1_000
