"""What one worker has taken of limits that all workers keep together, and what its leases may use of it.

A job's rows are claimed only as far as the worker has starts for them that are due within a moment, and a place to run
them: a job that waits for its limit holds neither a row nor a slot. Jobs without limits never come here.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from oqkit.clock import new_id
from oqkit.errors import StoreError, Unavailable
from oqkit.printable import printable
from oqkit.queue.job import Job
from oqkit.queue.limit import Limit
from oqkit.queue.quota import QUOTA, Quota, Token, key_of, places_taken, starts_taken, tokens_of, window_at
from oqkit.queue.repository import Repository

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallShape:
    """How a worker calls the function of a job."""

    is_batch: bool = False
    """Whether one call takes many rows; it is one start."""
    at_once: int = 1
    """How many calls of a lease run at once: more than one only of coroutines."""


@dataclass(slots=True)
class _Starts:
    """Starts that a worker has taken of one limit, and no lease has."""

    tokens: list[Token] = field(default_factory=list)
    """In the order in which they are due."""
    not_before: float = 0.0
    """When to ask for more, in epoch seconds."""
    n_given: int | None = None
    """How many it was given last."""
    n_lost: int = 0
    """How many were not used in their time since then."""

    def expire(self, now: float) -> None:
        """Drop those whose time is over."""
        left = [token for token in self.tokens if token.until > now]
        self.n_lost += len(self.tokens) - len(left)
        self.tokens = left

    def n_soon(self, moment: float) -> int:
        """How many are due by then."""
        return sum(token.due <= moment for token in self.tokens)

    @property
    def wanted(self) -> int | None:
        """How many to ask for: twice as many if the last ones were all used, else as many as were; None at first."""
        if self.n_given is None:
            return None
        return max(1, self.n_given - self.n_lost) if self.n_lost else 2 * self.n_given


@dataclass(slots=True)
class _Places:
    """How many calls a worker may run at once under one limit."""

    limit: Limit
    stated: float
    n: int = 0
    until: float = 0.0
    in_use: int = 0
    """How many its leases have."""
    touched: float = 0.0
    """When one was last wanted."""
    not_before: float = 0.0
    wait_s: float = 0.0

    def holds(self, now: float) -> bool:
        """Whether those that its leases have are its own: it may have lost some while the store did not answer."""
        return self.in_use <= self.n and now < self.until


@dataclass(slots=True)
class Ticket:
    """What a lease has of the limits of its job."""

    lock: AbstractContextManager[object]
    starts: list[tuple[_Starts, list[Token]]]
    places: list[tuple[_Places, int]]
    is_over: bool = False
    """Whether it was given back: nothing more may start."""
    refill: Callable[[], float] = lambda: math.inf
    """Takes more starts if there are any, and returns in how many seconds to ask again."""

    @property
    def at_once(self) -> int | None:
        """How many calls may run at once; None if no limit says so."""
        return min((n for _, n in self.places), default=None)

    def take(self, now: float) -> float | None:
        """Use up one start and return 0, or return in how many seconds there is one; infinite: there is none any more.

        None if nothing may start under this lease, as it has no place, or has ended.
        """
        with self.lock:
            if self.is_over or not all(n and places.holds(now) for places, n in self.places):
                return None
            wait_s = 0.0
            for hand, tokens in self.starts:
                while tokens and tokens[0].until <= now:
                    tokens.pop(0)
                    hand.n_lost += 1
                if not tokens:
                    return math.inf
                wait_s = max(wait_s, tokens[0].due - now)
            if wait_s <= 0:
                for _, tokens in self.starts:
                    tokens.pop(0)
            return max(0.0, wait_s)


class Limiter:
    """Takes and gives back for one worker; a duty of the worker, which keeps and gives back places.

    `opens`, `room` and `reserve` are called from one thread at a time.
    """

    name = "limits"

    def __init__(
        self,
        repository: Repository,
        *,
        worker: str,
        lease_s: float,
        shape: Callable[[Job], CallShape] = lambda job: CallShape(),  # noqa: ARG005 - a call for each row
        lock: Callable[[], AbstractContextManager[object]] = threading.Lock,
    ) -> None:
        self._repository = repository
        self._limits = repository.limits.claim
        self._worker = worker
        self._lease_s = lease_s
        self._shape = shape
        self._lock = lock()
        self._asking = lock()
        """Held while the store is asked for places, so that two answers about one limit do not cross."""
        self._said: set[str] = set()
        """Limits of which people were told that they cannot be read or written."""
        self._starts: dict[str, _Starts] = {}
        self._places: dict[str, _Places] = {}

    def opens(self, job: Job) -> float | None:
        """Return when calls of a job may start, in epoch seconds; None: now, as far as this worker has taken.

        Asks the store for more if there is nothing left: one GET, and one PUT if it gets some.
        """
        whens = [self._rate_opens(limit, job) if limit.per_s else self._place_opens(limit, job) for limit in job.limits]
        return max((when for when in whens if when is not None), default=None)

    def room(self, job: Job) -> int | None:
        """Return how many rows of a job to claim at most; None: any number."""
        if self._shape(job).is_batch:
            return None
        soon = self._repository.now() + self._limits.start_ahead_s
        with self._lock:
            return min((self._starts[limit.name].n_soon(soon) for limit in job.limits if limit.per_s), default=None)

    def reserve(self, job: Job, n_rows: int) -> Ticket:
        """Return what a new lease of so many rows may use; give it back with `release`."""
        shape, soon = self._shape(job), self._repository.now() + self._limits.start_ahead_s
        ticket = Ticket(self._lock, [], [])
        with self._lock:
            for limit in job.limits:
                if limit.per_s:
                    hand = self._starts[limit.name]
                    n = hand.n_soon(soon) if shape.is_batch else n_rows
                    ticket.starts.append((hand, hand.tokens[:n]))
                    hand.tokens = hand.tokens[n:]
                else:
                    places = self._places[limit.name]
                    n = max(0, min(places.n - places.in_use, shape.at_once, n_rows))
                    places.in_use += n
                    ticket.places.append((places, n))
        return ticket

    def release(self, ticket: Ticket | None) -> None:
        """Take back what a lease has not used, and its places; once for each."""
        if ticket is None:
            return
        now = self._repository.now()
        with self._lock:
            for hand, tokens in ticket.starts:
                hand.tokens = sorted((*hand.tokens, *tokens), key=lambda token: token.due)
                hand.expire(now)
            for places, n in ticket.places:
                places.in_use -= n
                places.touched = now
            ticket.starts, ticket.places, ticket.is_over = [], [], True

    # --- starts ----------------------------------------------------------------------------------

    def refill(self, job: Job, ticket: Ticket) -> float:
        """Give a lease one start more of each rate, and return in how many seconds to ask again if there is none yet."""
        rates = [limit for limit in job.limits if limit.per_s]
        whens = [self._rate_opens(limit, job) for limit in rates]
        now = self._repository.now()
        if (when := max((when for when in whens if when is not None), default=None)) is not None:
            return max(0.0, when - now) or self._limits.start_ahead_s
        with self._lock:
            for hand, tokens in ticket.starts:
                tokens.extend(hand.tokens[:1])
                hand.tokens = hand.tokens[1:]
        return 0.0

    def _rate_opens(self, limit: Limit, job: Job) -> float | None:
        now, ahead_s = self._repository.now(), self._limits.start_ahead_s
        hand = self._starts.setdefault(limit.name, _Starts())
        with self._lock:
            hand.expire(now)
        if not hand.tokens and now >= hand.not_before:
            self._take_starts(limit, job, hand)
        if not hand.tokens:
            return hand.not_before
        due = hand.tokens[0].due
        return None if due <= now + ahead_s else due - ahead_s

    def _take_starts(self, limit: Limit, job: Job, hand: _Starts) -> None:
        grant_id, ahead_s = new_id(self._repository.rng), self._limits.start_ahead_s

        def change(quota: Quota) -> Quota:
            return starts_taken(
                quota.under(limit, stated=job.created),
                grant_id,
                worker=self._worker,
                wanted=hand.wanted,
                now=self._repository.now(),
                ahead_s=ahead_s,
            )

        quota = self._changed(limit, change, grant_id)
        now = self._repository.now()
        if quota is None:
            hand.not_before = now + self._limits.quota_retry_s
            return
        grant = next((grant for grant in quota.grants if grant.id == grant_id), None)
        if grant is not None:
            n_window = window_at(grant.start, most=quota.most, per_s=quota.per_s).n
            with self._lock:
                hand.tokens += tokens_of(grant, n_window=n_window)
                hand.n_given, hand.n_lost = grant.n, 0
            return
        start = window_at(now, most=quota.most, per_s=quota.per_s).end
        if start <= now + ahead_s:  # that was taken, too
            start = window_at(start, most=quota.most, per_s=quota.per_s).end
        hand.not_before = start - ahead_s * self._repository.rng.random()

    # --- places ----------------------------------------------------------------------------------

    def _place_opens(self, limit: Limit, job: Job) -> float | None:
        now = self._repository.now()
        places = self._places.setdefault(limit.name, _Places(limit, job.created))
        if job.created > places.stated:
            places.limit, places.stated = limit, job.created
        with self._asking:
            if not self._has_place(places, now) and now >= places.not_before:
                self._take_places(places, spare=self._shape(job).at_once)
            places.touched = now
            if self._has_place(places, now):
                places.wait_s = 0.0
                return None
        if now >= places.not_before:
            first_s, longest_s = self._limits.place_first_wait_s, self._limits.place_longest_wait_s
            places.wait_s = min(max(first_s, 2 * places.wait_s), longest_s)
            places.not_before = now + places.wait_s * self._repository.rng.uniform(0.5, 1.0)
        return places.not_before

    def _has_place(self, places: _Places, now: float) -> bool:
        return places.in_use < places.n and now < places.until

    def _take_places(self, places: _Places, *, spare: int) -> None:
        """Ask for the places that leases have and `spare` more; what there is then is what the answer says."""
        grant_id, limit, stated = new_id(self._repository.rng), places.limit, places.stated
        with self._lock:  # what is given back is nobody's from now on, and not only once that is known to be written
            wanted = places.in_use + spare
            places.n = min(places.n, wanted)

        def change(quota: Quota) -> Quota:
            now = self._repository.now()
            return places_taken(
                quota.under(limit, stated=stated),
                grant_id,
                worker=self._worker,
                wanted=wanted,
                now=now,
                lease_s=self._lease_s,
            )

        quota = self._changed(limit, change, grant_id)
        if quota is None:  # it may have been done, or may yet be
            places.not_before = self._repository.now() + self._limits.quota_retry_s
            return
        grant = next((grant for grant in quota.grants if grant.id == grant_id), None)
        with self._lock:
            places.n, places.until = (0, 0.0) if grant is None else (grant.n, grant.end)

    def _changed(self, limit: Limit, change: Callable[[Quota], Quota], grant_id: str) -> Quota | None:
        """Return the limit once it was changed; None if that is not known, which must not keep other jobs waiting."""
        try:
            held = self._repository.loop.update(
                QUOTA,
                key_of(limit.name),
                change,
                applied=lambda quota: quota.has(grant_id),
                absent=Quota(name=limit.name),
                patience_s=self._limits.quota_patience_s,
            )
        except StoreError as error:
            if not isinstance(error, Unavailable) and limit.name not in self._said:
                self._said.add(limit.name)
                log.warning("jobs under the limit %s wait: %s", printable(limit.name), printable(str(error)))
            return None
        return held.doc

    # --- the duty --------------------------------------------------------------------------------

    def wait_s(self) -> float:
        """Return how long no place is to be kept or given back, in seconds."""
        due = min(map(self._due, list(self._places.values())), default=math.inf)
        return due if due == math.inf else max(0.0, due - self._repository.now())

    def perform(self) -> None:
        """Keep the places that leases have, and give back what none has wanted for a while."""
        now = self._repository.now()
        for places in list(self._places.values()):
            with self._asking:
                if self._due(places) <= now:
                    self._take_places(places, spare=0)

    def leave(self) -> None:
        """Give back what no lease has."""
        for places in list(self._places.values()):
            with self._asking:
                if places.n > places.in_use:
                    self._take_places(places, spare=0)

    def _due(self, places: _Places) -> float:
        """Return when to say how many places are needed, in epoch seconds."""
        if not places.n:
            return math.inf
        spare = places.touched + self._limits.place_keep_s if places.n > places.in_use else math.inf
        return max(places.not_before, min(spare, places.until - self._lease_s * 2 / 3))
