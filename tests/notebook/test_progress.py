"""How fast a job is, and what it costs."""

from __future__ import annotations

import pytest

import oqkit as oq
from oqkit.notebook.progress import ProgressHistory, histogram, rate, speeds
from tests.notebook.world import snapshot_of


def test_rate_is_of_the_last_half_minute():
    trace = ProgressHistory(points=((0.0, 0), (100.0, 1000), (110.0, 1100), (130.0, 1300)))
    assert rate(trace, now=130.0) == pytest.approx(10.0)
    assert rate(trace, now=200.0) is None


def test_speeds_hold_every_task_once():
    trace = ProgressHistory(points=((0.0, 0), (5.0, 50), (60.0, 100), (61.0, 400)))
    each = speeds(trace, now=100.0, bins=20)
    assert sum(each) * 100 / 20 == pytest.approx(400)
    assert all(value >= 0 for value in each)


def test_trace_stays_short_however_long_it_is_watched():
    trace = ProgressHistory()
    for number in range(10_000):
        trace = trace.seen(float(number), number)
    assert len(trace.points) <= 400
    assert trace.points[0] == (0.0, 0)
    assert trace.points[-1] == (9999.0, 9999)


def test_histogram_counts_every_task_and_has_few_bars():
    bars = histogram([(0.001, 5), (0.0011, 7), (0.3, 2), (900.0, 1)])
    assert sum(n for _, n in bars) == 15
    assert len(bars) <= 12
    assert histogram([]) == ()


def test_estimated_requests_are_near_what_was_sent(tmp_path):
    queue = oq.connect(tmp_path / "q")
    job = queue.map(abs, range(300), part_rows=30)
    worker = oq.Worker(queue, [oq.task(abs, name="abs")] if job.type == "abs" else [], trust_code=True)
    worker.run(until_idle=True)
    from oqkit.notebook.live import Live

    live = Live(job, screen=None)
    sent = sum(queue.repository.store.requests.snapshot().values())
    told = sum(snapshot_of(live).requests.values())
    print(f"sent {sent}, told {told}")
    assert job.status == "completed"
    assert sent / 3 <= told <= sent * 3
