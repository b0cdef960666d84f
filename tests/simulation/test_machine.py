"""The queue as its users see it, beside a model that is a list of rows.

Submit, claim, commit, fail, expire, cancel, retry, pause, resume, collect.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oqkit.claim.lease import HeldLease
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import DuplicateJob, IllegalTransition, LeaseLost, UsageError
from oqkit.limits import ClaimLimits
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.key import task_id
from oqkit.queue.policy import Backoff
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure
from oqkit.worker.buffer import Results
from tests.queue.faulty import World
from tests.simulation.model import WAIT_S, ModelJob, ModelLease, Row

pytestmark = pytest.mark.timeout(600)
N_EXAMPLES = int(os.environ.get("OQ_MACHINE_EXAMPLES", "40"))
"""Of fifty steps each."""

LEASE_S = 60.0
ABOUT_S = 0.5
"""Conflicts wait a little, so a claim and its being followed are not at the same time."""
FINAL = ("completed", "failed", "cancelled", "expired")


class QueueMachine(RuleBasedStateMachine):
    """Two workers, one person, and a clock."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed):
        self.world = World(seed=seed)
        self.queue = self.client()
        self.workers = [self.world.worker(f"w{n}", lease_s=LEASE_S, max_rows=n + 2) for n in range(2)]
        self.codec = ParquetCodec(self.world.repository())
        self.jobs: list[ModelJob] = []
        self.held: list[tuple[ModelJob, HeldLease]] = []

    def client(self) -> Queue:
        return Queue(self.world.repository(), Settings(url="memory://"))

    @property
    def now(self) -> float:
        return self.workers[0].repository.now()  # within a microsecond of what every client takes it for

    # --- submit ----------------------------------------------------------------------------------

    @rule(
        n=st.integers(1, 7),
        part_rows=st.integers(1, 4),
        retries=st.integers(0, 2),
        max_losses=st.integers(1, 2),
        name=st.sampled_from(["", "one", "two"]),
        delay=st.sampled_from([0.0, 0.0, 30.0]),
        ttl=st.sampled_from([None, None, 50.0]),
    )
    def somebody_submits(self, n, part_rows, retries, max_losses, name, delay, ttl):
        values = [{"job": len(self.jobs), "x": x} if not name else {"job": name, "x": x} for x in range(n)]
        options = {"retries": retries, "max_losses": max_losses}
        options |= {"backoff": Backoff(initial_s=WAIT_S, factor=1.0, jitter=0.0)}
        options |= {"delay": delay} if delay else {}
        options |= {"ttl": ttl} if ttl else {}
        content = (n, retries, max_losses, delay, ttl)
        known = next((job for job in self.jobs if name and job.key == name), None)
        if known is not None and known.content != content:
            with pytest.raises(DuplicateJob):
                self.queue.map("score", values, name=name, part_rows=part_rows, **options)
            return
        job = self.queue.map("score", values, name=name or None, part_rows=part_rows, **options)
        if known is not None:
            assert job.id == known.id, "the same work under the same name is the same job"
            return
        model = ModelJob(
            id=job.id,
            part_rows=part_rows,
            retries=retries,
            max_losses=max_losses,
            not_before=self.now + delay if delay else 0.0,
            expires_at=self.now + ttl if ttl else float("inf"),
            key=name,
            content=content,
            rows=[Row() for _ in range(n)],
        )
        assert all(job.id != other.id for other in self.jobs)
        self.jobs.append(model)

    # --- claim, commit ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0, 31.0, 61.0]))
    def time_passes(self, seconds):
        self.world.clock.sleep(seconds)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 1), wait_s=st.sampled_from([0.0, 1.0, 6.0, LEASE_S + 1.0]))
    def worker_claims(self, which, wait_s):
        """At once or after a while; then it also waits until there may be something, as workers do."""
        if wait_s:
            self.world.clock.sleep(wait_s + self.workers[which].claimer.wait_s())
        lease = self.workers[which].find()
        if lease is not None:
            model = next(job for job in self.jobs if job.id == lease.job.id)
        self.time_has_told()
        if lease is None:
            return
        rows = list(lease.rows.numbers())
        assert rows
        part = model.part(lease.index)
        chosen = [part[local] for local in rows]
        assert len({row.is_suspect for row in chosen}) == 1, "suspects are not mixed with others"
        assert len(chosen) <= min(row.most(len(part)) for row in chosen), "the more suspicious, the fewer at stake"
        for row in chosen:
            assert row.status == "pending", "only pending rows are claimed"
            self.check_pause(model, lease)
            assert max(row.due, model.not_before) <= self.now + ABOUT_S
            assert self.now < model.expires_at + ABOUT_S or row.is_reopened
            row.status, row.lease, row.due = "running", lease.id, 0.0
            row.attempt, row.used = row.attempt + 1, row.used + 1
        model.leases[lease.id] = ModelLease(part=lease.index, expires=self.now + LEASE_S)
        self.held.append((model, lease))

    @precondition(lambda self: self.jobs)
    @rule()
    def all_workers_claim(self):
        for which in range(len(self.workers)):
            self.worker_claims(which=which, wait_s=1.0)

    def check_pause(self, model, lease):
        """Part 0 was told of the pause; who works on another part learns of it when it next looks at the markers."""
        knows = lease.index == 0 or self.now > model.paused_at + ClaimLimits().list_every_s + ABOUT_S
        is_sure = model.is_paused(self.now + ABOUT_S)  # one that has just ended, or is about to, is none
        assert not (knows and is_sure), "a paused job starts nothing"

    def time_has_told(self):
        """A claim also settles what is overdue in the parts it meets: follow it where it did."""
        for model in self.jobs:
            for part in self.parts(model):
                live = {lease.id for lease in part.leases}
                for lease, held in list(model.leases.items()):
                    if held.part == part.index and lease not in live:
                        assert held.expires <= self.now + ABOUT_S, (
                            "a lease is taken from its holder only when it has run out"
                        )
                        model.lose(lease, self.now)
                for row, run in zip(model.part(part.index), expanded(part), strict=True):
                    if run.status == "expired" and row.status == "pending":
                        assert model.expires_at <= self.now + ABOUT_S
                        assert not row.is_reopened
                        row.status, row.due = "expired", 0.0

    @precondition(lambda self: self.held)
    @rule(data=st.data(), is_last=st.booleans(), is_certain=st.booleans())
    def worker_commits(self, data, is_last, is_certain):
        model, lease = data.draw(st.sampled_from(self.held), label="lease")
        mine = list(lease.rows.numbers())
        verbs = [Verb.COMPLETE, Verb.COMPLETE, Verb.RETRY, Verb.FAIL, Verb.RESCHEDULE, Verb.LOSE, Verb.RELEASE, None]
        fates = {local: data.draw(st.sampled_from(verbs), label=f"row {local}") for local in mine}
        if self.commit(model, lease, fates, is_last=is_last, is_certain=is_certain):
            self.follow(model, lease, fates, is_last=is_last, is_certain=is_certain)
        if is_last or lease.id not in model.leases:
            self.held.remove((model, lease))

    def commit(self, model, lease, fates, *, is_last, is_certain) -> bool:
        done = [local for local, verb in fates.items() if verb is Verb.COMPLETE]
        bad = [local for local, verb in fates.items() if verb in (Verb.RETRY, Verb.FAIL)]
        failures = {
            local: Failure(type="ValueError", message="no", traceback="", attempt=1, worker="w") for local in bad
        }
        values = [self.value(model, lease, local) for local in done]
        results = Results(rows=Rows.of(done), values=values, failures=failures)
        output, _ = self.codec.pack(results, refuse=None, inline_bytes=lease.inline_bytes)
        outcomes = [
            Outcome(verb=verb, rows=Rows.of(rows), delay_s=20.0, is_certain=is_certain)
            for verb in (Verb.COMPLETE, Verb.RETRY, Verb.FAIL, Verb.RESCHEDULE, Verb.LOSE)
            if (rows := [local for local, one in fates.items() if one is verb])
        ]
        release = Rows.of(local for local, verb in fates.items() if verb is Verb.RELEASE)
        is_lost = lease.id not in model.leases
        try:
            if isinstance(output, bytes):
                lease.put_output(output)
            lease.commit(Commit(outcomes=outcomes, output=output, release=release, is_last=is_last))
        except LeaseLost:
            assert is_lost, "a lease that nobody took is not lost"
            return False
        assert not is_lost, "a lease that is lost commits nothing"
        return True

    def value(self, model, lease, local) -> dict:
        return {"row": lease.index * model.part_rows + local, "by": lease.id}

    def follow(self, model, lease, fates, *, is_last, is_certain):
        for local, row in enumerate(model.part(lease.index)):
            if row.lease != lease.id:
                continue
            verb = fates.get(local) or (Verb.RELEASE if is_last else None)
            if verb is None:
                continue
            row.lease, row.lost = "", row.lost if verb is Verb.RELEASE else 0
            if verb is Verb.COMPLETE:
                row.value = self.value(model, lease, local)
            model.end(row, verb, self.now, is_certain=is_certain)
        if all(row.lease != lease.id for row in model.part(lease.index)):
            del model.leases[lease.id]
        else:
            model.leases[lease.id].expires = self.now + LEASE_S

    @precondition(lambda self: self.lonely())
    @rule(data=st.data())
    def worker_runs_a_row_alone(self, data):
        model, lease = data.draw(st.sampled_from(self.lonely()), label="lease")
        try:
            lease.commit(Commit(is_alone=True))
        except LeaseLost:
            assert lease.id not in model.leases, "a lease that nobody took is not lost"
            return
        held = model.leases[lease.id]
        held.expires, held.is_alone = self.now + LEASE_S, True

    def lonely(self):
        return [(model, lease) for model, lease in self.held if len(lease.rows) == 1]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def worker_dies(self, data):
        self.held.remove(data.draw(st.sampled_from(self.held), label="lease"))

    # --- orders ----------------------------------------------------------------------------------

    def chosen(self, data, model, words) -> tuple[object, set[int]]:
        rows = data.draw(st.sets(st.integers(0, len(model.rows) - 1), min_size=1), label="rows")
        where = data.draw(st.sampled_from(["rows", "rows", *words]), label="where")
        return (sorted(rows), rows) if where == "rows" else (where, set(range(len(model.rows))))

    def opened(self, model):
        """Return a handle of a job; who has one settles what is overdue there: follow that."""
        job = self.client().job(model.id)
        job.counts()
        self.time_has_told()
        return job

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_cancels(self, data):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        job = self.opened(model)
        where, rows = self.chosen(data, model, ("all", "pending", "running"))
        statuses = {where} if where in ("pending", "running") else {"pending", "running"}
        hit = [model.rows[n] for n in rows if model.rows[n].status in statuses]
        assert job.cancel(where) == len(hit)
        if where in ("all", "pending") or where == list(
            range(len(model.rows))
        ):  # all rows by their numbers are the job
            model.paused_until = 0.0
        leases = {row.lease for row in hit} - {""}
        for row in hit:
            row.status, row.lease, row.due = "cancelled", "", 0.0
        for lease in leases - {row.lease for row in model.rows}:
            del model.leases[lease]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_cancels_one_task(self, data):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        self.opened(model)
        number = data.draw(st.integers(0, len(model.rows) - 1), label="row")
        row, task = model.rows[number], self.client().get(task_id(model.id, number))
        if row.status in ("completed", "failed", "expired"):
            with pytest.raises(IllegalTransition):
                task.cancel()
            return
        task.cancel()
        lease, row.lease = row.lease, ""
        row.status, row.due = "cancelled", 0.0
        if len(model.rows) == 1:
            model.paused_until = 0.0
        if lease and all(other.lease != lease for other in model.rows):
            del model.leases[lease]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_retries(self, data):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        job = self.opened(model)
        where, rows = self.chosen(data, model, ("failed", "cancelled", "expired", "all"))
        statuses = {where} if where in FINAL else {"failed", "cancelled", "expired"}
        hit = [model.rows[n] for n in rows if model.rows[n].status in statuses]
        assert job.retry(where) == len(hit)
        for row in hit:
            row.status, row.used, row.due, row.is_reopened = "pending", 0, 0.0, True
            row.lost = row.deaths = 0

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), for_s=st.sampled_from([None, 5.0, 40.0]))
    def somebody_pauses(self, data, for_s):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        job = self.opened(model)
        if all(row.status in FINAL for row in model.rows):
            with pytest.raises(UsageError, match="has ended"):
                job.pause(resume_after=for_s)
            return
        job.pause(resume_after=for_s)
        model.paused_at = self.now
        model.paused_until = float("inf") if for_s is None else self.now + for_s

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_resumes(self, data):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        job = self.opened(model)
        job.resume()
        model.paused_until = 0.0

    # --- what everybody sees ---------------------------------------------------------------------

    def parts(self, model):
        repository = self.world.repository()
        job = repository.read_job(model.id).doc
        return [repository.read_part(job, index).doc for index in range(job.n_parts)]

    @invariant()
    def parts_say_what_the_model_says(self):
        for model in self.jobs if hasattr(self, "jobs") else ():
            for part in self.parts(model):
                rows = model.part(part.index)
                real = [(str(r.status), r.attempt, r.used, r.lost, r.deaths, r.lease) for r in expanded(part)]
                assert real == [(r.status, r.attempt, r.used, r.lost, r.deaths, r.lease) for r in rows]
                alone = {one.id for one in part.leases if one.is_alone}
                assert alone == {one for one, held in model.leases.items() if held.part == part.index and held.is_alone}
                assert [r.due for r in expanded(part)] == pytest.approx([r.due for r in rows], abs=ABOUT_S)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def somebody_looks(self, data):
        model = data.draw(st.sampled_from(self.jobs), label="job")
        job = self.opened(model)
        counts = job.counts()
        assert {status: n for status, n in counts.items() if n} == model.counts()
        assert sum(counts.values()) == len(job) == len(model.rows)
        assert job.done() == all(row.status in FINAL for row in model.rows)
        if not job.done() and job.status != "cancelling" and abs(model.paused_until - self.now) > ABOUT_S:
            assert (job.status == "paused") == model.is_paused(self.now)
        frame = job.partial()
        done = {number: row.value for number, row in enumerate(model.rows) if row.status == "completed"}
        assert list(frame.index) == list(done)
        if done:
            assert frame.to_dict("index") == done
        failed = [number for number, row in enumerate(model.rows) if row.status == "failed"]
        assert sorted(job.errors()["row"]) == failed
        assert list(job.tasks()["attempt"]) == [row.attempt for row in model.rows]

    def teardown(self):
        """Whatever happened: workers find all that is left, and take the markers down."""
        if not hasattr(self, "jobs"):
            return
        for model in self.jobs:
            self.client().job(model.id).resume()
        self.world.clock.sleep(LEASE_S + 31.0)
        worker = self.world.worker("last", lease_s=LEASE_S)
        worker.drain(until_s=7200.0, idle_s=600.0)
        for model in self.jobs:
            assert all(part.is_final for part in self.parts(model))
            assert self.client().job(model.id).done()
        assert self.world.markers() == []


def expanded(part):
    return [one.state for one in part.stretches() for _ in range(one.n_rows)]


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=N_EXAMPLES, stateful_step_count=50, suppress_health_check=list(HealthCheck)
)
