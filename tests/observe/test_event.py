"""What a worker tells its observers: every lease from its claim to its end, with all that became of its rows."""

from __future__ import annotations

from collections import Counter, defaultdict

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Unavailable
from oqkit.limits import Limits, QueueLimits
from oqkit.observe.event import (
    JobEnded,
    JobSubmitted,
    LeaseClaimed,
    LeaseCommitted,
    LeaseEnded,
    LeaseStarted,
    StoreFailed,
    WorkerStarted,
    WorkerStopped,
    fates,
)
from oqkit.observe.observer import Observers
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.part import Lease, cancel, claim, commit, fresh
from oqkit.queue.policy import Policy
from oqkit.queue.repository import open_repository
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from oqkit.store.memory import MemoryStore
from oqkit.task import timer

FRAME = pd.DataFrame({"x": range(100)})
SOON = {"backoff": 0.001}


def moody(x):
    if x % 10 == 3:
        raise ValueError(f"no {x}")
    if x % 10 == 4:
        raise oq.PermanentError("never")
    if x % 10 == 5:
        raise oq.Skip("empty")
    return x


def watched(queue, function, **options):
    """Let one worker do all there is, and return what it told."""
    told = []
    oq.Worker(queue, [function], observers=[told.append], **options).run(until_idle=True)
    return told


def of_kind(told, kind):
    return [event for event in told if isinstance(event, kind)]


def leases(told):
    """Return the events of each lease, in order."""
    found = defaultdict(list)
    for event in told:
        if isinstance(event, LeaseClaimed | LeaseStarted | LeaseCommitted | LeaseEnded):
            found[event.lease].append(event)
    return found


def test_every_lease_is_told_of_from_its_claim_to_its_end_and_with_every_outcome(queue):
    before = queue.repository.now()
    job = queue.submit_frame(FRAME, moody, retries=1, part_rows=25, tags={"team": "a"}, **SOON)
    told = watched(queue, moody, name="w")
    assert isinstance(told[0], WorkerStarted)
    assert (told[0].types, told[0].concurrency) == (("moody",), 1)
    assert isinstance(told[-1], WorkerStopped)
    assert {event.worker for event in told} == {"w"}
    assert before <= min(event.at for event in told) <= max(event.at for event in told) <= queue.repository.now()

    fate, n_leases = Counter(), 0
    for events in leases(told).values():
        n_leases += 1
        first, start, *commits, last = events
        assert first.at <= min(one.at for one in commits) <= max(one.at for one in commits) <= last.at
        assert (type(first), type(start), type(last)) == (LeaseClaimed, LeaseStarted, LeaseEnded)
        assert first.at <= start.at <= last.at
        assert all(isinstance(one, LeaseCommitted) for one in commits)
        assert (first.job.id, first.job.tags, first.job.type) == (job.id, {"team": "a"}, "moody")
        assert first.rows.first // 25 == first.part == last.part
        committed = [row for one in commits for rows in one.rows.values() for row in rows]
        assert sorted(committed) == list(first.rows)
        assert last.n_finished == len(committed)
        assert not last.is_lost
        assert sum(one.run_s for one in commits) == pytest.approx(last.run_s, abs=1e-3)
        fate.update({verb: len(rows) for one in commits for verb, rows in one.rows.items()})
    assert fate == {Verb.COMPLETE: 80, Verb.RETRY: 10, Verb.FAIL: 20}
    assert n_leases >= 8
    failures = [one.failures for one in of_kind(told, LeaseCommitted)]
    assert Counter(failure.type for each in failures for failure in each.values()) == {
        "ValueError": 20,
        "PermanentError": 10,
    }
    assert all(failure.message == f"no {row}" for each in failures for row, failure in each.items() if row % 10 == 3)
    (end,) = of_kind(told, JobEnded)
    assert end.job.id == job.id
    assert end.at >= max(one.at for one in of_kind(told, LeaseCommitted))


def test_value_that_cannot_be_stored_is_told_of_as_a_failure(queue):
    def odd(x):
        return object() if x == 7 else x

    queue.submit_frame(FRAME, odd, part_rows=100)
    (one,) = of_kind(watched(queue, odd), LeaseCommitted)
    assert {verb: list(rows) for verb, rows in one.rows.items() if verb is not Verb.COMPLETE} == {Verb.FAIL: [7]}
    assert list(one.failures) == [7]


def test_batches_and_coroutines_are_told_of_alike(queue):
    async def later(x):
        return x

    @oq.task(batch=True)
    def whole(frame):
        return frame["x"]

    for function in (later, whole):
        queue.submit_frame(FRAME, function, part_rows=50)
        told = watched(queue, function)
        rows = [row for one in of_kind(told, LeaseCommitted) for row in one.rows[Verb.COMPLETE]]
        assert sorted(rows) == list(range(100))
        assert sum(one.n_finished for one in of_kind(told, LeaseEnded)) == 100


def test_inputs_that_are_damaged_fail_rows_that_never_ran(queue):
    job = queue.submit_frame(FRAME, moody, part_rows=50)
    (key,) = [
        entry.key for page in queue.repository.store.list_all("work/") for entry in page.entries if "/in-" in entry.key
    ]
    queue.repository.store.overwrite(key, b"no Parquet")
    told = watched(queue, moody)
    assert sum(len(one.rows[Verb.FAIL]) for one in of_kind(told, LeaseCommitted)) == 100
    assert [one.run_s for one in of_kind(told, LeaseEnded)] == [None, None]
    assert all(len(events) == 3 for events in leases(told).values())
    assert job.counts()["failed"] == 100


def test_lease_that_was_taken_over_ends_as_lost_and_nothing_of_it_is_told_as_committed(queue):
    def overtaken(x):
        job.cancel()
        return x

    job = queue.submit_frame(FRAME[:1], "overtaken")
    told = watched(queue, overtaken)
    (end,) = of_kind(told, LeaseEnded)
    assert end.is_lost
    assert of_kind(told, LeaseCommitted) == []
    assert job.counts()["cancelled"] == 1


class RefusingStore(MemoryStore):
    """Refuses what is named in `refused`, as (verb, what is in the key), until a worker tells of trouble or gives up a lease."""

    refused = frozenset()

    def hear(self, event):
        if isinstance(event, StoreFailed | LeaseEnded):
            self.refused = frozenset()

    def _refuse(self, verb, key):
        if any(verb == one and part in key for one, part in self.refused):
            raise Unavailable(f"{verb} {key}: not now")

    def list(self, prefix, **options):
        self._refuse("list", prefix)
        return super().list(prefix, **options)

    def create(self, key, data):
        self._refuse("create", key)
        return super().create(key, data)

    def replace(self, key, data, *, etag):
        self._refuse("replace", key)
        return super().replace(key, data, etag=etag)

    def read(self, key):
        self._refuse("read", key)
        return super().read(key)


FETCHING, CLAIMING, READING, COMMITTING = (
    ("list", "open/"),
    ("create", "/parts/"),
    ("read", "/in-"),
    ("replace", "/parts/"),
)


@pytest.mark.parametrize(
    ("refused", "is_told", "n_lost"),
    (
        ({FETCHING}, True, 0),
        ({CLAIMING}, True, 0),
        ({READING}, False, 0),  # the rows go back at once
        ({READING, COMMITTING}, True, 1),  # they cannot go back, and the lease runs out
        ({COMMITTING}, True, 0),
    ),
    ids=("fetching", "claiming", "reading", "handing back", "committing"),
)
def test_store_that_fails_is_told_of_and_every_lease_has_an_end(refused, is_told, n_lost):
    store = RefusingStore()
    limits = Limits(queue=QueueLimits(patience_s=0.05))
    queue = Queue(open_repository(store, limits=limits), Settings(url=store.url))
    job = queue.submit_frame(FRAME, moody, retries=0, part_rows=100)
    store.refused = refused
    told = []
    oq.Worker(queue, [moody], observers=[store.hear, told.append], lease_s=1.0).run(until_idle=True)
    failed = of_kind(told, StoreFailed)
    assert {type(one.error) for one in failed} == ({Unavailable} if is_told else set())
    assert {bool(one.lease) for one in failed} <= {refused == {COMMITTING}}
    for events in leases(told).values():
        kinds = [type(event) for event in events if not isinstance(event, LeaseCommitted | LeaseStarted)]
        assert kinds == [LeaseClaimed, LeaseEnded]
    assert sum(one.is_lost for one in of_kind(told, LeaseEnded)) == n_lost
    assert sum(one.n_finished for one in of_kind(told, LeaseEnded)) == 100
    assert job.status == "failed"


def test_lease_of_a_job_that_is_put_aside_has_an_end_too(queue, monkeypatch):
    def break_down(codec, job, index):
        raise ZeroDivisionError("nobody foresaw this")

    queue.submit_frame(FRAME, moody, part_rows=100)
    monkeypatch.setattr(ParquetCodec, "open", break_down)
    (events,) = leases(watched(queue, moody)).values()
    assert [type(event) for event in events] == [LeaseClaimed, LeaseEnded]
    assert (events[-1].n_finished, events[-1].run_s, events[-1].is_lost) == (0, None, False)


def test_pace_of_a_function_is_learned_from_what_is_told(queue, monkeypatch):
    learned = []
    monkeypatch.setattr(timer.RowTimer, "learn", lambda self, job, **what: learned.append((job.type, what)))
    queue.submit_frame(FRAME, moody, retries=0, part_rows=100)
    (end,) = of_kind(watched(queue, moody), LeaseEnded)
    assert learned == [("moody", {"n_rows": 100, "elapsed_s": end.run_s})]


def test_worker_reports_how_many_rows_it_worked_off(queue):
    queue.submit_frame(FRAME, moody, retries=0, part_rows=30)
    watched(queue, moody)
    assert queue.workers()["rows"].tolist() == [100]


# --- what became of rows -------------------------------------------------------------------------


def claimed(n, *, retries):
    policy = Policy(retries=retries)
    part = fresh("j", 0, n_rows=n, gen=1)
    lease = Lease(id="l", worker="w", expires=100.0)
    return claim(part, lease, max_rows=n, now=0.0, policy=policy, chance=0.0, limits=QueueLimits()), policy


@pytest.mark.parametrize(("retries", "verb"), ((0, Verb.FAIL), (1, Verb.RETRY)))
def test_retry_too_many_is_a_failure(retries, verb):
    part, policy = claimed(10, retries=retries)
    outcomes = [Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 6)), Outcome(verb=Verb.RETRY, rows=Rows.span(6, 10))]
    part = commit(part, "l", Commit(outcomes=outcomes), now=1.0, policy=policy, chance=0.0, lease_s=60.0)
    assert fates(part, outcomes) == {Verb.COMPLETE: Rows.span(0, 6), verb: Rows.span(6, 10)}


def test_outcome_of_what_was_cancelled_meanwhile_is_not_used():
    part, policy = claimed(10, retries=0)
    part = cancel(part, Rows.span(0, 3), now=0.5, statuses=frozenset({Status.RUNNING}))
    outcomes = [Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 10))]
    part = commit(part, "l", Commit(outcomes=outcomes), now=1.0, policy=policy, chance=0.0, lease_s=60.0)
    assert fates(part, outcomes) == {Verb.CANCEL: Rows.span(0, 3), Verb.COMPLETE: Rows.span(3, 10)}


# --- what it costs -------------------------------------------------------------------------------


def test_nothing_is_made_of_rows_and_commits_where_nobody_listens(queue, monkeypatch):
    """But for the ends of leases, of which the worker itself wants to know."""
    asked, made, tell = set(), [], Observers.tell

    def watch(self, kind, make):
        asked.add(kind)
        tell(self, kind, lambda: made.append(kind) or make())

    monkeypatch.setattr(Observers, "tell", watch)
    queue.submit_frame(FRAME, moody, retries=0, part_rows=10)
    oq.Worker(queue, [moody]).run(until_idle=True)
    assert asked == {
        JobSubmitted,
        WorkerStarted,
        LeaseClaimed,
        LeaseStarted,
        LeaseCommitted,
        LeaseEnded,
        JobEnded,
        WorkerStopped,
    }
    assert Counter(made) == {LeaseEnded: 10}


def test_telling_sends_no_request():
    requests = []
    for observers in ([], [lambda event: None]):
        store = MemoryStore()
        store.poll_s = 1_000.0  # so that time sends none either
        queue = Queue(open_repository(store), Settings(url=store.url))
        queue.submit_frame(FRAME, moody, retries=0, part_rows=10)
        before = store.requests.snapshot()
        oq.Worker(queue, [moody], observers=observers).run(until_idle=True)
        requests.append(store.requests.snapshot() - before)
    assert requests[0] == requests[1]
