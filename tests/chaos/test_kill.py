"""`kill -9` at any moment costs the rows that the killed leases had not committed yet, and nothing else.

How the bound is measured: the process is reaped, then, before its leases can have run out (they were
renewed within the last third of `LEASE_S`), the parts are read. The rows that run under a lease of
the dead worker are exactly those that it took and had not committed, including a commit that was
on its way when it died. Only those may be called again: for each row, the number of calls beyond
the first is at most the number of kills that caught it uncommitted.

`OQ_KILLS` says how many kills; twenty, in ten thousand tasks, are what is promised, which `make soak` runs.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pandas as pd
import pytest

from oqkit.queue.view import JobView
from tests.chaos.fleet import Fleet, check_outcomes, uncommitted
from tests.chaos.task import slow
from tests.local import names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("chaos")]

N_KILLS = int(os.environ.get("OQ_KILLS", "6"))
N_TASKS = 500 * N_KILLS
N_WORKERS = 4
PART_ROWS = 500
CALL_S = 0.002
LEASE_S = 8.0
SEED = 20


def test_kills_cost_only_the_rows_that_were_not_committed(s3, tmp_path, capsys):
    rng = random.Random(SEED)
    # moments are counted in calls, so that all kills fall into the work, however fast the machine is
    moments = sorted(rng.sample(range(100, N_TASKS - 500), N_KILLS))
    queue = s3.queue()
    spared: Counter[int] = Counter()
    n_caught = []
    started = time.monotonic()
    with Fleet(s3, tmp_path / "fleet") as fleet:
        fleet.start_ready(N_WORKERS, lease_s=LEASE_S)
        frame = pd.DataFrame({"label": "kill", "x": range(N_TASKS), "wait_s": CALL_S})
        job = queue.submit_frame(frame, slow, part_rows=PART_ROWS)
        view = JobView(queue.repository, queue.repository.read_job(job.id).doc)
        for moment in moments:
            until(lambda m=moment: n_calls(fleet) >= m, what=f"{moment} calls")
            time.sleep(rng.uniform(0, 0.05))
            until(lambda: any(member.n_calls for member in fleet.living), what="a call of one that lives")
            victim = rng.choice([member for member in fleet.living if member.n_calls])
            victim.kill()
            fleet.start(lease_s=LEASE_S)
            caught = uncommitted(view, victim, part_rows=PART_ROWS)
            n_caught.append(len(caught))
            spared.update(caught)
        result = job.result(timeout=120)
        elapsed_s = time.monotonic() - started
        survivors = fleet.living
        calls = Counter({x: n for (_, x), n in fleet.calls().items()})
        until(lambda: not names_below(queue.repository.store, "open/"), what="all markers are taken down")
        fleet.check_health()

    assert len(n_caught) == N_KILLS
    assert [member.log for member in survivors if "was taken over" in member.log] == [], "only the dead lost leases"
    check_outcomes(queue, job.id)
    assert list(result["y"]) == [2 * x for x in range(N_TASKS)], "each row has its own value"
    assert calls.keys() == set(range(N_TASKS)), "every task ran"
    again = {row: n - 1 for row, n in calls.items() if n > 1}
    too_often = {row: n for row, n in again.items() if n > spared[row]}
    assert not too_often, f"rows called again although no killed lease held them uncommitted: {too_often}"
    assert sum(again.values()) <= sum(n_caught)
    assert sum(n_caught) > 0, "the kills hit something, or this proves nothing"
    with capsys.disabled():
        print(
            f"\n[kill] {N_KILLS} kills in {N_TASKS:,} tasks: {sum(again.values()):,} calls again, "
            f"{sum(n_caught):,} rows were uncommitted at the kills ({n_caught}); {elapsed_s:.0f} s"
        )


def n_calls(fleet):
    return sum(member.n_calls for member in fleet.members)
