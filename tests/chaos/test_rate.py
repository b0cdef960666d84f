"""Eight worker processes keep a rate limit together, also when some of them are killed with what they had taken.

``OQ_RATE_MINUTES=3`` looks at so many whole minutes, as `make soak` does: in each of them 540 to 660 calls of
``rate_limit="600/min"`` begin. Without it the same runs for half a minute, of which only what no busy machine can bring
about is asked for: that no stretch of ten seconds has more than a tenth too many.
"""

from __future__ import annotations

import os
from collections import Counter

import pandas as pd
import pytest

from tests.chaos.fleet import Fleet, directory_place
from tests.chaos.task import timed
from tests.local import until

MINUTES = int(os.environ.get("OQ_RATE_MINUTES", "0"))
RATE, PER_MINUTE, N_WORKERS = "600/min", 600, 8
PERIOD_S, N_TASKS = (60, (MINUTES + 1) * PER_MINUTE) if MINUTES else (10, 300)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 120 * MINUTES), pytest.mark.xdist_group("chaos")]


def n_calls(fleet):
    return sum(member.n_calls for member in fleet.members)


def test_rate_is_kept_by_eight_workers_of_which_two_are_killed(tmp_path, capsys):
    place = directory_place(tmp_path / "queue")
    queue = place.queue()
    with Fleet(place, tmp_path / "fleet") as fleet:
        fleet.start_ready(N_WORKERS, lease_s=8.0)
        job = queue.submit_frame(pd.DataFrame({"label": ["rate"] * N_TASKS}), timed, rate_limit=RATE)
        for share in (0.4, 0.6):
            until(lambda share=share: n_calls(fleet) >= share * N_TASKS, wait_s=300 + 60 * MINUTES)
            victim = max(fleet.living, key=lambda member: member.n_calls)
            victim.kill()
        job.wait(timeout=300 + 60 * MINUTES)
        assert job.counts()["completed"] == N_TASKS
        starts = sorted(at for (_, at), n in fleet.calls().items() for _ in range(n))
        shares = [member.n_calls for member in fleet.members]
    periods = Counter(at // 1000 // PERIOD_S for at in starts)
    allowed = PER_MINUTE * PERIOD_S / 60
    with capsys.disabled():
        print(
            f"\n{len(starts)} calls by {shares}; in periods of {PERIOD_S} s: {[n for _, n in sorted(periods.items())]}"
        )
    assert len(starts) >= N_TASKS
    assert max(periods.values()) <= 1.1 * allowed
    first, *whole, last = sorted(periods)
    assert whole == list(range(first + 1, last))
    if MINUTES:
        assert all(0.9 * allowed <= periods[period] for period in whole)
