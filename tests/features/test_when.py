"""When tasks start, and when they do not start any more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import oqkit
from tests.local import WAIT_S, work_off


@oqkit.task
def same(x):
    return x


def test_delayed_task_starts_when_it_is_due(queue, start, oq):
    soon = queue.submit(same, 1, delay=0.3)
    never = queue.submit(same, 2, at=datetime.now(UTC) + timedelta(days=1))
    later = oq("submit", "same", "3", "--at", "2190-01-01T00:00+00:00").strip()
    start(same, queue=queue)
    assert soon.result(WAIT_S) == 1
    steps = queue.history(soon.id)
    assert (steps["at"].iloc[1] - steps["at"].iloc[0]).total_seconds() >= 0.25  # the store's clock gives tenths
    assert [queue.get(id_).status for id_ in (never.id, later)] == ["pending", "pending"]


def test_task_that_has_not_started_in_its_time_expires(queue, oq):
    late = queue.submit(same, 1, ttl=0)
    in_time = queue.submit(same, 2, ttl="1h")
    assert late.status == "expired"
    work_off(queue, same)
    assert (late.status, late.attempt, in_time.result(WAIT_S)) == ("expired", 0, 2)
    assert json.loads(oq("get", late.id, "--json"))["status"] == "expired"
    late.retry()
    work_off(queue, same)
    assert late.result(WAIT_S) == 1


def test_task_that_has_not_started_by_a_moment_expires(queue, oq):
    past, future = datetime(2020, 1, 1, tzinfo=UTC), datetime(2190, 1, 1, tzinfo=UTC)
    late = queue.submit(same, 1, expires_at=past)
    in_time = queue.submit(same, 2, expires_at=future.timestamp())
    shell = oq("submit", "same", "3", "--expires-at", "2020-01-01T00:00+00:00").strip()
    work_off(queue, same)
    assert (late.status, queue.get(shell).status, in_time.result(WAIT_S)) == ("expired", "expired", 2)
    with pytest.raises(oqkit.UsageError, match="give expires_at= or ttl=, not both"):
        queue.submit(same, 1, ttl=5, expires_at=future)


def test_higher_priority_goes_first(queue):
    ran = []

    def note(x):
        ran.append(x)

    for name, priority in (("low", 1), ("high", 255), ("middle", 128)):
        queue.submit("note", name, priority=priority)
    work_off(queue, note)
    assert ran == ["high", "middle", "low"]
