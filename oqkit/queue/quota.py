"""What is taken of a limit: one document, of which workers take in blocks, by compare-and-set. Pure.

Either so many starts in a *window* of time, or so many calls at once until a time. What a dead worker had taken is not
given to anybody else before that is over, and then it is: nobody has to notice. Windows follow from the store's clock,
and in each of them no more starts are given than it has, whoever asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from oqkit.queue import key as keys
from oqkit.queue.bound import Count, Id, Moment, Name, Span, Unknown
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.limit import Limit, Most

WINDOW_S = 5.0
"""How long a window is, unless so few starts are allowed that there is one to a window."""
GRACE_S = 1.0
"""For how long after its window a start may still be made: a worker that is late by a moment does not lose it."""
SLACK_S = 30.0
"""For how long what is over is still counted: clocks differ, and a slow one may still ask for it."""
LEAST_S = 60.0
"""A limit for a shorter time is kept over a minute."""
FIRST_SHARE, LEAST_SHARE = 8, 32
"""What part of a window a worker takes at first, and at least."""
MAX_GRANTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a worker has taken."""

    id: Id
    worker: Name
    n: Count
    start: Moment
    end: Moment
    """From when to when it may be used, in epoch seconds."""
    first: Count = 0
    """How many starts of the window were given before."""
    unknown: Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota(Document):
    """A limit, and what is taken of it. It is what the youngest job says that is under it, for all of them."""

    name: Name
    most: Most = 1
    per_s: Span = 0.0
    stated: Moment = 0.0
    """When that job was submitted."""
    grants: Annotated[tuple[Grant, ...], Meta(max_length=MAX_GRANTS)] = ()
    retired_until: Moment = 0.0
    """Nobody takes of it before, in epoch seconds: it is being removed; see `oqkit.queue.retirement`."""

    def has(self, grant_id: str) -> bool:
        """Whether something was taken under this id."""
        return any(grant.id == grant_id for grant in self.grants)

    def under(self, limit: Limit, *, stated: float) -> Quota:
        """Return it with what a job says that was submitted then."""
        if stated <= self.stated:
            return self
        return replace(self, most=limit.most, per_s=limit.per_s, stated=stated)

    def counted(self, now: float) -> tuple[Grant, ...]:
        """Return what is not long over."""
        return tuple(grant for grant in self.grants if grant.end > now - SLACK_S)


QUOTA = document_type(Quota, what="limit", key_of=lambda quota: key_of(quota.name))


def key_of(name: str) -> str:
    """Return the key of what is taken of a limit."""
    return f"{keys.LIMITS}{name}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, in epoch seconds, and how many calls may start in it."""

    start: float
    end: float
    n: int


def window_at(now: float, *, most: int, per_s: float) -> Window:
    """Return the window of a time. Those of one period have all of its starts; periods begin at full minutes, hours, days."""
    if per_s < LEAST_S:
        most, per_s = round(most * LEAST_S / per_s), LEAST_S
    n_windows = max(1, min(most, int(per_s / WINDOW_S)))
    period = math.floor(now / per_s)
    number = int((now - period * per_s) * n_windows / per_s)
    while now >= _edge(period, number + 1, n_windows, per_s):
        number += 1
    while now < _edge(period, number, n_windows, per_s):
        number -= 1
    period, number = period + number // n_windows, number % n_windows
    return Window(
        start=_edge(period, number, n_windows, per_s),
        end=_edge(period, number + 1, n_windows, per_s),
        n=(number + 1) * most // n_windows - number * most // n_windows,
    )


def _edge(period: int, number: int, n_windows: int, per_s: float) -> float:
    if number == n_windows:
        period, number = period + 1, 0
    return period * per_s + number * per_s / n_windows


def starts_taken(quota: Quota, grant_id: str, *, worker: str, wanted: int | None, now: float, ahead_s: float) -> Quota:
    """Give a worker some of the starts of this window, or of the next if that begins within `ahead_s`; none if all are taken.

    `wanted` is how many it can use (None: it does not know yet). It gets at least a small share, so that a window is not
    taken in too many writes, and at most as much as falls to each of those who were seen lately.
    """
    if now < quota.retired_until:
        return quota
    window = window_at(now, most=quota.most, per_s=quota.per_s)
    counted = quota.counted(now)
    n_workers = len({worker, *(grant.worker for grant in counted)})
    for one in (window, window_at(window.end, most=quota.most, per_s=quota.per_s)):
        if one.start > now + ahead_s:
            break
        taken = sum(grant.n for grant in counted if grant.start < one.end and grant.end > one.start)
        fair, least = -(-one.n // n_workers), -(-one.n // LEAST_SHARE)
        first = -(-one.n // FIRST_SHARE)
        n = min(max(least, min(fair, first if wanted is None else wanted)), one.n - taken)
        if n > 0:
            grant = Grant(id=grant_id, worker=worker, n=n, start=one.start, end=one.end, first=taken)
            return replace(quota, grants=(*counted, grant))
    return quota


def places_taken(quota: Quota, grant_id: str, *, worker: str, wanted: int, now: float, lease_s: float) -> Quota:
    """Let a worker run up to `wanted` calls at once for `lease_s` from now, in place of what it had; fewer if others do."""
    if now < quota.retired_until:
        return quota
    others = tuple(grant for grant in quota.grants if grant.worker != worker and grant.end > now)
    n = min(wanted, max(0, quota.most - sum(grant.n for grant in others)))
    own = next((grant for grant in quota.grants if grant.worker == worker and grant.end > now), None)
    if not n:
        return quota if own is None else replace(quota, grants=others)
    return replace(quota, grants=(*others, Grant(id=grant_id, worker=worker, n=n, start=now, end=now + lease_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One start: from when to when it may be made, in epoch seconds."""

    due: float
    until: float


def tokens_of(grant: Grant, *, n_window: int) -> list[Token]:
    """Return the starts of a grant, evenly spaced: those of all workers follow each other through the window."""
    step_s = (grant.end - grant.start) / max(1, n_window)
    return [
        Token(
            due=grant.start + (grant.first + k) * step_s, until=grant.end + min(GRACE_S, (grant.end - grant.start) / 4)
        )
        for k in range(grant.n)
    ]
