"""Mistakes that queues on object stores really make, planted one at a time: each takes a `pytest.MonkeyPatch`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import claimer, lease
from oqkit.claim.lease import HeldLease
from oqkit.client import result
from oqkit.errors import Conflict, FormatError, LeaseLost, Missing, Unavailable
from oqkit.payload.output import decode_outcomes
from oqkit.queue import cas, control, part, submission, sweep
from oqkit.queue import job as job_module
from oqkit.queue.cas import CasLoop, Versioned
from oqkit.queue.commit import Outcome
from oqkit.queue.part import Lease, output_id
from oqkit.queue.repository import Repository
from oqkit.queue.rows import NONE, union
from oqkit.queue.task_state import TaskState, changed
from oqkit.queue.transition import Status, Verb
from oqkit.testing.simulation.bucket import SimStore
from oqkit.worker import runner
from oqkit.worker.running import Running
from oqkit.worker.solitude import Solitude
from oqkit.worker.worker import WorkerLoop

Patch = pytest.MonkeyPatch


# --- lost replies --------------------------------------------------------------------------------


def _update(patch: Patch, *, on_conflict=None, on_silence=None, evidence=None, stamp=True):
    """Replace the read-modify-write loop by one with a mistake."""

    def update(self, kind, key, change, *, applied, held=None, absent=None, patience_s=None):
        mine: set[str] = set()
        proof = applied if evidence is None else lambda doc: evidence(doc, mine)
        for _ in self.attempts(patience_s):
            try:
                held = held or self.read(kind, key, absent=absent)
                return held if proof(held.doc) else _write(self, kind, key, change, held=held, stamp=stamp, mine=mine)
            except (Conflict, Unavailable) as error:
                held, mistake = None, on_conflict if isinstance(error, Conflict) else on_silence
            if mistake is not None:
                return mistake(self, kind, key, absent)
        raise Unavailable(key)

    patch.setattr(CasLoop, "update", update)


def _write(loop, kind, key, change, *, held, stamp, mine):
    new = change(held.doc)
    if new == held.doc:
        return held
    if stamp:
        new = replace(new, rev=held.doc.rev + 1, op=cas.new_id(loop.rng))
    mine.add(new.op)
    return Versioned(new, loop._write(key, kind.dump(new), held.etag))


def conflict_means_lost(patch: Patch) -> None:
    """412 is taken for "somebody else was first"."""
    _update(patch, on_conflict=_told_lost)


def _told_lost(loop, kind, key, absent):
    held = loop.read(kind, key, absent=absent)
    bare = replace(held.doc, leases=(), done=(), outputs={}) if kind is cas.PART else replace(held.doc, controls=())
    return Versioned(bare, held.etag)


def one_read_decides(patch: Patch) -> None:
    """After a time-out one GET says whether the write was applied; it may still be on its way."""
    _update(patch, on_silence=lambda loop, kind, key, absent: loop.read(kind, key, absent=absent))


def silence_means_done(patch: Patch) -> None:
    """A time-out is taken for success."""
    original = SimStore.replace

    def hopeful(self, key, data, *, etag):
        try:
            return original(self, key, data, etag=etag)
        except Unavailable:
            return "unknown"

    patch.setattr(SimStore, "replace", hopeful)


def last_writer_is_evidence(patch: Patch) -> None:
    """A write counts as applied if its token is the last one in the document; later writers wipe that out."""
    _update(patch, evidence=lambda doc, mine: doc.op in mine)


def no_stamp(patch: Patch) -> None:
    """Neither `rev` nor `op` in the document: the same state has the same bytes, and so the same etag."""
    _update(patch, stamp=False)


def create_conflict_means_taken(patch: Patch) -> None:
    """The SDK's retries are on, and 412 to a create means that somebody else's job has this id."""
    original = Repository.create_job

    def create_job(self, job):
        before = self.store.create

        def create(key, data):
            try:
                return before(key, data)
            except Conflict:
                raise Missing(key) from None

        self.store.create = create
        try:
            return original(self, job)
        except Missing:
            found = self.read_job(job.id)
            return Versioned(replace(found.doc, origin="somebody else"), found.etag)
        finally:
            del self.store.create

    patch.setattr(Repository, "create_job", create_job)


def upload_is_not_repeated(patch: Patch) -> None:
    """An upload that timed out is taken for done."""

    def put_once(self, key, data):
        try:
            self.store.create(key, data)
        except (Conflict, Unavailable):
            return

    patch.setattr(CasLoop, "put_once", put_once)


# --- leases --------------------------------------------------------------------------------------


def commit_without_lease(patch: Patch) -> None:
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


def worker_name_is_the_fence(patch: Patch) -> None:
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


def local_clock(patch: Patch) -> None:
    """Leases run out by the worker's own clock."""

    def now(self):
        return 1_800_000_000.0 + self.store.clock.monotonic() - 10_000.0

    patch.setattr(Repository, "now", now)


def leases_run_out_early(patch: Patch) -> None:
    """Rows are taken over a little before their lease is over."""
    original = part.settle

    def settle(state, *, now, policy, chance):
        leases = tuple(replace(one, expires=min(one.expires, one.expires - 2.0)) for one in state.leases)
        early = original(replace(state, leases=leases), now=now, policy=policy, chance=chance)
        kept = {one.id: one for one in state.leases}
        return replace(early, leases=tuple(kept[one.id] for one in early.leases))

    patch.setattr(part, "settle", settle)


def lease_is_not_extended(patch: Patch) -> None:
    """A checkpoint ends the lease, but its holder goes on."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        return original(state, lease_id, replace(given, is_last=True), **more)

    patch.setattr(lease, "commit", commit)


def attempts_are_not_counted(patch: Patch) -> None:
    """A claim leaves the attempt as it was."""
    original = part.claim

    def claim(state, holder: Lease, **more):
        new = original(state, holder, **more)
        rows = new.held(holder.id)
        return replace(new, states=changed(new.states, rows, lambda one: replace(one, attempt=max(0, one.attempt - 1))))

    patch.setattr(claimer, "claim", claim)


def lost_leases_use_up_attempts(patch: Patch) -> None:
    """A lease that ran out counts against the retries of all its rows."""
    original = part._lost

    def lost(state, holder, **more):
        new = original(state, holder, **more)
        return replace(
            new, states=changed(new.states, state.held(holder.id), lambda one: replace(one, spared=one.spared - 1))
        )

    patch.setattr(part, "_lost", lost)


def every_row_of_a_lost_lease_is_charged(patch: Patch) -> None:
    """Whoever was in a lease that ran out is taken to have killed its worker, alone or not."""
    original = part._lost

    def lost(state, holder, **more):
        return original(state, replace(holder, is_alone=True), **more)

    patch.setattr(part, "_lost", lost)


def killers_are_never_charged(patch: Patch) -> None:
    """A death of the worker costs nobody anything: a row that kills its worker does so for ever."""

    def died(state, output, **more):
        return replace(state, status=Status.PENDING, lease="", spared=state.spared + 1, output=output)

    patch.setattr(part, "_died", died)


def a_suspect_runs_beside_others(patch: Patch) -> None:
    """A row is put on record as alone while other slots of its worker go on."""
    patch.setattr(Solitude, "enter", _enter)
    patch.setattr(Solitude, "is_granted", lambda self, who: self._owner is who)
    patch.setattr(Solitude, "is_asked_for_by_another", lambda self, who: False)


def _enter(self) -> bool:
    self._n_at_stake += 1
    return True


def suspects_are_not_isolated(patch: Patch) -> None:
    """Rows on which leases ran out again and again run in a thread of the worker as others do."""
    patch.setattr(HeldLease, "is_suspect", lambda self, *, after: False)


def all_that_were_started_are_blamed(patch: Patch) -> None:
    """The death of a child process is charged to every row that was started in it and has no outcome."""
    original = runner.blame

    def blame(incident, *, done, held, **more):
        verdict = original(incident, done=done, held=held, **more)
        started = (incident.rows[: max(incident.taken + 1, 2)] & held) - done
        return replace(verdict, charged=started, apart=(), passed=NONE, rest=verdict.rest - started)

    patch.setattr(runner, "blame", blame)


def back_off_is_ignored(patch: Patch) -> None:
    """Rows that are not due are claimed as well."""
    original = part._choice

    def choice(state, *, now, **more):
        return original(state, now=now + 1e6, **more)

    patch.setattr(part, "_choice", choice)


# --- order of writes -----------------------------------------------------------------------------


def no_marker(patch: Patch) -> None:
    """A job is stored, but nobody is told."""
    patch.setattr(submission, "announce", lambda repository, job: None)


def marker_is_written_once(patch: Patch) -> None:
    """A marker that timed out is not written again."""

    def put_marker(self, marker):
        self.delete_quietly  # noqa: B018 - the same interface
        try:
            self.store.overwrite(marker.key, b"")
        except Unavailable:
            return

    patch.setattr(Repository, "put_marker", put_marker)


def marker_before_the_job(patch: Patch) -> None:
    """The marker goes up before the job object is there."""
    original = Repository.create_job

    def create_job(self, job):
        self.put_marker(self.marker(job, due=job.created))
        return original(self, job)

    patch.setattr(Repository, "create_job", create_job)


def resume_does_nothing(patch: Patch) -> None:
    """A second submission under the same key trusts that the first one put up the marker."""
    patch.setattr(submission, "resume", lambda repository, job: None)


def output_after_its_commit(patch: Patch) -> None:
    """The part names an output that is uploaded only afterwards."""
    put, commit = HeldLease.put_output, HeldLease.commit

    def put_output(self, data):
        self.later = data

    def late_commit(self, given, **more):
        number = self.part.lease(self.id).commits
        commit(self, given, **more)
        if getattr(self, "later", None) is not None:
            data, self.later = self.later, None
            key = self._repository.keys_of(self.job).output(self.index, output_id(self.id, number + 1))
            self._repository.loop.put_once(key, data)

    assert put is not None
    patch.setattr(HeldLease, "put_output", put_output)
    patch.setattr(HeldLease, "commit", late_commit)


def unnamed_outputs_are_read(patch: Patch) -> None:
    """A reader takes whatever lies in the folder of outputs, the last one winning."""
    original = result.ResultReader.pieces

    def pieces(self, skip=(), **more):
        found = original(self, skip, **more)
        job, store = self._job, self._repository.store
        prefix = f"{self._repository.keys_of(job).folder}out/"
        for entry in store.list(prefix).entries:
            index = int(entry.key[len(prefix) :].split("-")[0])
            outcomes = decode_outcomes(store.read(entry.key).data)
            rows = outcomes.rows + index * job.part_rows
            found = [_minus(piece, rows) for piece in found]
            found.append((rows, outcomes.values))
        return [piece for piece in found if len(piece[0])]

    patch.setattr(result.ResultReader, "pieces", pieces)


def _minus(piece, rows):
    numbers, values = piece
    kept = [place for place, row in enumerate(numbers) if row not in rows]
    return numbers[kept], values.take(result.pa.array(kept, result.pa.int64()))


# --- orders and the end of a job -----------------------------------------------------------------


def markers_have_no_generation(patch: Patch) -> None:
    """A retry's marker has the name of the first one: whoever still takes the job for finished takes that down."""
    original = Repository.marker

    def marker(self, job, *, due):
        return replace(original(self, job, due=due), gen=1, due=job.created, is_later=False)

    patch.setattr(Repository, "marker", marker)


def orders_are_not_numbered(patch: Patch) -> None:
    """A part does not remember which orders it has carried out."""
    original = job_module.caught_up

    def caught_up(state, job, *, now):
        return replace(original(replace(state, gen=1), job, now=now), gen=max(state.gen, job.gen))

    for module in (claimer, lease, control):
        patch.setattr(module, "caught_up", caught_up)


def cancel_spares_running_rows(patch: Patch) -> None:
    """A cancel that means running rows leaves them alone."""
    original = part.cancel

    def cancel(state, rows, *, now, statuses, note=""):
        return original(state, rows, now=now, statuses=frozenset(statuses) - {Status.RUNNING}, note=note)

    patch.setattr(job_module, "cancel", cancel)


def cancel_skips_untouched_parts(patch: Patch) -> None:
    """A cancel is written only to the parts that exist."""
    original = control.bring_up

    def bring_up(repository, job, order):
        is_cancel = order.verb is job_module.ControlVerb.CANCEL
        original(repository, job, replace(order, verb=job_module.ControlVerb.RETRY) if is_cancel else order)

    patch.setattr(control, "bring_up", bring_up)


def marker_moves_by_way_of_nothing(patch: Patch) -> None:
    """A job that waits for its back-off loses its old marker first, and only then gets the new one."""
    put, delete = Repository.put_marker, Repository.delete_quietly

    def postpone(self, one, job, state):
        for key in list(one.markers):
            delete(self._repository, key)
        when = state.next_change()
        if when is not None:
            put(self._repository, self._repository.marker(job, due=when))

    patch.setattr(claimer.Claimer, "_postpone", postpone)


def one_final_part_ends_the_job(patch: Patch) -> None:
    """A worker that sees a part at its end takes the job for finished."""

    def finish(self, one):
        job = one.job
        if not one.final:
            return False
        self._take_down(one, job.id, up_to=job.gen)
        return True

    patch.setattr(claimer.Claimer, "_finish", finish)


def pause_stops_nothing(patch: Patch) -> None:
    """Workers do not ask whether a job is paused."""
    patch.setattr(job_module.Job, "pause", lambda self, now: None)


def resume_tells_nobody(patch: Patch) -> None:
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


def job_read_again_is_not_asked(patch: Patch) -> None:
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


def ended_leases_are_forgotten(patch: Patch) -> None:
    """The part keeps no ring of the commits that came last: a lost reply looks like a lost lease."""
    original = part._ended
    patch.setattr(part, "_ended", lambda state, holder: replace(original(state, holder), done=()))


def rows_go_back_too_late(patch: Patch) -> None:
    """Rows are handed back without telling the thread that runs them, which goes on with them."""

    def keep(self, n_rows):
        stop, self.limit = self.limit, min(self.buffer.taken + n_rows, self.limit)
        self._leaving = (self.limit, stop)

    patch.setattr(Running, "keep", keep)


def failure_is_final(patch: Patch) -> None:
    """The first failure ends a task, whatever its retries."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        first = [
            Outcome(verb=Verb.COMPLETE if one.verb is Verb.RESCHEDULE else one.verb, rows=one.rows)
            for one in given.outcomes
        ]
        return original(state, lease_id, replace(given, outcomes=first), **more)

    patch.setattr(lease, "commit", commit)


# --- nothing lost, nothing stuck -----------------------------------------------------------------


def _has_parts(repository, job):
    return bool(repository.store.list(repository.keys_of(job).parts, limit=1).entries)


def search_ignores_started_jobs(patch: Patch) -> None:
    """The search for lost jobs takes one with parts for one that somebody works on."""
    original = sweep.is_done
    patch.setattr(sweep, "is_done", lambda repository, job: _has_parts(repository, job) or original(repository, job))


def search_forgets_open_jobs(patch: Patch) -> None:
    """The search looks at a job once, when it is new: what loses its marker later is not missed."""
    original = sweep.Sweep._looked_at

    def looked_at(self, jobs, watched):
        original(self, jobs, watched)
        return {}

    patch.setattr(sweep.Sweep, "_looked_at", looked_at)


def empty_listing_means_gone(patch: Patch) -> None:
    """A job that the bell told of is dropped when a listing does not show its marker, which is only on its way."""

    def miss(self, job_id, one, now):
        del self._cursors[job_id]

    patch.setattr(claimer.Claimer, "_miss", miss)


def stopping_waits_for_ever(patch: Patch) -> None:
    """A worker that is told to stop waits for its threads, although the store never answers them."""
    original = WorkerLoop._join
    patch.setattr(WorkerLoop, "_join", lambda self, threads, patience_s: original(self, threads, 1e9))


# --- documents of a newer version ----------------------------------------------------------------


def _unless_gone(patch: Patch, *, gone: tuple[type[Exception], ...]) -> None:
    """Replace what puts a job aside by something that knows only jobs that are gone."""

    def act(self, one, job_id, action):
        try:
            return action()
        except gone:
            self._take_down(one, job_id)
            return None

    patch.setattr(claimer.Claimer, "_unless_gone", act)


def unreadable_job_is_trouble(patch: Patch) -> None:
    """A job that is not understood is taken for a store that does not work: the worker waits, and tries it again."""
    _unless_gone(patch, gone=(Missing,))


def unreadable_job_is_gone(patch: Patch) -> None:
    """A job that is not understood is taken for one that was deleted: nobody is told of it any more."""
    _unless_gone(patch, gone=(Missing, FormatError))


MUTANTS = {
    function.__name__: function
    for function in (
        unreadable_job_is_trouble,
        unreadable_job_is_gone,
        conflict_means_lost,
        one_read_decides,
        silence_means_done,
        last_writer_is_evidence,
        no_stamp,
        create_conflict_means_taken,
        upload_is_not_repeated,
        commit_without_lease,
        worker_name_is_the_fence,
        local_clock,
        leases_run_out_early,
        lease_is_not_extended,
        attempts_are_not_counted,
        lost_leases_use_up_attempts,
        every_row_of_a_lost_lease_is_charged,
        killers_are_never_charged,
        a_suspect_runs_beside_others,
        suspects_are_not_isolated,
        all_that_were_started_are_blamed,
        back_off_is_ignored,
        no_marker,
        marker_is_written_once,
        marker_before_the_job,
        resume_does_nothing,
        output_after_its_commit,
        unnamed_outputs_are_read,
        markers_have_no_generation,
        orders_are_not_numbered,
        cancel_spares_running_rows,
        cancel_skips_untouched_parts,
        marker_moves_by_way_of_nothing,
        one_final_part_ends_the_job,
        pause_stops_nothing,
        resume_tells_nobody,
        job_read_again_is_not_asked,
        ended_leases_are_forgotten,
        rows_go_back_too_late,
        failure_is_final,
        search_ignores_started_jobs,
        search_forgets_open_jobs,
        empty_listing_means_gone,
        stopping_waits_for_ever,
    )
}
