"""The state of one part: pure functions ``(part, verb, now) -> part`` with no I/O.

Only `oqkit.queue.transition` says which status follows which; here the verbs are applied to sets
of rows, under leases. A lease is the right to write the outcome of the rows that name it; whoever
is not named any more writes nothing (guarantee G2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oqkit.errors import LeaseLost
from oqkit.limits import QueueLimits
from oqkit.queue import bound
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.part_log import Event, appended
from oqkit.queue.policy import Policy
from oqkit.queue.progress import Progress
from oqkit.queue.rows import Rows, union
from oqkit.queue.signal import with_wait
from oqkit.queue.suspect import lease_s_for, most_rows
from oqkit.queue.task_state import States, Stretch, TaskState, changed, grouped, off_lease, stretches
from oqkit.queue.transition import Status, Verb, target

DONE_RING = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker's right to the rows that name it, until `expires` (epoch seconds), or longer for a row that says so, or its end."""

    id: bound.LeaseId
    worker: bound.Name
    expires: bound.Moment
    commits: bound.Count = field(default=0, metadata=bound.STATED)
    """How many commits were made under it."""
    is_alone: bool = False
    """Whether its one row runs while nothing else is at stake in its worker: if that dies, it is the row's doing."""
    progress: tuple[Progress, ...] = ()
    """How far the calls were at the last heartbeat; of rows that the lease does not hold any more it says nothing."""
    unknown: bound.Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A contiguous run of a job's tasks. `rev` rises with every write and `op` is fresh, so no two states are alike."""

    job: str
    index: int
    n_rows: int
    states: States
    gen: int = 1
    """How many of the job's controls have been applied here."""
    rev: int = 0
    op: str = ""
    at: float = 0.0
    leases: tuple[Lease, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Output id to its inline outcomes, or to None when they are a Parquet object."""
    done: tuple[str, ...] = ()
    """The last commit of each lease that ended last: its holder can tell a lost reply from a lost lease."""
    log: tuple[Event, ...] = ()
    requires: tuple[str, ...] = ()
    """Features without which nobody may touch it."""
    unknown: bound.Unknown = ()

    @property
    def is_final(self) -> bool:
        """Whether every task has a final status."""
        return all(state.status.is_final for state in self.states)

    def counts(self) -> dict[Status, int]:
        """Return how many rows are in each status."""
        out = dict.fromkeys(Status, 0)
        for state, rows in self.states.items():
            out[state.status] += len(rows)
        return out

    def lease(self, lease_id: str) -> Lease:
        """Return the live lease, or raise `LeaseLost`."""
        for lease in self.leases:
            if lease.id == lease_id:
                return lease
        raise LeaseLost(lease_id)

    def rows(self, which: Callable[[TaskState], bool]) -> Rows:
        """Return the rows whose state is so."""
        return union(rows for state, rows in self.states.items() if which(state))

    def held(self, lease_id: str) -> Rows:
        """Return the rows that run under a lease."""
        return self.rows(lambda state: state.lease == lease_id)

    def holds(self, lease_id: str) -> set[float]:
        """Return until when rows of a lease are held, whenever that runs out, in epoch seconds; 0 for those that are not."""
        return {state.held_until for state in self.states if state.lease == lease_id}

    def progress(self) -> list[Progress]:
        """Return what running calls said of themselves at the last heartbeat, each of the rows that it still runs."""
        told = ((one, one.rows & self.held(lease.id)) for lease in self.leases for one in lease.progress)
        return [replace(one, rows=rows) for one, rows in told if rows]

    def stretches(self) -> list[Stretch]:
        """Return all rows in order, neighbours that share their state together."""
        return stretches(self.states)

    def has_commit(self, lease_id: str, number: int) -> bool:
        """Whether commit `number` of a lease is part of this state: the evidence that survives other writers."""
        if any(lease.id == lease_id and lease.commits >= number for lease in self.leases):
            return True
        ended = (last.rpartition(".") for last in self.done)
        if any(one == lease_id and int(commits) >= number for one, _, commits in ended):
            return True
        return output_id(lease_id, number) in self.outputs

    def state_at(self, row: int) -> TaskState:
        """Return the state of a row."""
        return next(state for state, rows in self.states.items() if row in rows)

    def due(self, now: float) -> States:
        """Return the rows that wait to be claimed."""
        return {
            state: rows for state, rows in self.states.items() if state.status is Status.PENDING and state.due <= now
        }

    def next_change(self) -> float | None:
        """Return when rows may next become claimable by themselves (epoch seconds), or None for never."""
        times = [state.due for state in self.states if state.status is Status.PENDING]
        times += [lease.expires for lease in self.leases]
        return min(times, default=None)


def output_id(lease_id: str, number: int) -> str:
    """Name one commit of a lease, and its output."""
    return f"{lease_id}.{number}"


def fresh(job: str, index: int, *, n_rows: int, gen: int) -> Part:
    """Return the state that an absent part object stands for: all pending."""
    return Part(job=job, index=index, n_rows=n_rows, gen=gen, states=grouped([(TaskState(), Rows.span(0, n_rows))]))


# --- verbs ---------------------------------------------------------------------------------------


def claim(
    part: Part, lease: Lease, *, max_rows: int, now: float, policy: Policy, chance: float, limits: QueueLimits
) -> Part:
    """Give `lease` up to `max_rows` due rows, after settling what time has decided.

    The lease is in the result only if there was a row for it. Rows on which leases ran out are not mixed
    with others, and come in ever smaller claims, down to the one that kills its worker; the leases on them
    are longer (see `lease_s_for`).
    """
    part = settle(part, now=now, policy=policy, chance=chance)
    if len(part.leases) >= limits.max_leases or now < policy.not_before:
        return part
    taken = _choice(part, max_rows=max_rows, now=now, limits=limits)
    if not taken:
        return part

    def take(state: TaskState) -> TaskState:
        status = target(Verb.CLAIM, state.status)
        return replace(state, status=status, attempt=state.attempt + 1, lease=lease.id, due=0.0)

    part = replace(part, states=changed(part.states, taken, take), leases=(*part.leases, lease))
    lease_s = lease_s_for(part.states, lease.id, lease_s=lease.expires - now, limits=limits)
    part = replace(part, leases=(*part.leases[:-1], replace(lease, expires=now + lease_s)))
    return _logged(part, now, Verb.CLAIM, taken, worker=lease.worker)


def _choice(part: Part, *, max_rows: int, now: float, limits: QueueLimits) -> Rows:
    """Return the first due rows, suspects or others, and no more of them than the most suspicious one allows."""
    due = part.due(now)
    if not any(state.is_suspect for state in due):
        return union(due.values()).head(max_rows)
    found = stretches(due)
    taken: list[tuple[int, int]] = []
    n_taken = 0
    for first, stop, state in found:
        if state.is_suspect is not found[0].state.is_suspect:
            continue
        max_rows = min(max_rows, most_rows(state, part.n_rows, limits=limits))
        if n_taken >= max_rows:
            break
        taken.append((first, min(stop, first + max_rows - n_taken)))
        n_taken += taken[-1][1] - first
    return Rows.ranged(taken)


def commit(
    part: Part, lease_id: str, given: Commit, *, now: float, policy: Policy, chance: float, lease_s: float
) -> Part:
    """Record what `given` says under a lease, and keep the lease for `lease_s` more, or end it if it holds no row any more.

    A lease never gets shorter, nor does what a row of it was once extended to. What was told of progress is replaced.
    The state of each row names the output of the commit that its outcome came with. Rows that were cancelled
    meanwhile are left alone. Raise `LeaseLost` if the lease is gone.
    """
    lease = part.lease(lease_id)
    lease = replace(
        lease,
        commits=lease.commits + 1,
        is_alone=lease.is_alone or given.is_alone,
    )
    name = output_id(lease_id, lease.commits) if given.output is not None else ""
    for outcome in given.outcomes:
        part = _record(part, lease, outcome, name=name, now=now, policy=policy, chance=chance)
    if name:
        inline = None if isinstance(given.output, bytes) else given.output
        part = replace(part, outputs={**part.outputs, name: inline})
    held = part.held(lease_id)
    part = _released(part, lease, held if given.is_last else held & given.release, now=now)
    if not part.held(lease_id):
        return _swept(_ended(part, lease))
    told, held = lease.progress if given.progress is None else given.progress, part.held(lease_id)
    part = replace(part, states=changed(part.states, held & given.extended, _held_for(given.lease_s, now=now)))
    lease = replace(
        lease,
        progress=tuple(one for one in told if one.rows & held),
        expires=max(lease.expires, min(max(now + lease_s, until) for until in part.holds(lease_id))),
    )
    others = tuple(other for other in part.leases if other.id != lease_id)
    return _swept(replace(part, leases=(*others, lease)))


def _held_for(seconds: float, *, now: float) -> Callable[[TaskState], TaskState]:
    return lambda state: replace(state, held_until=max(state.held_until, now + seconds))


def _ended(part: Part, lease: Lease) -> Part:
    """Strike a lease out, but keep the evidence of what was committed under it."""
    last = (output_id(lease.id, lease.commits),) if lease.commits else ()
    others = tuple(other for other in part.leases if other.id != lease.id)
    return replace(part, leases=others, done=(*part.done, *last)[-DONE_RING:])


def _record(
    part: Part, lease: Lease, outcome: Outcome, *, name: str, now: float, policy: Policy, chance: float
) -> Part:
    rows = part.held(lease.id) & outcome.rows

    def take_in(state: TaskState) -> TaskState:
        if outcome.verb is Verb.LOSE:
            state = replace(state, lost=0, output=name or state.output)
            return _died(state, now=now, policy=policy, chance=chance, is_certain=outcome.is_certain)
        verb, most = outcome.verb, policy.max_reschedules
        if verb is Verb.RETRY and state.used > policy.retries:
            verb = Verb.FAIL
        if verb is Verb.RESCHEDULE and most is not None and state.reschedules >= most:
            verb = Verb.FAIL
        state = off_lease(state, verb, lost=0, output=name or state.output)
        if verb is Verb.RETRY:
            return replace(state, due=now + policy.backoff.delay_s(state.used, chance=chance))
        return _spared(state, verb, outcome, now=now, gen=part.gen)

    part = replace(part, states=changed(part.states, rows, take_in))
    return _told(part, now, outcome.verb, rows, worker=lease.worker, note=outcome.note, took_s=outcome.took_s)


def _spared(state: TaskState, verb: Verb, outcome: Outcome, *, now: float, gen: int) -> TaskState:
    """Put a row back that used up no attempt; of one that has ended, forget what it waited for."""
    if verb is Verb.RESCHEDULE:
        due = now + outcome.delay_s
        return replace(state, due=due, spared=state.spared + 1, reschedules=state.reschedules + 1)
    if outcome.wait is not None:  # unless an order came that was not looked at: it may be what the row waits for
        due = now if gen > outcome.gen else outcome.wait.until
        return replace(state, due=due, spared=state.spared + 1, waits=with_wait(state.waits, outcome.wait))
    return replace(state, waits=())


def _died(state: TaskState, *, now: float, policy: Policy, chance: float, is_certain: bool = True) -> TaskState:
    """Charge a row with the death of its worker, which was its doing, or, if that is not certain, may have been."""
    deaths = state.deaths + 1
    if is_certain and deaths >= policy.max_losses:
        return off_lease(state, Verb.FAIL, deaths=deaths)
    due = now + policy.backoff.delay_s(deaths, chance=chance)
    return off_lease(state, Verb.LOSE, deaths=deaths, spared=state.spared + 1, due=due)


def _released(part: Part, lease: Lease, rows: Rows, *, now: float) -> Part:
    def give(state: TaskState) -> TaskState:
        return off_lease(state, Verb.RELEASE, spared=state.spared + 1)

    part = replace(part, states=changed(part.states, rows, give))
    return _logged(part, now, Verb.RELEASE, rows, worker=lease.worker)


def settle(part: Part, *, now: float, policy: Policy, chance: float) -> Part:
    """Apply what time alone decides: leases that ran out, and tasks whose time to live is over."""
    for lease in part.leases:
        if lease.expires <= now:
            part = _lost(part, lease, now=now, policy=policy, chance=chance)
    if policy.expires_at is not None and now >= policy.expires_at:
        overdue = part.rows(lambda state: state.status is Status.PENDING and not state.is_reopened)
        part = _moved(part, overdue, Verb.EXPIRE, now=now)
    return part


def _lost(part: Part, lease: Lease, *, now: float, policy: Policy, chance: float) -> Part:
    """Take the rows of a lease that ran out from its holder: nobody is charged, unless its row ran alone.

    Those that it asked more time for stay with it, and it lasts until the first of these is over.
    """
    rows = part.rows(lambda state: state.lease == lease.id and state.held_until <= now)

    def drop(state: TaskState) -> TaskState:
        state = replace(state, lost=state.lost + 1)
        if lease.is_alone:
            return _died(replace(state, output=""), now=now, policy=policy, chance=chance)
        return off_lease(state, Verb.LOSE, spared=state.spared + 1)

    part = replace(part, states=changed(part.states, rows, drop))
    if kept := part.holds(lease.id):
        kept_lease = replace(lease, expires=min(kept))
        part = replace(part, leases=tuple(kept_lease if one is lease else one for one in part.leases))
    else:
        part = _ended(part, lease)
    return _swept(_told(part, now, Verb.LOSE, rows, worker=lease.worker))


def cancel(part: Part, rows: Rows, *, now: float, statuses: frozenset[Status], note: str = "", by: str = "") -> Part:
    """Cancel the rows that are in one of `statuses` (pending, running); the others stay as they are."""
    chosen = part.rows(lambda state: state.status in statuses) & rows
    holders = {state.lease for state in part.states}
    part = _moved(part, chosen, Verb.CANCEL, now=now, note=note, by=by)
    holders -= {state.lease for state in part.states}
    for lease in part.leases:
        if lease.id in holders:
            part = _ended(part, lease)
    return part


def reject(part: Part, *, now: float, note: str) -> Part:
    """Fail the rows that are pending, without running them: `note` says what they depended on."""
    pending = part.rows(lambda state: state.status is Status.PENDING)
    return _moved(part, pending, Verb.REJECT, now=now, note=note)


def reopen(
    part: Part, rows: Rows, *, now: float, statuses: frozenset[Status], by: str = "", signals_from: int = 0
) -> Part:
    """Put the rows that are in one of `statuses` (failed, cancelled, expired) to work again.

    Signals that their job was sent before the generation `signals_from` are not for them any more.
    """
    chosen = part.rows(lambda state: state.status in statuses) & rows
    return _swept(_moved(part, chosen, Verb.REOPEN, now=now, by=by, signals_from=signals_from))


def _moved(
    part: Part, rows: Rows, verb: Verb, *, now: float, note: str = "", by: str = "", signals_from: int = 0
) -> Part:
    def move(state: TaskState) -> TaskState:
        state = off_lease(state, verb, due=0.0, waits=())
        if verb is Verb.REOPEN:
            anew = replace(state, lost=0, deaths=0, reschedules=0, output="", signals_from=signals_from)
            return replace(anew, spared=state.attempt, is_reopened=True)
        return state

    return _logged(replace(part, states=changed(part.states, rows, move)), now, verb, rows, note=note, by=by)


# --- helpers -------------------------------------------------------------------------------------


def _swept(part: Part) -> Part:
    """Forget outputs that no row names any more."""
    named = {state.output for state in part.states}
    if all(name in named for name in part.outputs):
        return part
    return replace(part, outputs={name: value for name, value in part.outputs.items() if name in named})


def _told(part: Part, now: float, verb: Verb, rows: Rows, *, worker: str, note: str = "", took_s: float = 0.0) -> Part:
    """Log what became of rows that were running: of those that had no retry or life left, that they failed."""
    if verb in {Verb.RETRY, Verb.RESCHEDULE, Verb.LOSE}:
        failed = part.rows(lambda state: state.status is Status.FAILED) & rows
        part = _logged(part, now, Verb.FAIL, failed, worker=worker, note=note)
        rows -= failed
    return _logged(part, now, verb, rows, worker=worker, note=note, took_s=took_s)


def _logged(part: Part, now: float, verb: Verb, rows: Rows, **told: Any) -> Part:
    return replace(part, log=appended(part.log, now, verb, rows, **told)) if rows else part
