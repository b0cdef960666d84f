"""Bad weather: one request in twelve goes wrong somehow, or the server dies in the middle and comes back."""

from __future__ import annotations

import time
from collections import Counter

import pandas as pd
import pytest

from oqkit.errors import Unavailable
from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.server import restarted, seaweedfs
from tests.chaos.fleet import Fleet, check_outcomes, s3_place
from tests.chaos.task import bulky, double, slow
from tests.local import names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("chaos")]

N_WORKERS = 4
N_SINGLES = 20

#: Together about 8 % of all requests.
WEATHER = [
    Fault(FaultKind.DROP_REPLY, probability=0.02),
    Fault(FaultKind.STATUS, status=503, probability=0.01),
    Fault(FaultKind.STATUS, status=500, probability=0.01),
    Fault(FaultKind.STATUS, status=429, probability=0.005),
    Fault(FaultKind.STATUS, status=409, method="PUT", probability=0.02),
    Fault(FaultKind.RESET_BEFORE, probability=0.01),
    Fault(FaultKind.LATE, method="PUT", delay_s=0.5, probability=0.01),
    Fault(FaultKind.CUT, method="GET", probability=0.01),
    Fault(FaultKind.LATENCY, delay_s=0.5, probability=0.01),
]


def test_everything_is_done_once_in_bad_weather(proxied, tmp_path, capsys):
    place, proxy = proxied
    truth = type(place)(url=place.url, env={}, endpoint_url="http://{}:{}".format(*proxy.upstream)).queue()
    with Fleet(place, tmp_path / "fleet") as fleet:
        fleet.start_ready(N_WORKERS)
        queue = place.queue()
        for fault in WEATHER:
            proxy.inject(fault)
        jobs = {
            queue.submit_frame(frame, function, part_rows=20).id: len(frame)
            for frame, function in (
                (pd.DataFrame({"label": "fine", "x": range(1300)}), double),
                (pd.DataFrame({"label": "bulky", "x": range(680), "wait_s": 0.0}), bulky),
            )
        }
        singles = [queue.submit(double, {"label": "single", "x": x}) for x in range(N_SINGLES)]
        for job_id, n_rows in jobs.items():
            result = truth.job(job_id).result(timeout=120)
            assert list(result["y"]) == [2 * x for x in range(n_rows)]
        assert [truth.get(task.id).result(timeout=60)["y"] for task in singles] == [2 * x for x in range(N_SINGLES)]
        proxy.clear()
        proxy.settle()
        until(lambda: not names_below(truth.repository.store, "open/"), what="all markers are taken down")
        for job_id in [*jobs, *(task.job.id for task in singles)]:
            check_outcomes(truth, job_id)
        assert len(names_below(truth.repository.store, "jobs/")) == len(jobs) + N_SINGLES
        calls = fleet.calls()
        assert len(calls) == sum(jobs.values()) + N_SINGLES
        assert set(calls.values()) == {1}, "no lease was lost, so nothing ran twice"
        assert len(fleet.living) == N_WORKERS, "no worker gave up"
        struck = Counter(exchange.fault for exchange in proxy.log if exchange.fault is not None)
    with capsys.disabled():
        print(f"\n[storm] {len(calls):,} tasks, each called once; {len(proxy.log):,} requests, faults: {dict(struck)}")


# --- the server dies -----------------------------------------------------------------------------


def test_workers_wait_for_a_server_that_restarts_and_go_on(aws, tmp_path, capsys):
    n_rows = 3000
    with seaweedfs(tmp_path / "data") as server:
        place = s3_place(server, "queue")
        queue = place.queue()
        with Fleet(place, tmp_path / "fleet") as fleet:
            fleet.start_ready(2)
            frame = pd.DataFrame({"label": "restart", "x": range(n_rows), "wait_s": 0.003})
            job = queue.submit_frame(frame, slow, part_rows=250)
            until(lambda: sum(member.n_calls for member in fleet.members) > n_rows / 4, what="some calls")
            down = time.monotonic()
            with restarted(server):
                down_s = time.monotonic() - down
                n_before = sum(member.n_calls for member in fleet.members)
                result = patient(lambda: job.result(timeout=120))
                assert list(result["y"]) == [2 * x for x in range(n_rows)]
                check_outcomes(queue, job.id)
                assert n_before < n_rows, "the server was gone in the middle of the job"
                assert len(fleet.living) == 2, "no worker gave up"
                calls = fleet.calls()
                assert len(calls) == n_rows
                assert set(calls.values()) == {1}, "the leases outlived the outage, so nothing ran twice"
                until(lambda: not names_below(queue.repository.store, "open/"), what="the markers are down")
                for member in fleet.living:
                    member.process.terminate()
                for member in fleet.members:
                    assert member.process.wait(30) == 0
    with capsys.disabled():
        print(f"\n[restart] {n_rows:,} tasks, each called once, over an outage of {down_s:.1f} s")


def patient(read):
    """Ask again while the server is not all there yet: reading a result is the user's to repeat."""
    end = time.monotonic() + 60
    while True:
        try:
            return read()
        except Unavailable:
            assert time.monotonic() < end
            time.sleep(0.5)
