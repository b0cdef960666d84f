"""Whom the end of an execution is charged to, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqkit.limits import WorkerLimits
from oqkit.queue.rows import Rows
from oqkit.worker.blame import Incident, Verdict, blame

BARREN = WorkerLimits().barren_deaths

ROWS = tuple(range(100, 110))


def incident(**more):
    return Incident(**{"rows": Rows.of(ROWS), "limit": 10, "taken": 0, "busy": (0, 0), **more})


def verdict(charged=(), *, apart=(), passed=(), rest=(), n_barren=0):
    """Make a verdict of row numbers."""
    apart = tuple(map(Rows.of, apart))
    return Verdict(charged=Rows.of(charged), apart=apart, passed=Rows.of(passed), rest=Rows.of(rest), n_barren=n_barren)


CASES = {
    "a row that was running when its process died": (
        incident(taken=4),
        (100, 101, 102),
        verdict((103,), rest=ROWS[4:]),
    ),
    "rows before it whose results died with the process pass first": (
        incident(taken=4),
        (100,),
        verdict((103,), passed=(101, 102), rest=ROWS[4:]),
    ),
    "a process that died between two rows is nobody's doing": (
        incident(taken=3),
        (100, 101, 102),
        verdict(rest=ROWS[3:]),
    ),
    "a process that died before the first row is nobody's doing": (incident(), (), verdict(rest=ROWS, n_barren=1)),
    "one that does so again and again cannot load the function": (
        incident(n_barren=BARREN - 1),
        (),
        verdict(ROWS, n_barren=BARREN),
    ),
    "of many rows of a batch each half runs by itself": (
        incident(is_batch=True, taken=5, busy=(0, 5)),
        (),
        verdict(apart=((100, 101, 102), (103, 104)), rest=ROWS[5:]),
    ),
    "the last row of a batch that was cut down is charged": (
        incident(is_batch=True, taken=5, busy=(2, 3)),
        (100, 101),
        verdict((102,), passed=(103, 104), rest=ROWS[5:]),
    ),
    "between two batch calls nobody is in progress": (
        incident(is_batch=True, taken=5, busy=(0, 0)),
        (100, 101, 102, 103, 104),
        verdict(rest=ROWS[5:]),
    ),
    "coroutines that had not ended are all in progress": (
        incident(is_async=True, taken=3),
        (101,),
        verdict(apart=((100,), (102,)), rest=ROWS[3:]),
    ),
    "a single coroutine is charged": (incident(is_async=True, taken=1), (), verdict((100,), rest=ROWS[1:])),
    "a call that took too long is charged": (
        incident(is_crash=False, taken=2),
        (100,),
        verdict((101,), rest=ROWS[2:]),
    ),
    "a call that has ended after all is not": (
        incident(is_crash=False, taken=2, has_moved_on=True),
        (100, 101),
        verdict(rest=ROWS[2:]),
    ),
    "rows from the limit on belong to others": (
        incident(taken=2, limit=5),
        (100,),
        verdict((101,), rest=ROWS[2:5]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_incident_is_charged_as_the_table_says(case):
    what, done, expected = CASES[case]
    assert blame(what, done=Rows.of(done), held=Rows.of(ROWS), barren_deaths=BARREN) == expected


def test_rows_that_the_lease_no_longer_holds_are_neither_charged_nor_run():
    found = blame(incident(taken=4), done=Rows.of({100, 101, 102}), held=Rows.of(ROWS[5:]), barren_deaths=BARREN)
    assert found == verdict(rest=ROWS[5:])


@given(st.data())
def test_every_row_is_either_done_charged_or_run_again_and_only_one_in_progress_is_charged(data):
    n_done = data.draw(st.integers(0, 10))
    taken = data.draw(st.integers(n_done, 10))
    first = data.draw(st.integers(0, 10))
    what = incident(
        taken=taken,
        limit=data.draw(st.integers(0, 10)),
        busy=(first, data.draw(st.integers(first, 10))),
        is_batch=data.draw(st.booleans()),
        is_async=data.draw(st.booleans()),
        is_crash=data.draw(st.booleans()),
    )
    done, held = set(ROWS[:n_done]), set(data.draw(st.sets(st.sampled_from(ROWS))))
    found = blame(what, done=Rows.of(done), held=Rows.of(held), barren_deaths=BARREN)
    again = [*found.charged, *(row for group in found.apart for row in group), *found.passed, *found.rest]
    open_rows = {row for row in ROWS[: max(what.limit, taken)] if row in held and row not in done}
    assert len(again) == len(set(again))
    assert open_rows <= set(again) <= held - done
    assert set(found.charged) <= set(what.in_progress())
    assert len(found.charged) <= 1
