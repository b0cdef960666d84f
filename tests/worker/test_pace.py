from __future__ import annotations

from types import SimpleNamespace

import pytest

from oqkit.queue.job import Code
from oqkit.worker.pace import LEAST_S, TARGET_S, Pace

SCORE = SimpleNamespace(type="score", code=Code(reference="tasks:score"))
OTHER = SimpleNamespace(type="score", code=Code(digest="of another function"))


@pytest.fixture
def pace():
    return Pace()


def test_nothing_is_known_at_first(pace):
    pace.learn(SCORE, n_rows=0, elapsed_s=1.0)
    pace.learn(OTHER, n_rows=10, elapsed_s=1.0)
    assert pace.row_s(SCORE) is None
    assert pace.lease_rows(SCORE) is None


def test_a_measurement_counts_by_its_rows(pace):
    pace.learn(SCORE, n_rows=10_000, elapsed_s=1.0)
    pace.learn(SCORE, n_rows=1, elapsed_s=0.005)  # most of it what any call costs
    assert pace.row_s(SCORE) == pytest.approx(1e-4, rel=0.02)
    assert pace.lease_rows(SCORE) == pytest.approx((LEAST_S / 1e-4, TARGET_S / 1e-4), rel=0.02)


@pytest.mark.parametrize("change", (0.01, 100.0))
def test_a_new_pace_is_taken_up_within_a_few_leases_of_equal_length(pace, change):
    for _ in range(10):
        pace.learn(SCORE, n_rows=100, elapsed_s=1.0)
    for _ in range(8):
        pace.learn(SCORE, n_rows=100, elapsed_s=change)
    assert pace.row_s(SCORE) == pytest.approx(change / 100, rel=0.5)
