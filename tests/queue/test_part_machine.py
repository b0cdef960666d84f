"""One part under several leases, beside a model that keeps every row by itself and knows no ranges."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oqkit.errors import LeaseLost
from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.document import dump_part, load_part
from oqkit.queue.part import (
    DONE_RING,
    Lease,
    cancel,
    claim,
    commit,
    fresh,
    output_id,
    reopen,
    settle,
)
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb

LIMITS = QueueLimits()

N_EXAMPLES = int(os.environ.get("OQ_MACHINE_EXAMPLES", "80"))
"""Of forty steps each."""

LEASE_S = 60.0
FINAL = {"completed", "failed", "cancelled", "expired"}
ENDS = {Verb.COMPLETE: "completed", Verb.FAIL: "failed", Verb.RETRY: "pending", Verb.RESCHEDULE: "pending"}
OUTCOMES = [*ENDS, Verb.LOSE]


@dataclass
class Row:
    status: str = "pending"
    attempt: int = 0
    spared: int = 0
    lost: int = 0
    deaths: int = 0
    reschedules: int = 0
    due: float = 0.0
    is_reopened: bool = False
    lease: str = ""
    output: str = ""

    @property
    def used(self) -> int:
        return self.attempt - self.spared


class Model:
    """The reference: written without looking at `part.py`, row by row."""

    def __init__(self, n_rows: int, policy: Policy) -> None:
        self.rows = [Row() for _ in range(n_rows)]
        self.leases: dict[str, list] = {}  # id -> [expires, commits, whether it is alone]
        self.policy = policy

    def wait_s(self, n: int) -> float:
        backoff = self.policy.backoff  # without jitter in this test
        return min(backoff.max_s, backoff.initial_s * backoff.factor ** (n - 1))

    def die(self, row: Row, now: float) -> None:
        row.lease, row.deaths = "", row.deaths + 1
        if row.deaths >= self.policy.max_losses:
            row.status = "failed"
        else:
            row.status, row.spared, row.due = "pending", row.spared + 1, now + self.wait_s(row.deaths)

    def settle(self, now: float) -> None:
        for lease in [one for one, (expires, *_) in self.leases.items() if expires <= now]:
            _, _, is_alone = self.leases.pop(lease)
            for row in self.rows:
                if row.lease == lease:
                    row.lost += 1
                    if is_alone:
                        row.output = ""
                        self.die(row, now)
                    else:
                        row.status, row.lease, row.spared = "pending", "", row.spared + 1
        for row in self.rows:
            is_over = self.policy.expires_at is not None and now >= self.policy.expires_at
            if is_over and row.status == "pending" and not row.is_reopened:
                row.status, row.due = "expired", 0.0

    def claim(self, lease: str, max_rows: int, now: float) -> None:
        self.settle(now)
        if len(self.leases) >= LIMITS.max_leases:
            return
        chosen: list[Row] = []
        due = [row for row in self.rows if row.status == "pending" and row.due <= now]
        for row in due:
            if self.is_suspect(row) == self.is_suspect(due[0]):
                max_rows = min(max_rows, self.most(row))
                if len(chosen) >= max_rows:
                    break
                chosen.append(row)
        for row in chosen:
            row.status, row.lease, row.attempt, row.due = "running", lease, row.attempt + 1, 0.0
        if chosen:
            self.leases[lease] = [now + LEASE_S, 0, False]

    def is_suspect(self, row: Row) -> bool:
        return bool(row.lost or row.deaths)

    def most(self, row: Row) -> int:
        if row.deaths:
            return 1
        shrink = LIMITS.suspect_first_factor * LIMITS.suspect_factor ** (row.lost - 1) if row.lost else 1
        return max(1, len(self.rows) // shrink)

    def commit(self, lease, outcomes, release, now, *, output, lease_s, is_alone) -> None:
        entry = self.leases[lease]
        entry[1] += 1
        entry[2] = entry[2] or is_alone
        name = f"{lease}.{entry[1]}" if output else ""
        for verb, numbers, delay_s in outcomes:
            for number in numbers:
                row = self.rows[number]
                if row.lease == lease:
                    self.record(row, verb, delay_s, name, now)
        for number, row in enumerate(self.rows):
            if row.lease == lease and (lease_s is None or number in release):
                row.status, row.lease, row.spared = "pending", "", row.spared + 1
        if all(row.lease != lease for row in self.rows):
            del self.leases[lease]
        else:
            entry[0] = now + lease_s

    def record(self, row: Row, verb: Verb, delay_s: float, name: str, now: float) -> None:
        row.lease, row.lost, row.output = "", 0, name or row.output
        if verb is Verb.LOSE:
            self.die(row, now)
            return
        most = self.policy.max_reschedules
        if verb is Verb.RETRY and row.used > self.policy.retries:
            verb = Verb.FAIL
        if verb is Verb.RESCHEDULE and most is not None and row.reschedules >= most:
            verb = Verb.FAIL
        row.status = ENDS[verb]
        if verb is Verb.RETRY:
            row.due = now + self.wait_s(row.used)
        if verb is Verb.RESCHEDULE:
            row.due, row.spared, row.reschedules = now + delay_s, row.spared + 1, row.reschedules + 1

    def cancel(self, numbers, statuses) -> None:
        touched = set()
        for number in numbers:
            row = self.rows[number]
            if row.status in statuses:
                touched.add(row.lease)
                row.status, row.lease, row.due = "cancelled", "", 0.0
        for lease in touched - {row.lease for row in self.rows}:
            self.leases.pop(lease, None)

    def reopen(self, numbers, statuses) -> None:
        for number in numbers:
            row = self.rows[number]
            if row.status in statuses:
                self.rows[number] = Row(attempt=row.attempt, spared=row.attempt, is_reopened=True)


row_sets = st.sets(st.integers(0, 39))


class PartMachine(RuleBasedStateMachine):
    @initialize(
        n_rows=st.integers(1, 40),
        retries=st.integers(0, 3),
        max_reschedules=st.sampled_from([None, 0, 2]),
        expires_at=st.sampled_from([None, None, 300.0]),
    )
    def start(self, n_rows, retries, max_reschedules, expires_at):
        backoff = Backoff(initial_s=5.0, max_s=30.0, jitter=0.0)
        policy = Policy(retries=retries, backoff=backoff, max_reschedules=max_reschedules, expires_at=expires_at)
        self.policy, self.part, self.model = policy, fresh("job", 0, n_rows=n_rows, gen=1), Model(n_rows, policy)
        self.now, self.n_leases = 0.0, 0
        self.known: list[str] = []  # every lease there ever was
        self.committed: list[tuple[str, int, int]] = []  # lease, number, how many leases had ended then
        self.n_ended = 0
        self.before = None
        self.is_reopening = False

    def chosen(self, rows):
        return tuple(row for row in sorted(rows) if row < self.part.n_rows)

    def change(self, new):
        self.before, self.part = self.part, new

    @rule(seconds=st.sampled_from([1.0, 10.0, 70.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(max_rows=st.integers(1, 50))
    def somebody_claims(self, max_rows):
        lease = Lease(id=f"l{self.n_leases}", worker="same worker", expires=self.now + LEASE_S)
        self.n_leases += 1
        self.known.append(lease.id)
        self.change(
            claim(self.part, lease, max_rows=max_rows, now=self.now, policy=self.policy, chance=0.5, limits=LIMITS)
        )
        self.model.claim(lease.id, max_rows, self.now)

    @rule()
    def somebody_settles(self):
        self.change(settle(self.part, now=self.now, policy=self.policy, chance=0.5))
        self.model.settle(self.now)

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        verbs=st.lists(st.tuples(st.sampled_from(OUTCOMES), row_sets), max_size=3),
        is_last=st.booleans(),
        is_alone=st.booleans(),
        output=st.booleans(),
        release=row_sets,
        mine_only=st.booleans(),
    )
    def somebody_commits(self, data, verbs, is_last, is_alone, output, release, mine_only):
        live = list(self.model.leases)
        lease = data.draw(st.sampled_from(live if live and mine_only else self.known))
        outcomes = [Outcome(verb=verb, rows=Rows.of(self.chosen(rows)), delay_s=20.0) for verb, rows in verbs]
        lease_s = None if is_last else LEASE_S
        call = {
            "now": self.now,
            "policy": self.policy,
            "chance": 0.5,
            "lease_s": LEASE_S,
        }
        given = Commit(
            outcomes=outcomes,
            output={"by": lease} if output else None,
            release=Rows.of(self.chosen(release)),
            is_last=is_last,
            is_alone=is_alone,
        )
        if lease not in self.model.leases:
            with pytest.raises(LeaseLost):
                commit(self.part, lease, given, **call)
            return
        number = self.model.leases[lease][1] + 1
        theirs = {n: row for n, row in enumerate(self.part_rows()) if row[8] != lease}
        self.change(commit(self.part, lease, given, **call))
        now_rows = self.part_rows()
        assert all(now_rows[n] == row for n, row in theirs.items()), "only rows of the lease may change"
        plain = [(o.verb, o.rows.numbers(), o.delay_s) for o in outcomes]
        self.model.commit(
            lease, plain, set(self.chosen(release)), self.now, output=output, lease_s=lease_s, is_alone=is_alone
        )
        self.committed.append((lease, number, self.n_leases))

    @rule(rows=row_sets, statuses=st.sampled_from([{"pending"}, {"running"}, {"pending", "running"}]))
    def somebody_cancels(self, rows, statuses):
        wanted = frozenset(Status(status) for status in statuses)
        self.change(cancel(self.part, Rows.of(self.chosen(rows)), now=self.now, statuses=wanted))
        self.model.cancel(self.chosen(rows), statuses)

    @rule(rows=row_sets, statuses=st.sampled_from([{"failed"}, {"failed", "cancelled", "expired"}]))
    def somebody_reopens(self, rows, statuses):
        wanted = frozenset(Status(status) for status in statuses)
        self.is_reopening = True
        self.change(reopen(self.part, Rows.of(self.chosen(rows)), now=self.now, statuses=wanted))
        self.model.reopen(self.chosen(rows), statuses)

    # --- what always holds -----------------------------------------------------------------------

    def part_rows(self, part=None):
        return [
            (
                str(task.status),
                task.attempt,
                task.spared,
                task.lost,
                task.deaths,
                task.reschedules,
                task.due,
                task.is_reopened,
                task.lease,
                task.output,
            )
            for first, stop, task in (part or self.part).stretches()
            for _ in range(first, stop)
        ]

    @invariant()
    def part_says_what_the_model_says(self):
        rows = [
            (r.status, r.attempt, r.spared, r.lost, r.deaths, r.reschedules, r.due, r.is_reopened, r.lease, r.output)
            for r in self.model.rows
        ]
        assert self.part_rows() == rows
        assert {
            lease.id: [lease.expires, lease.commits, lease.is_alone] for lease in self.part.leases
        } == self.model.leases

    @invariant()
    def states_cover_the_rows_and_counts_add_up(self):
        found = self.part.stretches()
        assert [one.first for one in found] == [0, *(one.stop for one in found[:-1])]
        assert found[-1].stop == self.part.n_rows == sum(self.part.counts().values())
        assert not any(a.state == b.state for a, b in pairwise(found))
        assert all(self.part.states.values())

    @invariant()
    def attempts_only_rise_and_final_rows_change_only_by_reopening(self):
        if self.before is not None:
            for old, new in zip(self.part_rows(self.before), self.part_rows(), strict=True):
                assert new[1] >= old[1]
                assert self.is_reopening or old[0] not in FINAL or new == old
        self.before, self.is_reopening = None, False

    @invariant()
    def running_rows_have_a_live_lease_and_others_none(self):
        live = {lease.id for lease in self.part.leases}
        assert all((row[0] == "running") == (row[8] != "") and row[8] in live | {""} for row in self.part_rows())
        assert len(live) == len(self.part.leases) <= LIMITS.max_leases

    @invariant()
    def every_commit_leaves_evidence_and_no_other_does(self):
        last: dict[str, int] = {}
        for lease, number, leases_then in self.committed:
            last[lease] = max(last.get(lease, 0), number)
            if self.n_leases - leases_then + LIMITS.max_leases < DONE_RING:
                assert self.part.has_commit(lease, number)
        assert not any(self.part.has_commit(lease, last.get(lease, 0) + 1) for lease in self.known)

    @invariant()
    def outputs_are_those_that_rows_name(self):
        assert set(self.part.outputs) == {row[9] for row in self.part_rows()} - {""}
        assert all(output_id(*name.split(".")) == name for name in self.part.outputs)

    @invariant()
    def document_is_read_back_as_it_was_written(self):
        assert load_part(dump_part(self.part), key="k") == self.part


TestPartMachine = PartMachine.TestCase
TestPartMachine.settings = settings(max_examples=N_EXAMPLES, stateful_step_count=40)
