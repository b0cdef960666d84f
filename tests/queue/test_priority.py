"""Priorities: what their names mean, and who comes first."""

from __future__ import annotations

import pytest

from oqkit.errors import UsageError
from oqkit.queue.priority import PRIORITIES, priority_of, rank


def test_names_of_priorities_are_those_of_the_contract():
    assert PRIORITIES == {
        "critical": 255,
        "urgent": 200,
        "high": 175,
        "normal": 128,
        "low": 50,
        "background": 10,
        "bulk": 0,
    }


@pytest.mark.parametrize(("value", "number"), ((0, 0), (255, 255), ("bulk", 0), ("critical", 255), ("high", 175)))
def test_priority_is_a_number_or_a_name(value, number):
    assert priority_of(value) == number


@pytest.mark.parametrize("value", (-1, 256, 1.5, True, None, "", "High", "1", [1]))
def test_what_is_no_priority_is_refused_with_what_there_is(value):
    with pytest.raises(UsageError, match=r"priority=.* whole number from 0 to 255, or one of 'critical', 'urgent'"):
        priority_of(value)


def test_without_aging_only_the_priority_counts():
    assert rank(129, due=100.0, now=100.0, aging_s=None) > rank(128, due=0.0, now=100.0, aging_s=None)


def test_with_aging_a_job_overtakes_those_that_came_so_much_later():
    """72 priorities are 720 seconds, at one for each ten: what came that much later waits for it, at any time."""
    for now in (800.0, 8_000.0):
        old = rank(128, due=0.0, now=now, aging_s=10.0)
        assert old > rank(200, due=730.0, now=now, aging_s=10.0)
        assert old == rank(200, due=720.0, now=now, aging_s=10.0)
        assert old < rank(200, due=710.0, now=now, aging_s=10.0)


def test_what_is_not_due_yet_has_no_age():
    assert rank(128, due=100.0, now=0.0, aging_s=1.0) == 128
