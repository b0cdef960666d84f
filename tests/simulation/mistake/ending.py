"""Mistakes about orders and the end of a job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import claimer, lease
from oqkit.queue import control, part
from oqkit.queue import job as job_module
from oqkit.queue.commit import Outcome
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status, Verb
from oqkit.worker.running import Running


def markers_have_no_generation(patch: pytest.MonkeyPatch) -> None:
    """A retry's marker has the name of the first one: whoever still takes the job for finished takes that down."""
    original = Repository.marker

    def marker(self, job, *, due):
        return replace(original(self, job, due=due), gen=1, due=job.created, is_later=False)

    patch.setattr(Repository, "marker", marker)


def orders_are_not_numbered(patch: pytest.MonkeyPatch) -> None:
    """A part does not remember which orders it has carried out."""
    original = job_module.caught_up

    def caught_up(state, job, *, now):
        return replace(original(replace(state, gen=1), job, now=now), gen=max(state.gen, job.gen))

    for module in (claimer, lease, control):
        patch.setattr(module, "caught_up", caught_up)


def cancel_spares_running_rows(patch: pytest.MonkeyPatch) -> None:
    """A cancel that means running rows leaves them alone."""
    original = part.cancel

    def cancel(state, rows, *, now, statuses, note=""):
        return original(state, rows, now=now, statuses=frozenset(statuses) - {Status.RUNNING}, note=note)

    patch.setattr(job_module, "cancel", cancel)


def cancel_skips_untouched_parts(patch: pytest.MonkeyPatch) -> None:
    """A cancel is written only to the parts that exist."""
    original = control.bring_up

    def bring_up(repository, job, order):
        is_cancel = order.verb is job_module.ControlVerb.CANCEL
        original(repository, job, replace(order, verb=job_module.ControlVerb.RETRY) if is_cancel else order)

    patch.setattr(control, "bring_up", bring_up)


def marker_moves_by_way_of_nothing(patch: pytest.MonkeyPatch) -> None:
    """A job that waits for its back-off loses its old marker first, and only then gets the new one."""
    put, delete = Repository.put_marker, Repository.delete_quietly

    def postpone(self, one, job, state):
        for key in list(one.markers):
            delete(self._repository, key)
        when = state.next_change()
        if when is not None:
            put(self._repository, self._repository.marker(job, due=when))

    patch.setattr(claimer.Claimer, "_postpone", postpone)


def one_final_part_ends_the_job(patch: pytest.MonkeyPatch) -> None:
    """A worker that sees a part at its end takes the job for finished."""

    def finish(self, one):
        job = one.job
        if not one.final:
            return False
        self._take_down(one, job.id, up_to=job.gen)
        return True

    patch.setattr(claimer.Claimer, "_finish", finish)


def pause_stops_nothing(patch: pytest.MonkeyPatch) -> None:
    """Workers do not ask whether a job is paused."""
    patch.setattr(job_module.Job, "pause", lambda self, now: None)


def resume_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    """The end of a pause is entered in the job object, but the marker stays where the pause had put it."""
    original = control._order

    def order(repository, job_id, verb, **what):
        if verb is not job_module.ControlVerb.RESUME:
            return original(repository, job_id, verb, **what)
        put_marker, repository.put_marker = repository.put_marker, lambda marker: None
        try:
            return original(repository, job_id, verb, **what)
        finally:
            repository.put_marker = put_marker

    patch.setattr(control, "_order", order)


def job_read_again_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    """A worker that reads a job again in the midst of a claim goes on without asking whether it is paused by now."""

    def claim_in(self, one):
        if not self._may_start(one, one.job):
            return None
        for _ in range(self._limits.job_claims):
            index = one.choose()
            if index is None:
                break
            held = self._claim(one, index)
            if held is not None:
                return held
        else:
            return None
        if not self._finish(one) and not one.unread:
            self._rest(one)
        return None

    patch.setattr(claimer.Claimer, "_claim_in", claim_in)


def ended_leases_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The part keeps no ring of the commits that came last: a lost reply looks like a lost lease."""
    original = part._ended
    patch.setattr(part, "_ended", lambda state, holder: replace(original(state, holder), done=()))


def rows_go_back_too_late(patch: pytest.MonkeyPatch) -> None:
    """Rows are handed back without telling the thread that runs them, which goes on with them."""

    def keep(self, n_rows):
        stop, self.limit = self.limit, min(self.buffer.taken + n_rows, self.limit)
        self._leaving = (self.limit, stop)

    patch.setattr(Running, "keep", keep)


def failure_is_final(patch: pytest.MonkeyPatch) -> None:
    """The first failure ends a task, whatever its retries."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        first = [
            Outcome(verb=Verb.COMPLETE if one.verb is Verb.RESCHEDULE else one.verb, rows=one.rows)
            for one in given.outcomes
        ]
        return original(state, lease_id, replace(given, outcomes=first), **more)

    patch.setattr(lease, "commit", commit)
