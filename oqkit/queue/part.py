"""The state of one part: pure functions ``(part, verb, now) -> part`` with no I/O.

Only `oqkit.queue.transition` says which status follows which; here the verbs are applied to ranges
of rows, under leases. A lease is the right to write the outcome of the rows that name it; whoever
is not named any more writes nothing (guarantee G2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oqkit.errors import LeaseLost
from oqkit.queue.run import Range, Run, changed, count, merged, split
from oqkit.queue.transition import Status, Verb, target

MAX_LEASES = 8
DONE_RING = 16
LOG_RING = 32
LOG_RANGES = 16
LOST_SHRINK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a failed task waits: ``initial_s * factor ** (attempt - 1)``, at most `max_s`, give or take `jitter`."""

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.25

    def delay_s(self, attempt: int, *, chance: float) -> float:
        """Return the wait after `attempt`; `chance` in ``[0, 1)`` draws the jitter."""
        try:
            delay_s = self.initial_s * float(self.factor) ** (max(attempt, 1) - 1)
        except OverflowError:
            delay_s = self.max_s
        return min(self.max_s, delay_s) * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules that a job sets for its tasks."""

    retries: int = 3
    backoff: Backoff = field(default_factory=Backoff)
    max_reschedules: int | None = None
    """None: as often as it likes."""
    not_before: float = 0.0
    expires_at: float | None = None
    """None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker's right to the rows that name it, until `expires` (epoch seconds) or its end."""

    id: str
    worker: str
    expires: float
    commits: int = 0
    """How many commits were made under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the part's short log."""

    at: float
    verb: Verb
    rows: tuple[Range, ...]
    """The rows, or, of very scattered ones, the one range from the first to the last."""
    n_rows: int
    worker: str = ""
    note: str = ""
    took_s: float = 0.0
    """How long the rows took to run, in seconds; 0 if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of some rows of a lease."""

    verb: Verb
    rows: tuple[Range, ...]
    delay_s: float = 0.0
    note: str = ""
    took_s: float = 0.0
    """How long it took until they were all run, in seconds; 0 if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A contiguous run of a job's tasks. `rev` rises with every write and `op` is fresh, so no two states are alike."""

    job: str
    index: int
    n_rows: int
    runs: tuple[Run, ...]
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

    @property
    def is_final(self) -> bool:
        """Whether every task has a final status."""
        return all(run.status.is_final for run in self.runs)

    def counts(self) -> dict[Status, int]:
        """Return how many rows are in each status."""
        out = dict.fromkeys(Status, 0)
        for run in self.runs:
            out[run.status] += len(run)
        return out

    def lease(self, lease_id: str) -> Lease:
        """Return the live lease, or raise `LeaseLost`."""
        for lease in self.leases:
            if lease.id == lease_id:
                return lease
        raise LeaseLost(lease_id)

    def held(self, lease_id: str) -> tuple[Range, ...]:
        """Return the rows that run under a lease."""
        return tuple((run.first, run.stop) for run in self.runs if run.lease == lease_id)

    def has_commit(self, lease_id: str, number: int) -> bool:
        """Whether commit `number` of a lease is part of this state: the evidence that survives other writers."""
        if any(lease.id == lease_id and lease.commits >= number for lease in self.leases):
            return True
        ended = (last.rpartition(".") for last in self.done)
        if any(one == lease_id and int(commits) >= number for one, _, commits in ended):
            return True
        return output_id(lease_id, number) in self.outputs

    def run_at(self, row: int) -> Run:
        """Return the run that holds `row`."""
        return next(run for run in self.runs if run.first <= row < run.stop)

    def due(self, now: float) -> Iterator[Run]:
        """Yield the rows that wait to be claimed."""
        return (run for run in self.runs if run.status is Status.PENDING and run.due <= now)

    def next_change(self) -> float | None:
        """Return when rows may next become claimable by themselves (epoch seconds), or None for never."""
        times = [run.due for run in self.runs if run.status is Status.PENDING]
        times += [lease.expires for lease in self.leases]
        return min(times, default=None)


def output_id(lease_id: str, number: int) -> str:
    """Name one commit of a lease, and its output."""
    return f"{lease_id}.{number}"


def fresh(job: str, index: int, *, n_rows: int, gen: int) -> Part:
    """Return the state that an absent part object stands for: all pending."""
    return Part(job=job, index=index, n_rows=n_rows, gen=gen, runs=(Run(first=0, stop=n_rows),))


# --- verbs ---------------------------------------------------------------------------------------


def claim(part: Part, lease: Lease, *, max_rows: int, now: float, policy: Policy, chance: float) -> Part:
    """Give `lease` up to `max_rows` due rows, after settling what time has decided.

    The lease is in the result only if there was a row for it. Rows on which leases ran out come in
    ever smaller claims, and alone on their last attempt, so that a row that kills its worker cannot
    use up its neighbours' attempts.
    """
    part = settle(part, now=now, policy=policy, chance=chance)
    if len(part.leases) >= MAX_LEASES or now < policy.not_before:
        return part
    taken = _choice(part, max_rows=max_rows, now=now, policy=policy)
    if not taken:
        return part

    def take(run: Run) -> Run:
        status = target(Verb.CLAIM, run.status)
        return replace(run, status=status, attempt=run.attempt + 1, lease=lease.id, due=0.0)

    part = replace(part, runs=changed(part.runs, taken, take), leases=(*part.leases, lease))
    return _logged(part, now, Verb.CLAIM, taken, worker=lease.worker)


def _choice(part: Part, *, max_rows: int, now: float, policy: Policy) -> list[Range]:
    """Return the first due rows, no more of them than the most suspicious one allows."""
    taken: list[Range] = []
    for run in part.due(now):
        max_rows = min(max_rows, _allowance(run, part.n_rows, policy))
        room = max_rows - count(taken)
        if room <= 0:
            break
        taken.append((run.first, min(run.stop, run.first + room)))
    return taken


def _allowance(run: Run, n_rows: int, policy: Policy) -> int:
    if not run.lost:
        return n_rows
    if run.used >= policy.retries:
        return 1
    return int(max(1, n_rows // LOST_SHRINK**run.lost))


def commit(
    part: Part,
    lease_id: str,
    outcomes: Sequence[Outcome],
    *,
    now: float,
    policy: Policy,
    chance: float,
    output: Any = None,
    has_output: bool = False,
    release: Sequence[Range] = (),
    lease_s: float | None = None,
) -> Part:
    """Record outcomes under a lease, hand `release` back, and keep the lease for `lease_s` more (None: end it).

    With `has_output` the outcomes' values and errors are in this commit's output: `output` itself if
    it is small, or the Parquet object of that name. Rows that were cancelled meanwhile are left
    alone. Raise `LeaseLost` if the lease is gone.
    """
    lease = part.lease(lease_id)
    lease = replace(lease, commits=lease.commits + 1)
    name = output_id(lease_id, lease.commits) if has_output else ""
    for outcome in outcomes:
        part = _record(part, lease, outcome, name=name, now=now, policy=policy, chance=chance)
    if has_output:
        part = replace(part, outputs={**part.outputs, name: output})
    back = part.held(lease_id) if lease_s is None else _within(part.held(lease_id), release)
    part = _released(part, lease, back, now=now)
    if lease_s is None:
        return _swept(_ended(part, lease))
    others = tuple(other for other in part.leases if other.id != lease_id)
    return _swept(replace(part, leases=(*others, replace(lease, expires=now + lease_s))))


def _ended(part: Part, lease: Lease) -> Part:
    """Strike a lease out, but keep the evidence of what was committed under it."""
    last = (output_id(lease.id, lease.commits),) if lease.commits else ()
    others = tuple(other for other in part.leases if other.id != lease.id)
    return replace(part, leases=others, done=(*part.done, *last)[-DONE_RING:])


def _record(
    part: Part, lease: Lease, outcome: Outcome, *, name: str, now: float, policy: Policy, chance: float
) -> Part:
    rows = _within(part.held(lease.id), outcome.rows)

    def settle_run(run: Run) -> Run:
        verb = outcome.verb
        if verb is Verb.RETRY and run.used > policy.retries:
            verb = Verb.FAIL
        if verb is Verb.RESCHEDULE and policy.max_reschedules is not None and run.reschedules >= policy.max_reschedules:
            verb = Verb.FAIL
        run = replace(run, status=target(verb, run.status), lease="", lost=0, output=name or run.output)
        if verb is Verb.RETRY:
            return replace(run, due=now + policy.backoff.delay_s(run.used, chance=chance))
        if verb is Verb.RESCHEDULE:
            due = now + outcome.delay_s
            return replace(run, due=due, spared=run.spared + 1, reschedules=run.reschedules + 1)
        return run

    part = replace(part, runs=changed(part.runs, rows, settle_run))
    return _logged(part, now, outcome.verb, rows, worker=lease.worker, note=outcome.note, took_s=outcome.took_s)


def _released(part: Part, lease: Lease, rows: Sequence[Range], *, now: float) -> Part:
    def give(run: Run) -> Run:
        return replace(run, status=target(Verb.RELEASE, run.status), lease="", spared=run.spared + 1)

    part = replace(part, runs=changed(part.runs, rows, give))
    return _logged(part, now, Verb.RELEASE, rows, worker=lease.worker)


def settle(part: Part, *, now: float, policy: Policy, chance: float) -> Part:
    """Apply what time alone decides: leases that ran out, and tasks whose time to live is over."""
    for lease in part.leases:
        if lease.expires <= now:
            part = _lost(part, lease, now=now, policy=policy, chance=chance)
    if policy.expires_at is not None and now >= policy.expires_at:
        overdue = tuple(
            (run.first, run.stop) for run in part.runs if run.status is Status.PENDING and not run.is_reopened
        )
        part = _moved(part, overdue, Verb.EXPIRE, now=now)
    return part


def _lost(part: Part, lease: Lease, *, now: float, policy: Policy, chance: float) -> Part:
    rows = part.held(lease.id)

    def drop(run: Run) -> Run:
        verb = Verb.FAIL if run.used > policy.retries else Verb.LOSE
        run = replace(run, status=target(verb, run.status), lease="", lost=run.lost + 1)
        if verb is Verb.FAIL:
            return replace(run, output="")
        return replace(run, due=now + policy.backoff.delay_s(run.used, chance=chance))

    part = _ended(replace(part, runs=changed(part.runs, rows, drop)), lease)
    return _swept(_logged(part, now, Verb.LOSE, rows, worker=lease.worker))


def cancel(part: Part, rows: Sequence[Range], *, now: float, statuses: frozenset[Status], note: str = "") -> Part:
    """Cancel the rows that are in one of `statuses` (pending, running); the others stay as they are."""
    chosen = _within(_where(part, statuses), rows)
    holders = {run.lease for run in part.runs}
    part = _moved(part, chosen, Verb.CANCEL, now=now, note=note)
    holders -= {run.lease for run in part.runs}
    for lease in part.leases:
        if lease.id in holders:
            part = _ended(part, lease)
    return part


def reopen(part: Part, rows: Sequence[Range], *, now: float, statuses: frozenset[Status]) -> Part:
    """Put the rows that are in one of `statuses` (failed, cancelled, expired) to work again."""
    return _swept(_moved(part, _within(_where(part, statuses), rows), Verb.REOPEN, now=now))


def _moved(part: Part, rows: Sequence[Range], verb: Verb, *, now: float, note: str = "") -> Part:
    def move(run: Run) -> Run:
        run = replace(run, status=target(verb, run.status), lease="", due=0.0)
        if verb is Verb.REOPEN:
            return replace(run, spared=run.attempt, lost=0, reschedules=0, is_reopened=True, output="")
        return run

    return _logged(replace(part, runs=changed(part.runs, rows, move)), now, verb, rows, note=note)


# --- helpers -------------------------------------------------------------------------------------


def _where(part: Part, statuses: Iterable[Status]) -> tuple[Range, ...]:
    wanted = frozenset(statuses)
    return tuple((run.first, run.stop) for run in part.runs if run.status in wanted)


def _within(held: Iterable[Range], wanted: Iterable[Range]) -> tuple[Range, ...]:
    """Intersect two sorted lists of ranges."""
    runs = (Run(first=first, stop=stop) for first, stop in held)
    pieces = merged(piece for piece, inside in split(runs, wanted) if inside)
    return tuple((piece.first, piece.stop) for piece in pieces)


def _swept(part: Part) -> Part:
    """Forget outputs that no row names any more."""
    named = {run.output for run in part.runs}
    if all(name in named for name in part.outputs):
        return part
    return replace(part, outputs={name: value for name, value in part.outputs.items() if name in named})


def _logged(
    part: Part,
    now: float,
    verb: Verb,
    rows: Sequence[Range],
    *,
    worker: str = "",
    note: str = "",
    took_s: float = 0.0,
) -> Part:
    if not rows:
        return part
    shown = tuple(rows) if len(rows) <= LOG_RANGES else ((rows[0][0], rows[-1][1]),)
    event = Event(at=now, verb=verb, rows=shown, n_rows=count(rows), worker=worker, note=note, took_s=took_s)
    return replace(part, log=(*part.log, event)[-LOG_RING:])
