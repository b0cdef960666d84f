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
from dataclasses import replace
from typing import Any

from oqkit.errors import LeaseLost, OqError
from oqkit.limits import QueueLimits
from oqkit.payload.output import StoredResults, decode_inline, decode_outcomes
from oqkit.queue import key as keys
from oqkit.queue.document import load_job, load_part
from oqkit.queue.job import ControlVerb, Job
from oqkit.queue.part import Part
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState
from oqkit.testing.simulation.bucket import Bucket, Write
from oqkit.testing.simulation.deletion_oracle import DeletionFacts
from oqkit.testing.simulation.fact import (
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FAILED,
    Attempt,
    Call,
    Execution,
    Grant,
    Violation,
    ordered,
    rows_of,
    with_wishes,
)
from oqkit.testing.simulation.kernel import Node, current
from oqkit.testing.simulation.limit_fact import LimitFacts
from oqkit.testing.simulation.pause_fact import PauseFacts
from oqkit.testing.simulation.recurring_oracle import ScheduleFacts
from oqkit.testing.simulation.schema_fact import SchemaFacts
from oqkit.testing.simulation.shard_fact import ShardFacts
from oqkit.testing.simulation.step import Step


class Oracle:
    """Watches a bucket. The first violation is raised where it happens and kept in `violation`."""

    def __init__(self, bucket: Bucket, *, lease_s: float, limits: QueueLimits, shards: int) -> None:
        self.bucket = bucket
        self.lease_s, self.limits, self.shards = lease_s, limits, shards
        self.violation: Violation | None = None
        self.n_writes = self.n_executions = self.n_takeovers = 0
        self.jobs, self.parts = dict[str, Job](), dict[str, Part]()
        self.generations: dict[str, str] = {}
        """Of tasks with a key, the id to that of the one that held it before; empty for the first."""
        self.executions: list[Execution] = []
        self.committed: dict[tuple[str, int], int] = {}
        """(job, row) to the execution whose value was recorded."""
        self.raised: Counter[tuple[str, int, str]] = Counter()
        self.announced: dict[str, int] = {}
        """Job to the highest generation that a marker was put up for, and not taken down behind everybody's back."""
        self._ever_announced: dict[str, int] = {}
        """The same, whatever became of the marker."""
        self.values: dict[int, Any] = {}
        self.lost: dict[tuple[int, str], int] = {}
        """(row, lease) to how many leases in a row had run out on the row when this one was given."""
        self._unknown: dict[tuple[str, str], list[Call]] = {}
        self._touched: dict[tuple[str, int], set[int]] = {}
        """(job, generation) to the parts that had an object when that order was given."""
        self._ops: set[str] = set()
        self.grants: dict[str, Grant] = {}
        self.holds: defaultdict[tuple[str, int, str], dict[str, int]] = defaultdict(dict)
        """(job, row, node) to the leases (and which attempt each is) under which the node may run the row, as far as its own writes say."""
        self._ran: dict[tuple[str, int, str], list[bool]] = {}
        """(job, row, lease) to its executions: whether each was isolated."""
        self._outputs: dict[str, StoredResults] = {}
        self._markers: defaultdict[str, set[str]] = defaultdict(set)
        self.ended, self.completed, self.failed = set[str](), set[str](), set[str]()
        """Jobs of which all tasks had ended at some time, and of those the ones that had completed, and others."""
        self.unreadable: set[str] = set()
        """Jobs of a newer version, which nobody here understands."""
        self.longest_pause_s = 0.0
        """How long a worker stood still at most."""
        self.pauses, self.quotas = PauseFacts(self.expect, bucket), LimitFacts(self.expect, bucket)
        self.schemas, self._places = SchemaFacts(self.expect, bucket), ShardFacts(self.expect, shards=shards)
        self.deletions, self.schedules = DeletionFacts(self), ScheduleFacts(self, late_s=limits.schedule_late_s)
        self._apart = (self.pauses, self.schedules, self.quotas, self._places, self.schemas)
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
        grant = self.grants.get(call.lease)
        over = grant is not None and (grant.was_taken or grant.expires < self.bucket.now())
        n = len(call.landed)
        earlier = self._unknown.setdefault((call.node.name, call.what), [])
        if call.told == "unknown":
            earlier.append(call)  # the same may be asked for once more, and is then found to be done
        if call.told == "ok":
            is_known = n or not call.is_own or any(one.landed for one in earlier)
            self.expect(is_known, "told ok but not in history", call.what)
            self.expect(n <= 1 or over, "applied twice", f"{call.what}: {call.landed}")
        if call.told == "no":
            self.expect(n == 0 or over, "told lost but in history", f"{call.what}: {call.landed}")

    # --- writes ----------------------------------------------------------------------------------

    def wrote(self, write: Write) -> None:
        """Judge a write that was applied."""
        key = write.key
        self.n_writes += not key.startswith((keys.WORKERS, keys.SWEEP))
        if any(job_id in key for job_id in self.unreadable):
            self.fail("unreadable touched", key)  # nobody runs, rewrites or hides what he does not understand
        elif key.startswith(keys.JOBS):
            self._wrote_job(write)
        elif (apart := next((one for one in self._apart if one.concerns(key)), None)) is not None:
            apart.wrote(write)
        elif key.startswith(keys.OPEN):
            self._wrote_marker(write)
        elif "/parts/" in key:
            self._wrote_part(write)
        elif "/out/" in key or "/in-" in key:
            self.deletions.wrote_payload(write)

    def _landed(self, write: Write, op: str, *, is_evident: bool = True) -> None:
        self.expect(op and op not in self._ops, "op not fresh", f"{write.key} {op!r}")
        self._ops.add(op)
        if isinstance(write.call, Call) and is_evident:
            told = write.call.told
            self.expect(told not in ("ok", "no"), "landed after it was settled", f"{write.call.what}, told {told}")
            write.call.landed.append(op)

    def _wrote_job(self, write: Write) -> None:
        if write.data is None:
            return self.expect(keys.job_of_key(write.key) in self.deletions.jobs, "job removed", write.key)
        new = load_job(write.data, key=write.key)
        self._places.check_place(write, new.id)
        old = self.jobs.get(new.id)
        self.jobs[new.id] = new
        if new.deleted is not None:
            return self.deletions.buried(write, old, new)
        self._landed(write, new.op)
        self.expect(new.rev == (old.rev if old else 0) + 1, "rev", f"{write.key}: {old and old.rev} -> {new.rev}")
        if old is None:
            self.expect(write.old is None, "job overwritten", write.key)
            self.schedules.wrote_job(new)
            self._check_inputs(new)
            self._check_generation(new, by_s=write.sent_s + write.doubt_s)
            return None
        n = len(old.controls)
        self.expect(new.controls[:n] == old.controls, "control lost", write.key)
        self.expect(len(new.controls) <= n + 1, "many controls", write.key)
        self._touched[new.id, new.gen] = {part.index for part in self.parts_of(new) if part.rev}
        self._check_release(new, known=n)
        same = replace(new, rev=old.rev, op=old.op, controls=old.controls, code=old.code, requires=old.requires)
        self.expect(same == with_wishes(old, new.controls[n:]), "job changed", write.key)
        return None

    def _check_generation(self, job: Job, *, by_s: float) -> None:
        """A key goes to a new task once the last one has held it for its time, and not before."""
        last = self.jobs.get(self.generations.get(job.id, ""))
        if last is None:
            self.expect(not self.generations.get(job.id), "generation left out", job.id)
            return
        until = float("inf") if last.key_until is None else last.key_until
        self.expect(until <= by_s, "key taken too early", f"{job.id} {until - by_s:.2f} s before {last.id} gave it up")

    def _check_release(self, job: Job, *, known: int) -> None:
        """A job is released once, when all that it depends on has ended; of what did not complete, some is named."""
        for verb in (ControlVerb.FOLLOW, ControlVerb.RELEASE):
            self.expect(sum(it.verb is verb for it in job.controls) <= 1, f"{verb} twice", job.id)
        release, parents = job.release, {parent.job for parent in job.depends_on}
        if release is None or release not in job.controls[known:]:
            return
        self.expect(parents <= self.ended, "released too early", f"{job.id}: {parents - self.ended} have not ended")
        is_named = parents <= self.completed or any(one in release.reason for one in parents - self.completed)
        self.expect(is_named, "failed parent forgotten", f"{job.id}: {release.reason}")
        self.expect(not release.reason or parents & self.failed, "parent blamed", f"{job.id}: {release.reason}")

    def _note_end(self, job: Job) -> None:
        """Note that all tasks of a job have ended, if so, and how; a retry takes that not back."""
        rows = [one.status for part in self.parts_of(job) for one in part.states]
        if all(status.is_final for status in rows):
            self.ended.add(job.id)
            (self.completed if set(rows) <= {COMPLETED} else self.failed).add(job.id)

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
        for one in (self.announced, self._ever_announced):
            one[marker.job] = max(one.get(marker.job, 0), marker.gen)

    def check_markers(self, job_id: str, when: str) -> None:
        """A job that was announced and has open tasks has a marker."""
        job, gen = self.jobs.get(job_id), self.announced.get(job_id, 0)
        if job is None or self._markers[job_id] or not gen:
            return
        told = replace(job, controls=job.controls[: gen - 1])
        for part in self.parts_of(job):
            if part.gen > gen:
                continue  # somebody met an order whose giver has yet to put up the marker
            rows = [ordered(one, told, part, row=row) for row, one in enumerate(rows_of(part))]
            if any(not status.is_final for status, _ in rows):
                self.fail("no marker", f"job {job_id} has work in part {part.index} but no marker {when}")

    def parts_of(self, job: Job) -> list[Part]:
        """Return the parts of a job as they are now."""
        names = self._places.names_of(job)
        return [self.parts.get(names.part(index)) or job.fresh_part(index) for index in range(job.n_parts)]

    # --- parts -----------------------------------------------------------------------------------

    def _wrote_part(self, write: Write) -> None:
        if write.data is None:
            return self.deletions.removed(write)
        new = load_part(write.data, key=write.key)
        job = self.jobs.get(new.job)
        if job is None:
            return self.fail("part without a job", write.key)
        if job.deleted is not None:
            return self.deletions.wrote_part(write, new)
        old = self.parts.get(write.key) or job.fresh_part(new.index)
        self.parts[write.key] = new
        step = Step(self, write, job=job, old=old, new=new)
        self._landed(write, new.op, is_evident=step.is_evident())
        self.expect(new.rev == old.rev + 1, "rev", f"{write.key}: {old.rev} -> {new.rev}")
        self.expect(old.gen <= new.gen <= job.gen, "gen", f"{write.key}: {old.gen} -> {new.gen} of {job.gen}")
        self.expect((new.index, new.n_rows) == (old.index, old.n_rows), "part changed", write.key)
        self._check_counts(write.data, new)
        self._note_end(job)
        step.check()
        return None

    def _check_counts(self, data: bytes, part: Part) -> None:
        fold = Counter(str(one.status) for one in rows_of(part))
        self.expect(json.loads(data)["counts"] == dict(fold), "counts", f"{part.job}/{part.index}")

    # --- what people are told --------------------------------------------------------------------

    def check_acked(self, job_id: str) -> None:
        """A job whose submission was acknowledged has been announced to workers, unless it is done already."""
        is_done = all(part.is_final for part in self.parts_of(self.jobs[job_id]))
        self.expect(is_done or self._ever_announced.get(job_id), "acknowledged without a marker", job_id)

    def check_order(self, job_id: str, gen: int) -> None:
        """An order that was acknowledged is carried out: in each part it means that had an object, a cancel in all.

        A pause or its end is told to part 0. `gen` is what the order made of the job; 0 if none was needed.
        """
        if gen < 2:
            return
        job, touched = self.jobs[job_id], self._touched.get((job_id, gen), set())
        control = job.controls[gen - 2]
        rows = control.rows
        if control.verb is ControlVerb.REPRIORITIZE:
            is_done = all(part.is_final for part in self.parts_of(job))
            self.expect(is_done or self._ever_announced.get(job_id, 0) >= gen, "nobody is told of the priority", job_id)
        if not control.verb.concerns_tasks:
            return
        if control.verb in (ControlVerb.PAUSE, ControlVerb.RESUME):
            touched, rows = {0}, Rows.span(0, job.part_rows)
        for part in self.parts_of(job):
            first = part.index * job.part_rows
            is_meant = rows is None or bool(rows.clip(first, first + part.n_rows))
            if is_meant and (part.index in touched or control.verb is ControlVerb.CANCEL):
                self.expect(part.gen >= gen, "order not carried out", f"{job_id}/{part.index}: {part.gen}")

    def check_end(self, job: Job, number: int, one: TaskState) -> None:
        """A task has ended as it may."""
        which = f"{job.id}.{number}"
        raised = {
            fate
            for fate in ("raise", "permanent", "reschedule", "crash", "kill", "perish", "slow")
            if self.raised[job.id, number, fate]
        }
        self.expect(one.status.is_final, "not final", which)
        if one.status is FAILED:
            is_used_up = one.deaths >= job.policy.max_losses
            is_late = (
                job.timeout_s is not None and self.longest_pause_s >= job.timeout_s
            )  # which no one could tell apart
            reason = raised or is_used_up or is_late or self._is_let_down(job, "fail")
            self.expect(reason, "failed for no reason", f"{which}: {one.used} attempts")
        if one.status is CANCELLED:
            is_asked = any(it.verb is ControlVerb.CANCEL for it in job.controls) or self._is_let_down(job, "skip")
            self.expect(is_asked, "cancelled unasked", which)
        if one.status is EXPIRED:
            self.expect(job.policy.expires_at is not None, "expired unasked", which)

    def _is_let_down(self, job: Job, on_failure: str) -> bool:
        """Whether a job that depends on others has tasks that end so because these did not complete."""
        return job.release is not None and bool(job.release.reason) and job.on_failure == on_failure

    def put_behind(self, marker: keys.Marker) -> None:
        """Put up a marker behind everybody's back."""
        self.bucket.put(marker.key, b"", modified_s=self.bucket.now())
        self._markers[marker.job].add(marker.key)

    def take_down_behind(self, job_id: str) -> None:
        """Take a job's markers down behind everybody's back: nobody has announced it any more."""
        for key in self._markers.pop(job_id, set()):
            self.bucket.drop(key)
        self.announced.pop(job_id, None)

    # --- executions ------------------------------------------------------------------------------

    def execute(
        self, node: Node, job_id: str, row: int, *, attempt: Attempt | None, is_isolated: bool, isolates_after: int
    ) -> int:
        """Note that a node begins to run a row, and return the number of this execution.

        `attempt` is None for one row of many, which may be run again in smaller numbers. `is_isolated` is
        true if nothing else dies with it, which must be so from `isolates_after` lost leases on.
        """
        self.n_executions += 1
        held = self.holds[job_id, row, node.name]
        fits = list(held) if attempt is None else [lease for lease, used in held.items() if used == attempt]
        self.expect(fits, "ran without a lease", f"{job_id}.{row}, attempt {attempt}, on {node.name}: {held}")
        lease = attempt.lease if attempt is not None else ""
        self.expect(not lease or lease in fits, "ran without a lease", f"{job_id}.{row} under {lease}: {held}")
        before = self._ran.setdefault((job_id, row, lease), [])
        is_cleared = before == [True] and not is_isolated  # it had not killed the process, but was not valid there
        self.expect(not lease or not before or is_cleared, "ran twice under one lease", f"{job_id}.{row} {lease}")
        before.append(is_isolated)
        self._check_company(node, fits, row)
        is_guarded = is_isolated or is_cleared or self.grants[lease].is_alone if lease else True
        is_suspect = self.lost.get((row, lease), 0) >= isolates_after
        self.expect(is_guarded or not is_suspect, "suspect not isolated", f"{job_id}.{row} under {lease}")
        self.executions.append(Execution(job_id, row, node, self.bucket.now(), lease))
        return len(self.executions) - 1

    def _check_company(self, node: Node, fits: list[str], row: int) -> None:
        """While a row runs alone, its worker runs nothing else."""
        alone = {lease for lease, one in self.grants.items() if one.is_alone and one.node is node}
        over = {lease for lease in alone if self.grants[lease].expires <= self.bucket.now()}
        self.expect(not (alone - over) or alone.intersection(fits), "ran beside a suspect", f"row {row} on {node.name}")

    # --- outputs ---------------------------------------------------------------------------------

    def outcomes(self, job: Job, part: Part, name: str) -> StoredResults:
        """Return the outcomes of one commit."""
        if name not in self._outputs:
            inline = part.outputs[name]
            if inline is not None:
                self._outputs[name] = decode_inline(inline)
            else:
                key = self._places.names_of(job).output(part.index, name)
                if (data := self.bucket.data(key)) is None:
                    raise Violation("output missing", key)
                self._outputs[name] = decode_outcomes(data)
        return self._outputs[name]
