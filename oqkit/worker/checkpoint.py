"""Packing outcomes and committing them, for as long as it takes: a store that is away costs time, not results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from oqkit.claim.lease import HeldLease
from oqkit.errors import Denied, LeaseLost, StoreError, Unavailable, UsageError
from oqkit.observe.event import LeaseCommitted, StoreFailed, fates
from oqkit.observe.observer import Observers
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.progress import Progress
from oqkit.queue.rows import NONE, Rows, union
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure
from oqkit.worker.buffer import Results, joined
from oqkit.worker.interface import Codec
from oqkit.worker.sift import sift

log = logging.getLogger(__name__)

Refuse = Callable[[int, str], Failure]


class Checkpointer:
    """Commits what a lease gave; `is_lost` once that is impossible.

    `refuse` describes a row whose value cannot be stored; `late` is called when the lease ran out while
    the store was asked to extend it: others may own its rows by now. A function that runs may extend the lease
    from its own thread meanwhile: `lock` lets one write after the other.
    """

    def __init__(
        self,
        lease: HeldLease,
        codec: Codec,
        *,
        observers: Observers,
        lock: AbstractContextManager[object],
        refuse: Refuse,
        late: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._limits = lease.limits.worker
        self._codec = codec
        self._observers = observers
        self._refuse = refuse
        self._late = late
        self._lock = lock
        self._sent = lease.monotonic()
        self._told = self._sent
        self.is_lost = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to extend the lease: a third of it is over, also if nothing was started yet."""
        return self._lease.monotonic() - self._sent >= self._lease.lease_s / 3

    def began(self) -> None:
        """Note that the rows start now: how long they took is counted from here."""
        self._told = self._lease.monotonic()

    def commit(
        self,
        results: Results,
        *,
        is_last: bool = False,
        release: Rows = NONE,
        is_alone: bool = False,
        ended: float | None = None,
        progress: Sequence[Progress] | None = None,
    ) -> None:
        """Record results and extend the lease; end it with `is_last`. `ended` is when the last row ended (None: now).

        A lease without rows has ended already: what is left to say is about rows that were cancelled.
        """
        with self._lock:
            self._sent = self._lease.monotonic()
            if self._lease.is_over:
                return
            before, self._told = self._told, self._sent if ended is None else ended
            took_s = round(max(0.0, self._told - before), 6)
            rest = Commit(release=release, is_last=is_last, is_alone=is_alone, progress=progress)
            given, failures = self._given(results, rest, took_s=took_s)
            self._persist(given)
        if given.outcomes and not self.is_lost:
            self._observers.tell(LeaseCommitted, lambda: self._committed(failures, given.outcomes, run_s=took_s))

    def _given(self, results: Results, rest: Commit, *, took_s: float) -> tuple[Commit, Mapping[int, Failure]]:
        """Return the commit of results, and the failures in it. What keeps it from being stored fails its own row only."""

        def packed(results: Results) -> tuple[Commit, Mapping[int, Failure]]:
            output, refused = self._codec.pack(results, refuse=self._refuse, inline_bytes=self._lease.inline_bytes)
            given = replace(rest, outcomes=outcomes_of(results, Rows.of(refused), took_s=took_s), output=output)
            if given.outcomes:  # before anything is written: a commit that was sent must not be changed
                self._lease.check(given)
            return given, {**results.failures, **refused}

        try:
            return packed(results)
        except UsageError:
            kept, bad = sift(results, packed, most_tries=self._limits.sift_commits)
            failed = Results.failed(
                Rows.of(bad),
                Verb.FAIL,
                lambda row: self._refuse(row, f"what became of it cannot be stored: {bad[row]}"),
            )
            return packed(joined((kept, failed)))

    def extend(self, rows: Rows, seconds: float) -> None:
        """Let nobody else have rows of the lease for so long from now on at least, or raise `LeaseLost`."""
        with self._lock:
            self._sent = self._lease.monotonic()
            if not (self.is_lost or self._lease.is_over):
                self._persist(Commit(extended=rows, lease_s=seconds))
            if self.is_lost or self._lease.is_over:
                raise LeaseLost(self._lease.id)

    def _committed(
        self, failures: Mapping[int, Failure], outcomes: Sequence[Outcome], *, run_s: float
    ) -> LeaseCommitted:
        first = self._lease.index * self._lease.job.part_rows
        rows = {verb: rows.shift(first) for verb, rows in fates(self._lease.part, outcomes).items()}
        named = {first + row: failure for row, failure in failures.items()}
        told, attempts = union(rows.values()), dict[int, Rows]()
        for state, held in self._lease.part.states.items():
            if ran := held.shift(first) & told:
                attempts[state.used] = attempts.get(state.used, NONE) | ran
        return LeaseCommitted.of(self._lease, rows=rows, failures=named, attempts=attempts, run_s=run_s)

    def lose(self) -> None:
        """Give the lease up."""
        log.warning("lease %s was taken over: its results are not used", self._lease.id)
        self.is_lost = True

    def _persist(self, commit: Commit) -> None:
        clock, limits, wait_s = self._lease.monotonic, self._limits, self._limits.commit_first_wait_s
        said: set[type[StoreError]] = set()
        end = clock() + limits.commit_patience_s
        while not self.is_lost:
            try:
                self._send(commit)
            except LeaseLost:
                self.lose()
            except (Unavailable, Denied) as error:
                self._say(error, said)
                self._tell_failed(error)
                if self._left_s() <= 0:
                    self._late()
                if clock() >= end:
                    self.lose()
                elif isinstance(error, Denied):  # answered at once, unlike a store that is away
                    self._lease.sleep(wait_s)
                    wait_s = min(2 * wait_s, limits.commit_longest_wait_s)
            else:
                return

    def _say(self, error: StoreError, said: set[type[StoreError]]) -> None:
        """Tell once what kind of trouble it is."""
        if type(error) not in said:
            log.warning("results of lease %s wait here, since the store refuses them: %s", self._lease.id, error)
        said.add(type(error))

    def _tell_failed(self, error: StoreError) -> None:
        lease = self._lease
        self._observers.tell(
            StoreFailed, lambda: StoreFailed(at=lease.now(), worker=lease.worker, error=error, lease=lease.id)
        )

    def _send(self, commit: Commit) -> None:
        if isinstance(commit.output, bytes):
            self._lease.put_output(commit.output)
        self._lease.commit(commit, patience_s=None if commit.is_last else self._patience_s())

    def _patience_s(self) -> float:
        """Return how long to try before others may own the rows; after that, as long as ever."""
        left_s = self._left_s()
        return left_s if left_s > 0 else self._limits.commit_patience_s / 10

    def _left_s(self) -> float:
        """Return for how long nobody else can own the rows, in seconds."""
        lease = self._lease
        return max(self._sent + lease.lease_s - lease.monotonic(), lease.expires - lease.now())


def outcomes_of(results: Results, refused: Rows, *, took_s: float) -> Sequence[Outcome]:
    """Say what became of each row, rows of one fate together; refused values are the function's fault: no retry."""
    fates: dict[Outcome, list[Rows]] = {}
    for one in results.outcomes:
        fates.setdefault(replace(one, rows=NONE), []).append(one.rows)
    outcomes = [
        replace(fate, rows=rows, note=_note(results, rows)) for fate, found in fates.items() for rows in (union(found),)
    ]
    if completed := union((results.rows, *(rows for rows, _ in results.tables))) - refused:
        outcomes.append(Outcome(verb=Verb.COMPLETE, rows=completed, took_s=took_s))
    if refused:
        outcomes.append(Outcome(verb=Verb.FAIL, rows=refused, note="the returned value cannot be stored"))
    return outcomes


def _note(results: Results, rows: Rows) -> str:
    failure = results.failures.get(rows.first)
    others = f" (and {len(rows) - 1:,} others)" if len(rows) > 1 else ""
    return f"{failure.type}: {failure.message}"[:120] + others if failure else ""
