from __future__ import annotations

from types import SimpleNamespace

import pytest

from oqkit.limits import TaskLimits
from oqkit.queue.job import Code
from oqkit.task.timer import RowTimer

LIMITS = TaskLimits()

SCORE = SimpleNamespace(type="score", code=Code(reference="tasks:score"))
OTHER = SimpleNamespace(type="score", code=Code(digest="of another function"))


@pytest.fixture
def timer():
    return RowTimer(LIMITS)


def test_nothing_is_known_at_first(timer):
    timer.learn(SCORE, n_rows=0, elapsed_s=1.0)
    timer.learn(OTHER, n_rows=10, elapsed_s=1.0)
    assert timer.row_s(SCORE) is None
    assert timer.lease_rows(SCORE) is None


def test_a_measurement_counts_by_its_rows(timer):
    timer.learn(SCORE, n_rows=10_000, elapsed_s=1.0)
    timer.learn(SCORE, n_rows=1, elapsed_s=0.005)  # most of it what any call costs
    assert timer.row_s(SCORE) == pytest.approx(1e-4, rel=0.02)
    assert timer.lease_rows(SCORE) == pytest.approx((LIMITS.least_s / 1e-4, LIMITS.target_s / 1e-4), rel=0.02)


@pytest.mark.parametrize("change", (0.01, 100.0))
def test_a_new_pace_is_taken_up_within_a_few_leases_of_equal_length(timer, change):
    for _ in range(10):
        timer.learn(SCORE, n_rows=100, elapsed_s=1.0)
    for _ in range(8):
        timer.learn(SCORE, n_rows=100, elapsed_s=change)
    assert timer.row_s(SCORE) == pytest.approx(change / 100, rel=0.5)
