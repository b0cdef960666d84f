"""One fault at one request of a job's life: nothing is lost, nothing is done twice, nothing is stuck.

The worker and the client talk to the server through a proxy that spoils the chosen request. Their
time-out is a second. What came of it is read past the proxy.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace

import pandas as pd
import pytest

import oqkit as oq
from oqkit.limits import ClaimLimits, Limits, QueueLimits, WorkerLimits
from oqkit.queue import key as keys
from oqkit.testing.fault import Fault, FaultKind
from tests.chaos.fleet import check_outcomes
from tests.local import names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(60), pytest.mark.xdist_group("reply")]

N_ROWS = 120
TIMEOUT_S = 1.0

FAULTS = {
    "reply dropped": [Fault(FaultKind.DROP_REPLY, times=1)],
    "409 429 500 503": [Fault(FaultKind.STATUS, times=1, status=status) for status in (409, 429, 500, 503)],
    "reset before": [Fault(FaultKind.RESET_BEFORE, times=1)],
    "stalled": [Fault(FaultKind.STALL, times=1, delay_s=TIMEOUT_S + 0.3)],
    "applied late": [Fault(FaultKind.LATE, times=1, delay_s=0.4)],
}

#: What a request is for: method, key, and how many of its kind pass first.
POINTS = {
    "payload": ("PUT", r"/in-", 0),
    "job": ("PUT", r"/jobs/", 0),
    "marker": ("PUT", r"/open/", 0),
    "bell": ("PUT", r"/bell$", 0),
    "claim": ("PUT", r"/parts/", 0),
    "output": ("PUT", r"/out/", 0),
    "commit": ("PUT", r"/parts/", 1),
    "marker delete": ("DELETE", r"/open/", 0),
}

#: What an order writes: the job object, then its marker and bell, then the parts.
ORDER_POINTS = {
    "order": ("PUT", r"/jobs/", 0),
    "order's marker": ("PUT", r"/open/", 0),
    "part": ("PUT", r"/parts/", 0),
}

#: Reads of a worker, each refused more often than the SDK asks.
READS = {
    "list markers": ("LIST", r"/open/", 0),
    "read bell": ("GET", r"/bell$", 0),
    "read job": ("GET", r"/jobs/", 0),
    "read payload": ("GET", r"/in-", 0),
}

faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@dataclass
class Script:
    """What the function does when it is called, and the calls so far."""

    calls: Counter = field(default_factory=Counter)
    is_failing: bool = False
    gate: threading.Event = field(default_factory=threading.Event)


script = Script()


@oq.task
def act(label: str, x: int) -> dict[str, object]:
    script.calls[x] += 1
    script.gate.wait(30)
    if script.is_failing:
        raise oq.PermanentError("as told")
    return {"y": 2 * x, "text": f"{x:0200d}"}  # together too large to be stored inside the part


class Rig:
    """A worker thread and a client behind the proxy, and a view of the truth past it."""

    def __init__(self, place, proxy, upstream, limits):
        self.proxy = proxy
        self.queue = place.queue(read_timeout_s=TIMEOUT_S, limits=limits)
        self.truth = upstream.queue(poll_s=0.1)
        own = place.queue(read_timeout_s=TIMEOUT_S, poll_s=0.1, limits=limits)
        self.worker = oq.Worker(own, [act], grace_s=5)
        self._broken = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.worker.run()
        except BaseException as error:
            self._broken.append(error)

    def start(self):
        self._thread.start()

    def stop(self):
        script.gate.set()
        self.worker.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the worker stops when it is told to"
        assert self._broken == [], "and not by an error"

    def inject(self, faults, point):
        method, key, skip = point
        for n, fault in enumerate(faults):  # the first of them takes the skip, and the next ones come right after
            values = (fault.kind, method, key, fault.times, 1.0, skip if n == 0 else 0, fault.status, fault.delay_s)
            self.proxy.inject(Fault(*values))

    def submit(self, **options):
        frame = pd.DataFrame({"label": "reply", "x": range(N_ROWS)})
        return self.queue.submit_frame(frame, act, **options)

    def struck(self):
        return [exchange for exchange in self.proxy.log if exchange.fault is not None]

    def finished(self, job):
        """Return the job as the server has it, once it is over."""
        job = self.truth.job(job.id)
        job.wait(timeout=30, progress=False)
        return job

    def check_nothing_is_left(self, job, *, statuses):
        self.proxy.clear()
        self.proxy.settle()
        store = self.truth.repository.store
        until(lambda: not names_below(store, keys.OPEN), what="the markers are taken down")
        check_outcomes(self.truth, job.id, statuses=statuses)
        assert len(names_below(store, keys.JOBS)) == 1, "there is one job"
        stored = self.truth.repository.read_job(job.id).doc
        folder = self.truth.repository.keys_of(stored).folder
        assert len(names_below(store, f"{folder}in-")) == 1, "its input is there once"
        parts = [self.truth.repository.read_part(stored, index).doc for index in range(stored.n_parts)]
        named = {
            f"{part.index:07d}-{name}" for part in parts for name, inline in part.outputs.items() if inline is None
        }
        outputs = {key.rpartition("/")[2].removesuffix(".parquet") for key in names_below(store, f"{folder}out/")}
        if "cancelled" not in statuses:  # what had run by then is uploaded, for its worker cannot know
            assert outputs == named, "every output that was written counts"
        assert self._thread.is_alive(), "the worker goes on"
        self.stop()


#: What is found without a bell is found at the next listing, and what failed is tried again: sooner than in life.
QUICK = Limits(
    claim=ClaimLimits(list_every_s=1.0, together_s=0.1),
    worker=WorkerLimits(fetch_first_wait_s=0.1, fetch_longest_wait_s=1.0),
)


@pytest.fixture
def limits():
    return QUICK


@pytest.fixture
def rig(proxied, limits, caplog):
    script.__init__()
    script.gate.set()
    place, proxy = proxied
    upstream = type(place)(url=place.url, env={}, endpoint_url="http://{}:{}".format(*proxy.upstream))
    rig = Rig(place, proxy, upstream, limits)
    rig.start()
    yield rig
    rig.stop()


def check_completed(rig, job):
    result = rig.finished(job).result(timeout=1)
    assert list(result["y"]) == [2 * x for x in range(N_ROWS)]
    rig.check_nothing_is_left(job, statuses=("completed",))
    assert script.calls == Counter(range(N_ROWS)), "every row ran once, so no lease was lost"


@faults
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_job_is_done_once_when_a_write_meets_a_fault(rig, point, fault):
    rig.inject(fault, point)
    job = rig.submit(part_rows=N_ROWS)
    rig.finished(job)
    until(rig.struck, what="the fault is met")  # by the deletion of the marker soon after
    check_completed(rig, job)


@faults
@pytest.mark.parametrize("point", ORDER_POINTS.values(), ids=ORDER_POINTS)
def test_cancel_is_obeyed_once_when_a_write_meets_a_fault(rig, point, fault):
    script.gate.clear()  # the first row of the first part runs, and its lease is held
    job = rig.submit(part_rows=N_ROWS // 2)
    until(lambda: sum(script.calls.values()) > 0, what="a first call")
    rig.inject(fault, point)
    job.cancel(reason="enough")
    assert job.counts()["cancelled"] == N_ROWS, "when cancel returns, it is so"
    script.gate.set()
    rig.finished(job)
    rig.check_nothing_is_left(job, statuses=("cancelled",))
    assert len(rig.truth.repository.read_job(job.id).doc.controls) == 1, "one order"
    assert max(script.calls.values()) == 1
    assert rig.struck(), "the fault was met"


@faults
@pytest.mark.parametrize("point", ORDER_POINTS.values(), ids=ORDER_POINTS)
def test_retry_is_obeyed_once_when_a_write_meets_a_fault(rig, point, fault):
    script.is_failing = True
    job = rig.submit(part_rows=N_ROWS // 2)
    rig.finished(job)
    script.is_failing = False
    rig.inject(fault, point)
    assert job.retry() == N_ROWS
    check_completed_again(rig, job)
    assert rig.struck(), "the fault was met"


def check_completed_again(rig, job):
    until(lambda: rig.truth.job(job.id).status == "completed", what="the rows run again")
    result = rig.truth.job(job.id).result(timeout=1)
    assert list(result["y"]) == [2 * x for x in range(N_ROWS)]
    assert len(rig.truth.repository.read_job(job.id).doc.controls) == 1, "one order"
    assert script.calls == Counter(dict.fromkeys(range(N_ROWS), 2)), "every row failed once and completed once"
    store = rig.truth.repository.store
    rig.proxy.clear()
    rig.proxy.settle()
    until(lambda: not names_below(store, keys.OPEN), what="the markers are taken down")
    check_outcomes(rig.truth, job.id)
    rig.stop()


@pytest.mark.parametrize("point", READS.values(), ids=READS)
@pytest.mark.parametrize(
    "limits",  # the bell is empty: else the worker has no need to read the job
    (replace(QUICK, queue=QueueLimits(bell_bytes=0)),),
    ids=("empty bell",),
)
def test_worker_goes_on_when_reads_are_refused_for_a_while(rig, point):
    rig.inject([Fault(FaultKind.STATUS, times=7, status=503)], point)
    job = rig.submit(part_rows=N_ROWS)
    until(lambda: len(rig.struck()) >= 3, what="the SDK gives up at least once")
    check_completed(rig, job)


@pytest.mark.parametrize("status", (409, 429, 500, 503))
def test_single_task_is_done_once_when_every_write_is_refused_at_first(rig, status):
    for method, key, skip in POINTS.values():
        rig.proxy.inject(Fault(FaultKind.STATUS, method=method, key=key, times=1, skip=skip, status=status))
    task = rig.queue.submit(act, {"label": "one", "x": 7}, key="the only one")
    again = rig.queue.submit(act, {"label": "one", "x": 7}, key="the only one")
    assert task.id == again.id
    assert rig.truth.get(task.id).result(timeout=30)["y"] == 14
    assert script.calls == {7: 1}
    assert len(rig.struck()) >= 5


def test_worker_goes_on_when_the_job_cannot_be_read_after_a_commit_that_met_an_order(rig, caplog):
    script.gate.clear()
    job = rig.submit(part_rows=N_ROWS)
    until(lambda: sum(script.calls.values()) > 0, what="a first call")
    assert job.cancel([N_ROWS - 1]) == 1
    rig.inject([Fault(FaultKind.STATUS, status=503)], ("GET", r"/jobs/", 0))
    script.gate.set()
    result = rig.finished(job).result(timeout=1, errors="drop")
    assert list(result["y"]) == [2 * x for x in range(N_ROWS - 1)]
    until(lambda: "will be looked at again" in caplog.text, what="the job cannot be read")
    rig.check_nothing_is_left(job, statuses=("completed", "cancelled"))
