"""How a frame is cut into parts: for many workers while nothing is known, coarser once a function proved quick."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from oqkit.client.frame_spec import spec_of_frame
from oqkit.client.values_spec import spec_of_values
from oqkit.limits import Limits
from oqkit.queue.transition import Verb
from oqkit.task.timer import RowTimer

LIMITS = Limits()
FRAME = pd.DataFrame({"x": range(6_400)})


def double(x):
    return x * 2


def part_rows(row_s, *, n_rows=6_400):
    timer = RowTimer(LIMITS.task)
    if row_s is not None:
        known = spec_of_values([], double, part_rows="auto", timer=timer, limits=LIMITS).function
        timer.learn(known, n_rows=1000, elapsed_s=1000 * row_s)
    frame = pd.DataFrame({"x": range(n_rows)})
    return spec_of_frame(frame, double, columns=None, part_rows="auto", timer=timer, limits=LIMITS).part_rows


@pytest.mark.parametrize(
    ("row_s", "expected"),
    ((None, 400), (10.0, 400), (1e-2, 400), (1e-4, 2500), (0.5e-3, 500), (1e-6, 6400), (0.0, 6400)),
)
def test_parts_are_as_large_as_the_pace_allows(row_s, expected):
    assert part_rows(row_s) == expected


@pytest.mark.parametrize(("row_s", "expected"), ((None, 10_000), (1e-3, 10_000), (1e-5, 25_000), (1e-9, 50_000)))
def test_parts_have_a_limit(row_s, expected):
    assert part_rows(row_s, n_rows=1_000_000) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("row_s", (None, 1e-9))
def test_parts_of_large_rows_fit_in_memory(row_s):
    text = "x" * 100_000
    frame = pd.DataFrame({"x": [text + str(n) for n in range(2_000)]})
    timer = RowTimer(LIMITS.task)
    if row_s is not None:
        timer.learn(
            spec_of_values([], double, part_rows="auto", timer=timer, limits=LIMITS).function, n_rows=1, elapsed_s=row_s
        )
    spec = spec_of_frame(frame, double, columns=None, part_rows="auto", timer=timer, limits=LIMITS)
    assert spec.table.slice(0, spec.part_rows).nbytes <= LIMITS.client.part_bytes
    assert spec.part_rows == (125 if row_s is None else pytest.approx(LIMITS.client.part_bytes / len(text), rel=0.01))


def test_a_row_larger_than_a_part_should_be_is_a_part():
    frame = pd.DataFrame({"x": ["x" * (LIMITS.client.part_bytes + 1)] * 2})
    assert (
        spec_of_frame(
            frame, double, columns=None, part_rows="auto", timer=RowTimer(LIMITS.task), limits=LIMITS
        ).part_rows
        == 1
    )


def test_second_job_of_a_quick_function_has_fewer_parts(queue, start):
    start(double)
    first = queue.submit_frame(FRAME, double)
    first.wait(30)
    second = queue.submit_frame(FRAME + 1, double)
    assert second.result(30)["double"].tolist() == [2 * x + 2 for x in range(6_400)]
    assert first._view.state.job.n_parts == 16
    assert second._view.state.job.n_parts <= 4


def test_part_tells_how_long_its_rows_took(queue, start):
    def nap(x):
        time.sleep(0.01)

    start(nap)
    job = queue.submit_frame(FRAME[:10], nap, part_rows=10)
    job.wait(30)
    (part,) = job._view.state.parts()
    (done,) = [event for event in part.log if event.verb is Verb.COMPLETE]
    assert 0.1 <= done.took_s <= part.log[-1].at - part.log[0].at + 0.05
    assert job._view.state.pace() == (10, done.took_s)
