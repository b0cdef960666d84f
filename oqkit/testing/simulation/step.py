"""One write of a part, and whether each row and lease may have become what they are now."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any, Protocol

from oqkit.arrow.value import decode_values
from oqkit.limits import QueueLimits
from oqkit.payload.output import StoredResults
from oqkit.queue.job import Job
from oqkit.queue.part import Lease, Part, output_id
from oqkit.queue.task_state import TaskState
from oqkit.testing.simulation.bucket import Bucket, Write
from oqkit.testing.simulation.fact import (
    COMPLETED,
    EXPIRED,
    FAILED,
    PENDING,
    RUNNING,
    Call,
    Execution,
    Grant,
    Violation,
    is_blocked,
    ordered,
    paused_until,
    rows_of,
)
from oqkit.testing.simulation.pause_fact import PauseFacts
from oqkit.testing.simulation.plan import CRASH, KILL, PERISH


class Knowledge(Protocol):
    """What is known before the write, and whom to tell what is wrong with it."""

    bucket: Bucket
    lease_s: float
    limits: QueueLimits
    n_takeovers: int
    grants: dict[str, Grant]
    holds: defaultdict[tuple[str, int, str], dict[str, int]]
    executions: list[Execution]
    raised: Counter[tuple[str, int, str]]
    values: dict[int, Any]
    committed: dict[tuple[str, int], int]
    lost: dict[tuple[int, str], int]
    pauses: PauseFacts

    def fail(self, rule: str, message: str) -> None:
        """Note a violation."""

    def outcomes(self, job: Job, part: Part, name: str) -> StoredResults:
        """Return the outcomes of one commit."""


class Step:
    """One write of a part, from `old` to `new`."""

    def __init__(self, oracle: Knowledge, write: Write, *, job: Job, old: Part, new: Part) -> None:
        self._oracle = oracle
        self._write = write
        self._job = job
        self._old = old
        self._new = new
        self._low = write.sent_s - write.doubt_s
        self._high = write.sent_s + write.doubt_s
        self._old_leases = {lease.id: lease for lease in old.leases}
        self._new_leases = {lease.id: lease for lease in new.leases}

    def _expect(self, claim: object, rule: str, message: str) -> None:
        if not claim:
            where = f"{self._job.id}/{self._new.index} rev {self._new.rev} by {self._write.node.name}"
            self._oracle.fail(rule, f"{message} in {where}")

    def check(self) -> None:
        """Judge it."""
        before, after = rows_of(self._old), rows_of(self._new)
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
        found = [lease for lease in self._new_leases if lease not in self._old_leases]
        found += [lease for lease in self._old_leases if self._has_committed(lease)]
        call.lease = found[0] if found else call.lease
        return bool(found)

    # --- rows ------------------------------------------------------------------------------------

    def _check_row(self, row: int, o: TaskState, n: TaskState) -> None:
        what = f"row {row}: {o.status} -> {n.status}"
        status, how = ordered(o, self._job, self._old, row=row, upto=self._new.gen - 1)
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
            self._check_running(row, what, o, n)
            self._check_charge(row, what, o, n)
        else:
            due = 0.0 if how == "woken" else o.due
            self._check_pending(what, n, due=due, is_reopened=o.is_reopened)

    def _check_pending(self, what: str, n: TaskState, *, due: float, is_reopened: bool) -> None:
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

    def _check_running(self, row: int, what: str, o: TaskState, n: TaskState) -> None:
        if n.lease == o.lease:
            self._expect(n.status is RUNNING, "lease on a row that does not run", what)
            self._check_hold(row, what, o, n)
            return
        lease = self._old_leases[o.lease]
        grant = self._oracle.grants.get(lease.id)
        is_holder = grant is not None and grant.node is self._write.node
        ends = max(lease.expires, o.held_until)
        is_over = ends <= self._high
        if n.status is COMPLETED:
            self._expect(is_holder, "outcome by another than the holder", f"{what}, lease {o.lease}")
            self._expect(n.output.startswith(f"{o.lease}."), "output of another lease", f"{what}: {n.output}")
        elif n.status is FAILED:
            is_used_up = lease.is_alone and n.deaths >= self._job.policy.max_losses
            self._expect(
                is_holder or (is_over and is_used_up), "failed by another than the holder", f"{what}, lease {o.lease}"
            )
        elif n.status is PENDING:
            self._expect(is_holder or is_over, "taken from its holder", f"{what}, {ends - self._high:.2f} s early")
        else:
            self._expect(is_over, "taken from its holder", f"{what}, {ends - self._high:.2f} s early")

    def _check_hold(self, row: int, what: str, o: TaskState, n: TaskState) -> None:
        """A row is held for longer if its own call asked for that, and no longer than it asked for."""
        if n.held_until == o.held_until:
            return
        grant, number = self._oracle.grants.get(n.lease), self._number(row)
        if grant is None or grant.node is not self._write.node:
            self._oracle.fail("row held by another than the holder", what)
            return
        self._expect(n.held_until > o.held_until, "hold shortened", f"{what}, {o.held_until - n.held_until:.2f} s")
        over_s = n.held_until - self._high - grant.asked.get(number, 0.0)
        self._expect(over_s <= 0, "row held for longer than it asked", f"{what}, {over_s:.2f} s")
        grant.held_until[number] = n.held_until

    def _number(self, row: int) -> int:
        """Return the number that a row of the part has in its job."""
        return self._new.index * self._job.part_rows + row

    def _check_charge(self, row: int, what: str, o: TaskState, n: TaskState) -> None:
        """A lost lease charges nobody but a row that ran alone, and never its retries (guarantee G10)."""
        if n.lease == o.lease:
            return
        if self._has_committed(o.lease):
            number = self._number(row)
            killed = sum(self._oracle.raised[self._job.id, number, fate] for fate in (CRASH, KILL, PERISH))
            self._expect(n.deaths == o.deaths or killed > o.deaths, "innocent charged", f"{what}: {n.deaths} deaths")
            return
        is_alone = self._old_leases[o.lease].is_alone
        self._expect(n.deaths == o.deaths + is_alone, "lost lease charged", f"{what}: {o.deaths} -> {n.deaths} deaths")
        self._expect(n.status is FAILED or n.spared > o.spared, "lost attempt charged", what)

    # --- leases ----------------------------------------------------------------------------------

    def _check_leases(self) -> None:
        new, old = self._new_leases, self._old_leases
        n, most = len(self._new.leases), self._oracle.limits.max_leases
        self._expect(len(new) == n <= most, "leases", f"{n} leases, at most {most}")
        for lease in new.values():
            self._expect(self._new.held(lease.id), "lease without rows", lease.id)
            self._check_lease(lease, old.get(lease.id))
        for lease in old.values():
            if lease.id not in new:
                grant = self._oracle.grants.get(lease.id)
                if grant is not None:
                    grant.is_alone = False
                if grant is not None and not self._has_committed(lease.id):
                    grant.was_taken = True
                    self._oracle.n_takeovers += grant.node is not self._write.node

    def _check_lease(self, lease: Lease, old: Lease | None) -> None:
        oracle, node = self._oracle, self._write.node
        if old is None:
            known = oracle.grants.get(lease.id)
            self._expect(lease.worker == node.name and lease.commits == 0, "lease for another", lease.id)
            self._expect(known is None or known.node is node, "lease id used again", lease.id)
            pause_s = paused_until(self._job, self._new.gen) - self._high
            self._expect(pause_s <= 0, "claimed while paused", f"{lease.id}, {pause_s:.2f} s to go")
            oracle.pauses.check_claim(self._write, self._job.type)
            is_early = is_blocked(self._job, self._new.gen, now=self._high)
            self._expect(not is_early, "claimed while blocked", lease.id)
            lost = max((state.lost for state in self._new.states if state.lease == lease.id), default=0)
            most_s = min(oracle.lease_s * 2**lost, max(oracle.lease_s, oracle.limits.suspect_lease_s))
            self._check_length(lease, most_s)
            oracle.grants[lease.id] = Grant(
                node, oracle.bucket.now(), lease.expires, most_s=most_s, was_taken=known is not None
            )
        elif lease != old and not self._is_rest(lease, old):
            grant = oracle.grants.get(lease.id)
            self._expect(grant is not None and grant.node is node, "lease changed by another", lease.id)
            self._expect(lease.commits == old.commits + 1, "commits", lease.id)
            if grant is not None:
                asked = [grant.asked.get(self._number(row), 0.0) for row in self._new.held(lease.id)]
                self._check_length(lease, max(grant.most_s, min(asked, default=0.0)), unless=old.expires)
                grant.expires = lease.expires
                grant.is_alone = lease.is_alone
            self._expect(lease.expires >= old.expires, "lease shortened", f"{old.expires - lease.expires:.2f} s")
            self._check_progress(lease)
            n_rows = len(self._new.held(lease.id))
            self._expect(n_rows == 1 or not lease.is_alone or old.is_alone, "alone with others", f"{n_rows} rows")

    def _is_rest(self, lease: Lease, old: Lease) -> bool:
        """Whether a lease ran out, and has left what its calls asked more time for."""
        end = min(self._new.holds(lease.id), default=0.0)
        is_so = old.expires <= self._high and lease == replace(old, expires=end)
        if is_so and (grant := self._oracle.grants.get(lease.id)) is not None:
            grant.expires = end
        return is_so

    def _check_progress(self, lease: Lease) -> None:
        """What a lease says of progress was said under it, of rows that it holds."""
        held = self._new.held(lease.id)
        for one in lease.progress:
            self._expect(one.rows & held, "progress of other rows", f"{lease.id}: {one}")
            self._expect(one.message in ("", lease.id), "progress of another lease", f"{lease.id}: {one}")

    def _check_length(self, lease: Lease, most_s: float, *, unless: float = 0.0) -> None:
        over_s = lease.expires - max(self._high + most_s, unless)
        self._expect(over_s <= 0, "lease too long", f"{over_s:.2f} s")

    # --- what follows from it --------------------------------------------------------------------

    def _take_in(self, row: int, o: TaskState, n: TaskState) -> None:
        oracle, name, number = self._oracle, self._write.node.name, self._number(row)
        if o.lease and n.lease != o.lease and self._has_committed(o.lease):
            oracle.holds[self._job.id, number, name].pop(o.lease, None)
        if n.lease and n.lease != o.lease:
            oracle.holds[self._job.id, number, name][n.lease] = n.used
            oracle.lost[number, n.lease] = n.lost
        if n.status is COMPLETED and o.status is not COMPLETED:
            self._check_value(row, number=number, o=o, n=n)
        if n.output and n.output != o.output and n.status is not COMPLETED:
            oracle.outcomes(self._job, self._new, n.output)

    def _has_committed(self, lease_id: str) -> bool:
        """Whether this write is a commit under that lease, so that its holder knows what became of its rows."""
        number = self._old_leases[lease_id].commits + 1
        if lease_id in self._new_leases:
            return self._new_leases[lease_id].commits == number
        return output_id(lease_id, number) in self._new.done

    def _check_value(self, row: int, *, number: int, o: TaskState, n: TaskState) -> None:
        oracle = self._oracle
        if not n.output:
            self._oracle.fail("completed without an output", f"row {row}")
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
        grant = oracle.grants[o.lease]
        self._expect(value["y"] == oracle.values[value["e"]], "wrong value", f"row {row}: {value}")
        self._expect((run.job, run.row) == (self._job.id, number), "value of another row", f"row {row}: {run}")
        fits = run.node is grant.node and grant.given_s <= run.at_s and run.lease in ("", o.lease)
        self._expect(fits, "value of another lease", f"row {row} under {output_id(o.lease, 0)}: {run}")
        oracle.committed[self._job.id, number] = value["e"]
