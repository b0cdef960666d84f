"""A queue on Azure Blob Storage, which is Azurite here: worker processes are killed, and replies are lost."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.queue.view import JobView
from oqkit.testing.fault import FaultKind, weather
from oqkit.testing.proxy import FaultProxy
from tests.chaos.fleet import BUCKET, ROOT, Fleet, azure_place, check_at_rest, check_outcomes, uncommitted
from tests.chaos.task import RECORD, double, slow
from tests.local import names_below, until

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("chaos"),
    pytest.mark.usefixtures("azure"),
]

N_ROWS = 600
N_KILLS = 6
PART_ROWS = 60
CALL_S = 0.01
LEASE_S = 10.0

_numbers = itertools.count()


@pytest.fixture
def proxy(azurite_server):
    with FaultProxy(azurite_server.endpoint_url, seed=3) as proxy:
        yield proxy


def test_worker_of_the_command_line_runs_what_was_submitted(azurite_server, monkeypatch, tmp_path):
    azurite_server.create_container(BUCKET)
    monkeypatch.setattr(connect, "_default", [])
    url = f"az://{BUCKET}/queue-{next(_numbers)}"
    queue = oq.connect(url)
    assert queue.url == f"{azurite_server.endpoint_url}/{url.removeprefix('az://')}"
    job = queue.submit_frame(pd.DataFrame({"label": "frame", "x": range(200)}), double)
    task = queue.submit(double, {"label": "single", "x": 21})
    ended = subprocess.run(
        [sys.executable, "-m", "oqkit", "worker", "--url", url, "--until-idle", "tests.chaos.task"],
        env=os.environ | {RECORD: str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert list(job.result(timeout=30)["y"]) == [2 * x for x in range(200)]
    assert task.result(timeout=30)["y"] == 42
    assert azurite_server.key not in ended.stderr
    assert "x-ms-" not in ended.stderr, "the log is the worker's, and no list of requests"
    again = oq.connect(queue.url)  # the address with the account in it names the same queue
    assert again.job(job.id).status == "completed"


def test_kills_and_lost_replies_cost_no_row_and_change_none(azurite_server, proxy, tmp_path, capsys):
    rng = random.Random(20)
    for fault in weather(late_s=1.0):
        if fault.kind is not FaultKind.STALL:  # each would hold a worker for ten seconds
            proxy.inject(fault)
    moments = sorted(rng.sample(range(20, N_ROWS - 100), N_KILLS))
    place = azure_place(azurite_server, f"queue-{next(_numbers)}", endpoint_url=proxy.url)
    queue = place.queue()
    spared: Counter[int] = Counter()
    with Fleet(place, tmp_path / "fleet") as fleet:
        fleet.start_ready(2, lease_s=LEASE_S)
        frame = pd.DataFrame({"label": "kill", "x": range(N_ROWS), "wait_s": CALL_S})
        job = queue.submit_frame(frame, slow, part_rows=PART_ROWS)
        view = JobView(queue.repository, queue.repository.read_job(job.id).doc)
        for moment in moments:
            until(lambda m=moment: sum(fleet.calls().values()) >= m, what=f"{moment} calls")
            until(lambda: any(member.n_calls for member in fleet.living), what="a call of one that lives")
            victim = rng.choice([member for member in fleet.living if member.n_calls])
            victim.kill()
            fleet.start(lease_s=LEASE_S)
            spared.update(uncommitted(view, victim, part_rows=PART_ROWS))
        result = job.result(timeout=200)
        until(lambda: not names_below(queue.repository.store, "open/"), what="all markers are taken down")
        fleet.check_health()
        assert [member.log for member in fleet.living if "was taken over" in member.log] == [], (
            "only the dead lost leases"
        )
        calls = Counter({x: n for (_, x), n in fleet.calls().items()})

    check_outcomes(queue, job.id)
    check_at_rest(queue)
    assert list(result["y"]) == [2 * x for x in range(N_ROWS)], "each row has its own value"
    assert calls.keys() == set(range(N_ROWS)), "every task ran"
    too_often = {row: n for row, n in calls.items() if n - 1 > spared[row]}
    assert not too_often, f"rows called again although no killed lease held them uncommitted: {too_often}"
    spoiled = Counter(exchange.fault for exchange in proxy.log if exchange.fault)
    assert len(spoiled) >= 3, "much went wrong, or this proves nothing"
    with capsys.disabled():
        print(f"\n[azure] {N_KILLS} kills and {dict(spoiled)}: {calls.total() - N_ROWS} calls again of {N_ROWS}")
