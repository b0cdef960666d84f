"""Why a job does not move: asked of what the workers say of themselves, and only while nothing moves.

`WorkerWatch` asks, `diagnose` decides, `explain` puts it into words. Every display, wait and command takes the words
from here, so that all of them say the same.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from oqkit.claim.pause_watch import PauseWatch
from oqkit.client.pause_note import job_pause_note, pause_note
from oqkit.errors import StoreError
from oqkit.printable import printable
from oqkit.queue import gate
from oqkit.queue import key as keys
from oqkit.queue.eligibility import Hurdle, Refusal, reason, refusal_of
from oqkit.queue.job import Job
from oqkit.queue.limit import said
from oqkit.queue.repository import Repository
from oqkit.queue.view import JobState
from oqkit.queue.worker_record import WorkerRecord, read_worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Workers that are there and keep away from a job for one and the same reason."""

    refusal: Refusal | None
    """None: nothing is known that keeps them from it."""
    n: int
    has_seen: bool
    """Whether they looked at the job, rather than that it follows from what they are."""
    seen: float
    """When the last of them reported, in epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the workers that are there say of a job on which none of them works."""

    groups: tuple[Group, ...]
    now: float

    @property
    def n_able(self) -> int:
        """How many of them may run it, as far as is known."""
        return sum(group.n for group in self.groups if group.refusal is None)


def is_still(state: JobState, *, patience_s: float) -> bool:
    """Whether tasks of a job could be started, and for `patience_s` nothing has happened to any."""
    job, now = state.job, state.at
    latest = max(job.created, job.policy.not_before, *(control.at for control in job.controls), 0.0)
    if now - latest < patience_s or now < latest or gate.held(job, now) is not None or state.is_final:
        return False
    parts = state.touched()
    if is_at_work(state) or any(now - part.at < patience_s for part in parts):
        return False
    changes = (part.next_change() for part in parts)
    return len(parts) < job.n_parts or any(when is not None and when <= now for when in changes)


def is_at_work(state: JobState) -> bool:
    """Whether somebody holds tasks of a job."""
    return any(lease.expires > state.at for part in state.touched() for lease in part.leases)


def why_held(state: JobState) -> str:
    """Return why a job is held back, as a gate or its pause says; empty if nothing does, or while tasks run."""
    hold = gate.held(state.job, state.at)
    if hold is None or state.is_final or is_at_work(state):
        return ""
    order = state.job.pause(state.at)
    return printable(hold.why or ("" if order is None else job_pause_note(order, now=state.at)))


def why_waiting(state: JobState) -> str:
    """Return which signals tasks of a job wait for; empty if none does, or while tasks run."""
    if state.is_final or is_at_work(state):
        return ""
    names = {
        task.wait.name
        for part in state.touched()
        for task in part.states
        if task.wait is not None and task.due > state.at
    }
    told = " and ".join(map(repr, sorted(names)))
    return printable(f"Tasks wait for the signal {told}: job.signal(name, value) sends one.") if names else ""


def why_limited(state: JobState) -> str:
    """Return for which limits a job waits that has begun; empty if it has none, or while tasks run."""
    has_begun = state.is_started and not state.is_final and not is_at_work(state)
    return limit_note(state.job) if has_begun else ""


def limit_note(job: Job) -> str:
    """Say what a job waits for that has limits; empty if it has none."""
    return printable(f"It waits for {said(job.limits)}.") if job.limits else ""


def diagnose(
    job: Job, records: Iterable[WorkerRecord], *, now: float, late_s: float, is_there: Callable[[WorkerRecord], bool]
) -> Diagnosis:
    """Group the workers that are there by what keeps them from a job, the largest group first."""
    found: dict[tuple[Refusal | None, bool], list[float]] = {}
    for record in records:
        if is_at_hand(record, now=now, late_s=late_s, is_there=is_there):
            noted = next((one.refusal for one in record.refusals if one.concerns(job)), None)
            why = noted or refusal_of(record.ability, job)
            found.setdefault((why, noted is not None), []).append(record.seen)
    groups = [
        Group(refusal=why, n=len(seen), has_seen=has_seen, seen=max(seen)) for (why, has_seen), seen in found.items()
    ]
    return Diagnosis(groups=tuple(sorted(groups, key=lambda group: -group.n)), now=now)


# --- words ---------------------------------------------------------------------------------------


def explain(diagnosis: Diagnosis, job: Job, *, is_started: bool, recent_s: float, address: Mapping[str, str]) -> str:
    """Say what keeps a job from being run, and what to do about it, in a few sentences.

    It says of workers when they were last heard of if that was more than `recent_s` ago. `address` is what tells where
    the queue is: the options of ``oq worker`` that open it.
    """
    if not diagnosis.groups:
        begun = "No worker is there to go on with it" if is_started else "No worker has taken any of it yet"
        named = "" if job.code.digest else f", for tasks named {job.type!r}"
        return (
            f"{begun}: start some with oq.local_workers(2), or 'oq worker' on a machine that reaches the queue{named}."
        )
    told = [_told(group, job, now=diagnosis.now, recent_s=recent_s) for group in diagnosis.groups]
    first = next((group.refusal for group in diagnosis.groups if group.refusal is not None), None)
    if diagnosis.n_able or first is None:
        return " ".join(told)
    return " ".join([*told, remedy(first, job, address=address)])


def _told(group: Group, job: Job, *, now: float, recent_s: float) -> str:
    who = "1 worker" if group.n == 1 else f"{group.n:,} workers"
    age_s = now - group.seen
    heard = f", last heard of {age_s / 60:.0f} min ago," if age_s > recent_s else ""
    if group.refusal is None:
        have = "has" if group.n == 1 else "have"
        return f"{who}{heard} may run it and {have} not come to it yet."
    why = reason(group.refusal, job)
    why = f": {why}" if group.n == 1 else f", each for this reason: {why}"
    return f"{who}{heard} {'saw it and cannot' if group.has_seen else 'cannot'} run it{why}."


def remedy(refusal: Refusal, job: Job, *, address: Mapping[str, str]) -> str:
    """Say what to do about a refusal; commands are complete, to be copied into a shell."""
    where = " ".join(f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in address.items())
    python = job.code.python or "3"
    what = job.code.reference or "--trust-code"
    return {
        Hurdle.TYPE: f"Start one that has it: oq worker {where} MODULE:{job.type}",
        Hurdle.TRUST: f"oq.local_workers(2) starts some here that may; on any machine: oq worker {where} {what}",
        Hurdle.PYTHON: f"Start one with Python {python}: python{python} -m oqkit worker {where} --trust-code",
        Hurdle.MISSING: "job.retry(fn=...) with the function stores it anew.",
        Hurdle.DAMAGED: "job.retry(fn=...) with the function stores it anew.",
        Hurdle.UNLOADABLE: "Install there what the function needs, or give another one with job.retry(fn=...).",
        Hurdle.DIFFERENT: (
            "Start it anew with the code that was submitted, or give the function as it is now with job.retry(fn=...)."
        ),
        Hurdle.SIGNATURE: (
            "Give those who submit and those who work the same key (OQ_SIGNING_KEY_FILE); local workers run what others "
            "submitted with oq.local_workers(2, trust='everyone')"
        ),
        Hurdle.UNREADABLE: "It tries again by itself.",
        Hurdle.INPUTS: "It tries again by itself.",
    }[refusal.hurdle]


# --- asking --------------------------------------------------------------------------------------


class WorkerWatch:
    """Reads pauses, and what workers say of themselves, as seldom as can be; of a record that did not change, nothing again."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._limits = repository.limits.client
        self._records: dict[str, tuple[str, WorkerRecord | None]] = {}
        """By key: the etag, and what that version says."""
        self._pauses = PauseWatch(repository)
        self._looked = float("-inf")
        self._n_looks = 0
        self._wait_s = 0.0
        self._said: tuple[JobState, str] | None = None

    def why(self, state: JobState, *, patience_s: float | None = None, has_refused: bool = False) -> str:
        """Return why nothing happens to a job; empty if something does, or has within `patience_s` (None: as the limits say).

        With `has_refused` also empty unless some worker keeps away from it for a reason: that nobody has come means
        nothing at first.

        Two LIST (of workers, and of pauses), and one GET for each record and pause sign that changed, at most every
        `look_every_s`; later one of the two in turn, every `look_seldom_s`; and none while tasks run.
        """
        limits = self._limits
        if not is_still(state, patience_s=limits.patience_s if patience_s is None else patience_s):
            text = why_held(state) or why_waiting(state) or why_limited(state)
            self._said, self._wait_s = (state, text), 0.0
            return text
        try:
            self._look()
        except StoreError:  # whoever asks for the job itself says so
            return ""
        text = printable(self._told(state, has_refused=has_refused))
        if text:
            self._said = state, text
        return text

    def _told(self, state: JobState, *, has_refused: bool) -> str:
        now, limits = self._repository.now(), self._limits
        if (sign := self._pauses.sign(state.job.type)) is not None:
            return pause_note(sign, now=now)
        records = [record for _, record in self._records.values() if record is not None]
        found = diagnose(state.job, records, now=now, late_s=limits.late_s, is_there=is_there)
        if found.n_able and state.job.limits:
            return limit_note(state.job)
        if has_refused and all(group.refusal is None for group in found.groups):
            return ""
        address = self._repository.store.address()
        return explain(found, state.job, is_started=state.is_started, recent_s=limits.recent_s, address=address)

    def said(self, state: JobState) -> str:
        """Return what `why` said of this very state; empty if it was not asked, or found nothing."""
        return self._said[1] if self._said is not None and self._said[0] is state else ""

    def _look(self) -> None:
        """Look at both at first, and at one after the other when nothing has happened for a while; not too often."""
        monotonic, limits = self._repository.store.clock.monotonic, self._limits
        if monotonic() - self._looked < max(self._wait_s, limits.look_every_s):
            return
        turns = [self._pauses.look, self._look_at_workers]
        if self._wait_s >= limits.look_seldom_s:
            turns = [turns[self._n_looks % 2]]
        self._n_looks += 1
        self._looked = monotonic()
        self._wait_s = min(self._wait_s + limits.look_every_s, limits.look_seldom_s)
        for look in turns:
            look()

    def _look_at_workers(self) -> None:
        pages = self._repository.store.list_all(keys.WORKERS)
        etags = {entry.key: entry.etag for page in pages for entry in page.entries}
        self._records = {key: known for key, known in self._records.items() if key in etags}
        changed = [key for key, etag in etags.items() if key not in self._records or self._records[key][0] != etag]
        changed.sort(key=self._records.__contains__)
        read = changed[: self._limits.read_records]
        found = self._repository.map(lambda key: read_worker(self._repository, key), read)
        self._records.update({key: (etags[key], record) for key, record in zip(read, found, strict=True)})


def is_there(record: WorkerRecord) -> bool:
    """Whether a worker may still run: one of this machine is asked of the system, of others only time can tell."""
    if os.name != "posix" or record.host != socket.gethostname():
        return True
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def is_at_hand(
    record: WorkerRecord, *, now: float, late_s: float, is_there: Callable[[WorkerRecord], bool] = is_there
) -> bool:
    """Whether a worker is there for what comes; one whose report is more than `late_s` late is gone."""
    return not record.is_stopped and now - record.seen <= record.every_s + late_s and is_there(record)
