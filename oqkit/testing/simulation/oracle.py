"""What must hold: every write is judged as it is applied, every answer as it is given.

The oracle sees the bucket from inside. It knows each row's present state, who was given which
lease, which executions there were, and what each caller was told; the code under test sees nothing
of it. Rows are compared one by one, in words of their own: none of the queue's transitions is used.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from oqkit.errors import LeaseLost, OqError
from oqkit.frame.outcome import Outcomes, decode_inline, decode_outcomes
from oqkit.frame.value import decode_values
from oqkit.queue import key as keys
from oqkit.queue.document import load_job, load_part
from oqkit.queue.job import ControlVerb, Job
from oqkit.queue.part import MAX_LEASES, Lease, Part, output_id
from oqkit.queue.run import Run
from oqkit.queue.transition import Status
from oqkit.testing.simulation.bucket import Bucket, Write
from oqkit.testing.simulation.kernel import Node, current

PENDING, RUNNING, COMPLETED, FAILED = Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.FAILED
CANCELLED, EXPIRED = Status.CANCELLED, Status.EXPIRED


class Violation(AssertionError):
    """Something happened that must not. `rule` names what."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


@dataclass(slots=True)
class Call:
    """One read-modify-write as its caller sees it, and which of its writes were applied."""

    what: str
    node: Node
    is_own: bool
    """Whether only a write of its own can be what it is told of."""
    landed: list[str] = field(default_factory=list)
    lease: str = ""
    told: str = ""
    """``ok``, ``no`` (certainly not applied), ``unknown``, or empty: not told yet."""


@dataclass(slots=True)
class Grant:
    """A lease that was given."""

    node: Node
    given_s: float
    has_ended: bool = False
    """Whether it was ever ended, also if the same caller, not knowing of it, took it once more."""


@dataclass(frozen=True, slots=True)
class Run_:
    """One execution of one row."""

    job: str
    row: int
    node: Node
    at_s: float


class Oracle:
    """Watches a bucket. The first violation is raised where it happens and kept in `violation`."""

    def __init__(self, bucket: Bucket, *, lease_s: float) -> None:
        self.bucket = bucket
        self.lease_s = lease_s
        self.violation: Violation | None = None
        self.n_writes = 0
        self.n_executions = 0
        self.n_takeovers = 0
        self.jobs: dict[str, Job] = {}
        self.parts: dict[str, Part] = {}
        self.executions: list[Run_] = []
        self.committed: dict[tuple[str, int], int] = {}
        """(job, row) to the execution whose value was recorded."""
        self.raised: Counter[tuple[str, int, str]] = Counter()
        self.announced: dict[str, int] = {}
        """Job to the highest generation that a marker was put up for."""
        self.values: dict[int, Any] = {}
        self._touched: dict[tuple[str, int], set[int]] = {}
        """(job, generation) to the parts that had an object when that order was given."""
        self._ops: set[str] = set()
        self._grants: dict[str, Grant] = {}
        self._holds: dict[tuple[str, int, str], str] = {}
        """(job, row, node) to the lease under which the node may run the row, as far as its own writes say."""
        self._ran: set[tuple[str, int, str]] = set()
        self._outputs: dict[str, Outcomes] = {}
        self._markers: defaultdict[str, set[str]] = defaultdict(set)
        bucket.watcher = self

    def fail(self, rule: str, message: str) -> None:
        """Note a violation and end the schedule."""
        if self.violation is None:
            self.violation = Violation(rule, f"{message} (at {self.bucket.kernel.now:.3f} s)")
            self.bucket.kernel.is_over = True

    def expect(self, claim: object, rule: str, message: str) -> None:
        """Note a violation unless `claim` is true."""
        if not claim:
            self.fail(rule, message)

    # --- what callers are told -------------------------------------------------------------------

    @contextmanager
    def call(self, what: str, node: Node, *, is_own: bool) -> Iterator[Call]:
        """Watch one read-modify-write; the caller of this says what was told, errors say it themselves."""
        task, call = current(), Call(what, node, is_own)
        before, task.context = task.context, call
        try:
            yield call
        except LeaseLost:
            call.told = "no"
            raise
        except OqError:
            call.told = "unknown"
            raise
        finally:
            task.context = before
            if not node.is_dead:
                self._told(call)

    def _told(self, call: Call) -> None:
        over = call.lease in self._grants and self._grants[call.lease].has_ended
        n = len(call.landed)
        if call.told == "ok":
            self.expect(n or not call.is_own, "told ok but not in history", call.what)
            self.expect(n <= 1 or over, "applied twice", f"{call.what}: {call.landed}")
        if call.told == "no":
            self.expect(n == 0 or over, "told lost but in history", f"{call.what}: {call.landed}")

    # --- writes ----------------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """Judge a write that was applied."""
        self.n_writes += 1
        key = write.key
        if key.startswith(keys.JOBS):
            self._wrote_job(write)
        elif key.startswith(keys.OPEN):
            self._wrote_marker(write)
        elif "/parts/" in key:
            self._wrote_part(write)
        elif "/out/" in key or "/in-" in key:
            self.expect(write.data is None or write.old is None, "payload overwritten", key)

    def _landed(self, write: Write, op: str, *, is_evident: bool = True) -> None:
        self.expect(op and op not in self._ops, "op not fresh", f"{write.key} {op!r}")
        self._ops.add(op)
        if isinstance(write.call, Call) and is_evident:
            told = write.call.told
            self.expect(told not in ("ok", "no"), "landed after it was settled", f"{write.call.what}, told {told}")
            write.call.landed.append(op)

    def _wrote_job(self, write: Write) -> None:
        if write.data is None:
            return self.fail("job deleted", write.key)
        new = load_job(write.data, key=write.key)
        old = self.jobs.get(new.id)
        self.jobs[new.id] = new
        self._landed(write, new.op)
        self.expect(new.rev == (old.rev if old else 0) + 1, "rev", f"{write.key}: {old and old.rev} -> {new.rev}")
        if old is None:
            self.expect(write.old is None, "job overwritten", write.key)
            self._check_inputs(new)
            return None
        n = len(old.controls)
        self.expect(new.controls[:n] == old.controls, "control lost", write.key)
        self.expect(len(new.controls) <= n + 1, "many controls", write.key)
        self._touched[new.id, new.gen] = {part.index for part in self.parts_of(new) if part.rev}
        same = replace(new, rev=old.rev, op=old.op, controls=old.controls, code=old.code)
        self.expect(same == old, "job changed", write.key)
        return None

    def _check_inputs(self, job: Job) -> None:
        for key, *_ in job.input.get("files", ()):
            self.expect(self.bucket.data(key) is not None, "job without inputs", f"{job.id}: {key}")

    # --- markers ---------------------------------------------------------------------------------

    def _wrote_marker(self, write: Write) -> None:
        try:
            marker = keys.parse_marker(write.key)
        except OqError:
            return
        if write.data is None:
            self._markers[marker.job].discard(write.key)
            self.check_markers(marker.job, f"after {write.node.name} took down {write.key}")
            return
        self._markers[marker.job].add(write.key)
        self.expect(marker.job in self.jobs, "marker before its job", write.key)
        self.announced[marker.job] = max(self.announced.get(marker.job, 0), marker.gen)

    def check_markers(self, job_id: str, when: str) -> None:
        """A job that was announced and has open tasks has a marker."""
        job, gen = self.jobs.get(job_id), self.announced.get(job_id, 0)
        if job is None or self._markers[job_id] or not gen:
            return
        told = replace(job, controls=job.controls[: gen - 1])
        for part in self.parts_of(job):
            if part.gen > gen:
                continue  # somebody met an order whose giver has yet to put up the marker
            rows = [_ordered(one, told, part, row) for row, one in enumerate(_rows(part))]
            if any(not status.is_final for status, _ in rows):
                self.fail("no marker", f"job {job_id} has work in part {part.index} but no marker {when}")

    def parts_of(self, job: Job) -> list[Part]:
        """Return the parts of a job as they are now."""
        shard = keys.shard_of(job.id, 1)
        names = keys.JobKeys(job=job.id, shard=shard, created=job.created)
        return [self.parts.get(names.part(index)) or job.fresh_part(index) for index in range(job.n_parts)]

    # --- parts -----------------------------------------------------------------------------------

    def _wrote_part(self, write: Write) -> None:
        if write.data is None:
            return self.fail("part deleted", write.key)
        new = load_part(write.data, key=write.key)
        job = self.jobs.get(new.job)
        if job is None:
            return self.fail("part without a job", write.key)
        old = self.parts.get(write.key) or job.fresh_part(new.index)
        self.parts[write.key] = new
        step = _Step(self, write, job, old, new)
        self._landed(write, new.op, is_evident=step.is_evident())
        self.expect(new.rev == old.rev + 1, "rev", f"{write.key}: {old.rev} -> {new.rev}")
        self.expect(old.gen <= new.gen <= job.gen, "gen", f"{write.key}: {old.gen} -> {new.gen} of {job.gen}")
        self.expect((new.index, new.n_rows) == (old.index, old.n_rows), "part changed", write.key)
        self._check_counts(write.data, new)
        step.check()
        return None

    def _check_counts(self, data: bytes, part: Part) -> None:
        fold = Counter(str(one.status) for one in _rows(part))
        self.expect(json.loads(data)["counts"] == dict(fold), "counts", f"{part.job}/{part.index}")

    def grant(self, lease: Lease) -> Grant | None:
        """Return what is known of a lease."""
        return self._grants.get(lease.id)

    # --- what people are told --------------------------------------------------------------------

    def check_acked(self, job_id: str) -> None:
        """A job whose submission was acknowledged has been announced to workers."""
        self.expect(self.announced.get(job_id), "acknowledged without a marker", job_id)

    def check_order(self, job_id: str, gen: int, *, is_cancel: bool) -> None:
        """An order that was acknowledged is carried out: in each part it means that had an object, a cancel in all."""
        job, touched = self.jobs[job_id], self._touched.get((job_id, gen), set())
        rows = job.controls[gen - 2].rows if gen > 1 else ()
        for part in self.parts_of(job):
            first = part.index * job.part_rows
            is_meant = rows is None or any(start < first + part.n_rows and first < stop for start, stop in rows)
            if is_meant and (part.index in touched or is_cancel):
                self.expect(part.gen >= gen, "order not carried out", f"{job_id}/{part.index}: {part.gen}")

    def check_end(self, job: Job, number: int, one: Run) -> None:
        """A task has ended as it may."""
        which = f"{job.id}.{number}"
        raised = {
            fate for fate in ("raise", "permanent", "reschedule", "crash", "slow") if self.raised[job.id, number, fate]
        }
        self.expect(one.status.is_final, "not final", which)
        if one.status is FAILED:
            is_used_up = one.used > job.policy.retries
            self.expect(raised or is_used_up, "failed for no reason", f"{which}: {one.used} attempts")
        if one.status is CANCELLED:
            self.expect(any(it.verb is ControlVerb.CANCEL for it in job.controls), "cancelled unasked", which)
        if one.status is EXPIRED:
            self.expect(job.policy.expires_at is not None, "expired unasked", which)

    def put_behind(self, marker: keys.Marker) -> None:
        """Put up a marker behind everybody's back."""
        self.bucket.put(marker.key, b"", modified_s=self.bucket.now())
        self._markers[marker.job].add(marker.key)

    # --- executions ------------------------------------------------------------------------------

    def execute(self, node: Node, job_id: str, row: int, *, is_batch: bool) -> int:
        """Note that a node begins to run a row, and return the number of this execution."""
        self.n_executions += 1
        lease = self._holds.get((job_id, row, node.name), "")
        self.expect(lease, "ran without a lease", f"{job_id}.{row} on {node.name}")
        is_again = (job_id, row, lease) in self._ran
        self.expect(is_batch or not is_again, "ran twice under one lease", f"{job_id}.{row} {lease}")
        self._ran.add((job_id, row, lease))
        self.executions.append(Run_(job_id, row, node, self.bucket.now()))
        return len(self.executions) - 1

    # --- outputs ---------------------------------------------------------------------------------

    def outcomes(self, job: Job, part: Part, name: str) -> Outcomes:
        """Return the outcomes of one commit."""
        if name not in self._outputs:
            inline = part.outputs[name]
            if inline is not None:
                self._outputs[name] = decode_inline(inline)
            else:
                shard = keys.shard_of(job.id, 1)
                key = keys.JobKeys(job=job.id, shard=shard, created=job.created).output(part.index, name)
                data = self.bucket.data(key)
                if data is None:
                    raise Violation("output missing", key)
                self._outputs[name] = decode_outcomes(data)
        return self._outputs[name]


def _rows(part: Part) -> list[Run]:
    return [run for run in part.runs for _ in range(run.stop - run.first)]


def _ordered(one: Run, job: Job, part: Part, row: int, upto: int | None = None) -> tuple[Status, str]:
    """Return the status (and how it came about) of a row once the orders are carried out that its part has not seen."""
    status, how = one.status, ""
    number = part.index * job.part_rows + row
    for control in job.controls[part.gen - 1 : upto]:
        is_meant = control.rows is None or any(first <= number < stop for first, stop in control.rows)
        if not is_meant or status not in control.statuses:
            continue
        if control.verb is ControlVerb.CANCEL and status in (PENDING, RUNNING):
            status, how = CANCELLED, "cancelled"
        elif control.verb is ControlVerb.RETRY and status in (FAILED, CANCELLED, EXPIRED):
            status, how = PENDING, "reopened"
    return status, how


class _Step:
    """One write of a part, from `old` to `new`."""

    def __init__(self, oracle: Oracle, write: Write, job: Job, old: Part, new: Part) -> None:
        self._oracle = oracle
        self._write = write
        self._job = job
        self._old = old
        self._new = new
        self._low = write.sent_s - write.doubt_s
        self._high = write.sent_s + write.doubt_s
        self._old_leases = {lease.id: lease for lease in old.leases}
        self._new_leases = {lease.id: lease for lease in new.leases}
        self._freed: set[str] = set()

    def _expect(self, claim: object, rule: str, message: str) -> None:
        if not claim:
            where = f"{self._job.id}/{self._new.index} rev {self._new.rev} by {self._write.node.name}"
            self._oracle.fail(rule, f"{message} in {where}")

    def check(self) -> None:
        """Judge it."""
        before, after = _rows(self._old), _rows(self._new)
        changed = [(row, o, n) for row, (o, n) in enumerate(zip(before, after, strict=True)) if o is not n]
        for row, o, n in changed:
            self._check_row(row, o, n)
        self._check_leases()
        try:
            for row, o, n in changed:
                self._take_in(row, o, n)
        except Violation as violation:
            self._oracle.fail(violation.rule, violation.message)

    def is_evident(self) -> bool:
        """Whether it shows what its caller wanted: a claim may also settle what is overdue, and get nothing."""
        call = self._write.call
        if not isinstance(call, Call) or not call.is_own:
            return True
        return any(lease not in self._old_leases for lease in self._new_leases) or any(
            self._has_committed(lease) for lease in self._old_leases
        )

    # --- rows ------------------------------------------------------------------------------------

    def _check_row(self, row: int, o: Run, n: Run) -> None:
        what = f"row {row}: {o.status} -> {n.status}"
        status, how = _ordered(o, self._job, self._old, row, self._new.gen - 1)
        is_claim = n.status is RUNNING and n.lease != o.lease
        self._expect(n.attempt == o.attempt + is_claim, "attempt", f"{what}, attempt {o.attempt} -> {n.attempt}")
        self._expect(n.used <= self._job.policy.retries + 1, "attempts used up", f"{what}, {n.used} used")
        if o.status is COMPLETED:
            same = (n.status, n.output, n.attempt) == (o.status, o.output, o.attempt)
            self._expect(same, "completed row changed", what)
        elif status.is_final:
            self._expect(n.status is status, "final row changed", f"{what}, ordered {status}")
            if not how:
                self._expect((n.output, n.spared) == (o.output, o.spared), "final row changed", what)
        elif how == "reopened":
            self._check_pending(what, n, due=0.0, is_reopened=True)
        elif o.status is RUNNING:
            self._check_running(what, o, n)
        else:
            self._check_pending(what, n, due=o.due, is_reopened=o.is_reopened)

    def _check_pending(self, what: str, n: Run, *, due: float, is_reopened: bool) -> None:
        policy = self._job.policy
        over = policy.expires_at is not None and not is_reopened
        if n.status is RUNNING:
            self._expect(n.lease in self._new_leases, "running without a lease", what)
            early = max(due, policy.not_before) > self._high
            self._expect(
                not early, "claimed too early", f"{what}, due {max(due, policy.not_before) - self._high:.2f} s on"
            )
            late = over and (policy.expires_at or 0.0) <= self._low
            self._expect(not late, "claimed after its time", what)
        elif n.status is EXPIRED:
            self._expect(over and (policy.expires_at or 0.0) <= self._high, "expired too early", what)
        else:
            self._expect(n.status is PENDING and n.due == due, "pending row changed", f"{what}, due {due} -> {n.due}")

    def _check_running(self, what: str, o: Run, n: Run) -> None:
        if n.lease == o.lease:
            self._expect(n.status is RUNNING, "lease on a row that does not run", what)
            return
        lease = self._old_leases[o.lease]
        grant = self._oracle.grant(lease)
        is_holder = grant is not None and grant.node is self._write.node
        is_over = lease.expires <= self._high
        if n.status is COMPLETED:
            self._expect(is_holder, "outcome by another than the holder", f"{what}, lease {o.lease}")
            self._expect(n.output.startswith(f"{o.lease}."), "output of another lease", f"{what}: {n.output}")
        elif n.status is FAILED:
            gave_up = is_over and o.used > self._job.policy.retries
            self._expect(is_holder or gave_up, "failed by another than the holder", f"{what}, lease {o.lease}")
        elif n.status is PENDING:
            self._expect(
                is_holder or is_over, "taken from its holder", f"{what}, {lease.expires - self._high:.2f} s early"
            )
            self._expect(is_holder or n.spared == o.spared, "lost attempt forgiven", what)
        else:
            self._expect(is_over, "taken from its holder", f"{what}, {lease.expires - self._high:.2f} s early")

    # --- leases ----------------------------------------------------------------------------------

    def _check_leases(self) -> None:
        new, old = self._new_leases, self._old_leases
        self._expect(len(new) == len(self._new.leases) <= MAX_LEASES, "leases", f"{len(self._new.leases)} leases")
        for lease in new.values():
            self._check_lease(lease, old.get(lease.id))
        for lease in old.values():
            if lease.id not in new:
                grant = self._oracle.grant(lease)
                if grant is not None:
                    grant.has_ended = True
                    self._oracle.n_takeovers += grant.node is not self._write.node

    def _check_lease(self, lease: Lease, old: Lease | None) -> None:
        oracle, node = self._oracle, self._write.node
        longest = self._high + oracle.lease_s
        if old is None:
            known = oracle._grants.get(lease.id)
            self._expect(lease.worker == node.name and lease.commits == 0, "lease for another", lease.id)
            self._expect(known is None or known.node is node, "lease id used again", lease.id)
            self._expect(lease.expires <= longest, "lease too long", f"{lease.expires - longest:.2f} s")
            oracle._grants[lease.id] = Grant(node, oracle.bucket.now(), has_ended=known is not None)
            if isinstance(self._write.call, Call):
                self._write.call.lease = lease.id
        elif lease != old:
            grant = oracle.grant(lease)
            self._expect(grant is not None and grant.node is node, "lease changed by another", lease.id)
            self._expect(lease.commits == old.commits + 1, "commits", lease.id)
            self._expect(lease.expires <= longest, "lease too long", f"{lease.expires - longest:.2f} s")

    # --- what follows from it --------------------------------------------------------------------

    def _take_in(self, row: int, o: Run, n: Run) -> None:
        oracle, name = self._oracle, self._write.node.name
        number = self._new.index * self._job.part_rows + row
        if o.lease and n.lease != o.lease and self._has_committed(o.lease):
            oracle._holds.pop((self._job.id, number, name), None)
        if n.lease and n.lease != o.lease:
            oracle._holds[self._job.id, number, name] = n.lease
        if n.status is COMPLETED and o.status is not COMPLETED:
            self._check_value(row, number, o, n)
        if n.output and n.output != o.output and n.status is not COMPLETED:
            oracle.outcomes(self._job, self._new, n.output)

    def _has_committed(self, lease_id: str) -> bool:
        """Whether this write is a commit under that lease, so that its holder knows what became of its rows."""
        number = self._old_leases[lease_id].commits + 1
        if lease_id in self._new_leases:
            return self._new_leases[lease_id].commits == number
        return output_id(lease_id, number) in self._new.done

    def _check_value(self, row: int, number: int, o: Run, n: Run) -> None:
        oracle = self._oracle
        if not n.output:
            self._expect(False, "completed without an output", f"row {row}")
            return
        outcomes = oracle.outcomes(self._job, self._new, n.output)
        place = outcomes.rows.tolist().index(row) if row in outcomes.rows else -1
        self._expect(place >= 0, "output without the row", f"row {row} in {n.output}")
        if place < 0:
            return
        value = decode_values(outcomes.values.slice(place, 1))[0]
        if value is None or value.get("e") is None:
            self._expect(oracle.raised[self._job.id, number, "skip"], "value lost", f"row {row}: {value}")
            return
        run = oracle.executions[value["e"]]
        grant = oracle._grants[o.lease]
        self._expect(value["y"] == oracle.values[value["e"]], "wrong value", f"row {row}: {value}")
        self._expect((run.job, run.row) == (self._job.id, number), "value of another row", f"row {row}: {run}")
        fits = run.node is grant.node and grant.given_s <= run.at_s
        self._expect(fits, "value of another lease", f"row {row} under {output_id(o.lease, 0)}: {run}")
        oracle.committed[self._job.id, number] = value["e"]
