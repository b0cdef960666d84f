"""Mistakes about leases: who holds which rows until when, and who pays for what was lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import claimer, lease
from oqkit.claim.lease import HeldLease
from oqkit.errors import LeaseLost
from oqkit.queue import part
from oqkit.queue.part import Lease, output_id
from oqkit.queue.repository import Repository
from oqkit.queue.rows import NONE, union
from oqkit.queue.task_state import TaskState, changed
from oqkit.queue.transition import Status, Verb
from oqkit.worker import runner
from oqkit.worker.solitude import Solitude


def commit_without_lease(patch: pytest.MonkeyPatch) -> None:
    """Outcomes are written to the rows they are of, whoever holds those now."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        try:
            return original(state, lease_id, given, **more)
        except LeaseLost:
            rows = union(outcome.rows for outcome in given.outcomes if outcome.verb is Verb.COMPLETE)
            name = output_id(lease_id, 99) if given.output is not None else ""

            def write(task: TaskState) -> TaskState:
                return replace(task, status=Status.COMPLETED, lease="", output=name)

            states = changed(state.states, rows, write)
            held = {task.lease for task in states}
            inline = None if isinstance(given.output, bytes) else given.output
            outputs = {**state.outputs, name: inline} if name else state.outputs
            named = {task.output for task in states}
            return replace(
                state,
                states=states,
                leases=tuple(one for one in state.leases if one.id in held),
                outputs={key: value for key, value in outputs.items() if key in named},
            )

    patch.setattr(lease, "commit", commit)


def worker_name_is_the_fence(patch: pytest.MonkeyPatch) -> None:
    """The lease is found by its worker's name: a lease the worker lost and took again looks the same."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        worker = _HOLDERS.get(lease_id, "")
        same = next((one.id for one in state.leases if one.worker == worker), lease_id)
        return original(state, same, given, **more)

    made = HeldLease.__init__

    def init(self, repository, job, held, lease_id, *, lease_s):
        made(self, repository, job, held, lease_id, lease_s=lease_s)
        _HOLDERS[lease_id] = next(one.worker for one in held.doc.leases if one.id == lease_id)

    patch.setattr(HeldLease, "__init__", init)
    patch.setattr(lease, "commit", commit)


_HOLDERS: dict[str, str] = {}


def local_clock(patch: pytest.MonkeyPatch) -> None:
    """Leases run out by the worker's own clock."""

    def now(self):
        return 1_800_000_000.0 + self.store.clock.monotonic() - 10_000.0

    patch.setattr(Repository, "now", now)


def leases_run_out_early(patch: pytest.MonkeyPatch) -> None:
    """Rows are taken over a little before their lease is over."""
    original = part.settle

    def settle(state, *, now, policy, chance):
        leases = tuple(replace(one, expires=min(one.expires, one.expires - 2.0)) for one in state.leases)
        early = original(replace(state, leases=leases), now=now, policy=policy, chance=chance)
        kept = {one.id: one for one in state.leases}
        return replace(early, leases=tuple(kept[one.id] for one in early.leases))

    patch.setattr(part, "settle", settle)


def lease_is_not_extended(patch: pytest.MonkeyPatch) -> None:
    """A checkpoint ends the lease, but its holder goes on."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        return original(state, lease_id, replace(given, is_last=True), **more)

    patch.setattr(lease, "commit", commit)


def attempts_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """A claim leaves the attempt as it was."""
    original = part.claim

    def claim(state, holder: Lease, **more):
        new = original(state, holder, **more)
        rows = new.held(holder.id)
        return replace(new, states=changed(new.states, rows, lambda one: replace(one, attempt=max(0, one.attempt - 1))))

    patch.setattr(claimer, "claim", claim)


def lost_leases_use_up_attempts(patch: pytest.MonkeyPatch) -> None:
    """A lease that ran out counts against the retries of all its rows."""
    original = part._lost

    def lost(state, holder, **more):
        new = original(state, holder, **more)
        return replace(
            new, states=changed(new.states, state.held(holder.id), lambda one: replace(one, spared=one.spared - 1))
        )

    patch.setattr(part, "_lost", lost)


def every_row_of_a_lost_lease_is_charged(patch: pytest.MonkeyPatch) -> None:
    """Whoever was in a lease that ran out is taken to have killed its worker, alone or not."""
    original = part._lost

    def lost(state, holder, **more):
        return original(state, replace(holder, is_alone=True), **more)

    patch.setattr(part, "_lost", lost)


def killers_are_never_charged(patch: pytest.MonkeyPatch) -> None:
    """A death of the worker costs nobody anything: a row that kills its worker does so for ever."""

    def died(state, output, **more):
        return replace(state, status=Status.PENDING, lease="", spared=state.spared + 1, output=output)

    patch.setattr(part, "_died", died)


def a_suspect_runs_beside_others(patch: pytest.MonkeyPatch) -> None:
    """A row is put on record as alone while other slots of its worker go on."""
    patch.setattr(Solitude, "enter", _enter)
    patch.setattr(Solitude, "is_granted", lambda self, who: self._owner is who)
    patch.setattr(Solitude, "is_asked_for_by_another", lambda self, who: False)


def _enter(self) -> bool:
    self._n_at_stake += 1
    return True


def suspects_are_not_isolated(patch: pytest.MonkeyPatch) -> None:
    """Rows on which leases ran out again and again run in a thread of the worker as others do."""
    patch.setattr(HeldLease, "is_suspect", lambda self, *, after: False)


def all_that_were_started_are_blamed(patch: pytest.MonkeyPatch) -> None:
    """The death of a child process is charged to every row that was started in it and has no outcome."""
    original = runner.blame

    def blame(incident, *, done, held, **more):
        verdict = original(incident, done=done, held=held, **more)
        started = (incident.rows[: max(incident.taken + 1, 2)] & held) - done
        return replace(verdict, charged=started, apart=(), passed=NONE, rest=verdict.rest - started)

    patch.setattr(runner, "blame", blame)


def back_off_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Rows that are not due are claimed as well."""
    original = part._choice

    def choice(state, *, now, **more):
        return original(state, now=now + 1e6, **more)

    patch.setattr(part, "_choice", choice)
