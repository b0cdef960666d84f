"""How fast a job goes: pure functions on the moments at which tasks completed or failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from oqkit.queue.part import Part
from oqkit.queue.part_log import Event
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb

WINDOW_S = 30.0
SPREAD_S = 10.0
MAX_POINTS = 400
MAX_PARTS = 200
BINS = 48
OUTCOMES = (Verb.COMPLETE, Verb.FAIL, Verb.RETRY, Verb.RESCHEDULE)

Point = tuple[float, int]
"""Epoch seconds, and how many tasks had ended by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressHistory:
    """How many tasks had ended when, oldest first; the first point is the start."""

    points: tuple[Point, ...] = ()

    def seen(self, at: float, ended: int) -> ProgressHistory:
        """Add what was seen at a moment; nothing if nothing ended since the last one."""
        if self.points and self.points[-1][1] == ended:
            return self
        return replace(self, points=_thinned((*self.points, (at, ended))))


def history_of(parts: Iterable[Part], *, created: float, ended: int) -> ProgressHistory:
    """Read the past of a job from the short logs of its parts.

    What the logs have forgotten counts as ended when the job began to run.
    """
    events = [event for part in parts for event in part.log]
    ends = sorted((event.at, event.n_rows) for event in events if event.verb in {Verb.COMPLETE, Verb.FAIL})
    start = min((event.at for event in events if event.verb is Verb.CLAIM), default=created)
    number = max(0, ended - sum(n for _, n in ends))
    points = [(start, number)]
    for at, n in ends:
        number += n
        points.append((max(at, start), min(number, ended)))
    return ProgressHistory(points=_thinned(tuple(points)))


def rate(trace: ProgressHistory, *, now: float) -> float | None:
    """Return tasks a second over the last half minute, or None if nothing ended in it."""
    if len(trace.points) < 2:  # noqa: PLR2004 - a speed takes two points
        return None
    since = max(now - WINDOW_S, trace.points[0][0])
    before = max((n for at, n in trace.points if at <= since), default=trace.points[0][1])
    done = trace.points[-1][1] - before
    return done / max(now - since, 0.05) if done > 0 else None


def mean_rate(trace: ProgressHistory) -> float | None:
    """Return tasks a second from the first claim to the last end, or None if nothing ended."""
    if len(trace.points) < 2:  # noqa: PLR2004 - a speed takes two points
        return None
    (start, first), (stop, last) = trace.points[0], trace.points[-1]
    return (last - first) / max(stop - start, 0.05) if last > first else None


def speeds(trace: ProgressHistory, *, now: float, bins: int = BINS) -> tuple[float, ...]:
    """Return tasks a second in `bins` equal slices of the time from the start to `now`.

    Workers commit many tasks at once, so each commit is spread over the (at most 10) seconds before it.
    """
    if len(trace.points) < 2:  # noqa: PLR2004 - a speed takes two points
        return ()
    start = trace.points[0][0]
    width = max(now - start, 0.5) / bins
    total = [0.0] * bins
    for (before, n), (at, m) in zip(trace.points, trace.points[1:], strict=False):
        since = max(before, at - max(SPREAD_S, width), start)
        for place, share in _shares((since - start) / width, (at - start) / width, bins):
            total[place] += max(0, m - n) * share
    return tuple(each / width for each in total)


def _shares(first: float, stop: float, bins: int) -> Iterable[tuple[int, float]]:
    """Yield each bin that the stretch from `first` to `stop` (in bins) touches, with its share of it."""
    length = stop - first
    if length <= 0:
        yield min(bins - 1, max(0, int(first))), 1.0
        return
    for place in range(max(0, int(first)), min(bins, math.ceil(stop))):
        yield place, (min(stop, place + 1) - max(first, place)) / length


def _thinned(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Keep the newest points and every other of the older ones, once there are many."""
    if len(points) <= MAX_POINTS:
        return points
    recent = MAX_POINTS // 4
    return (points[0], *points[1:-recent:2], *points[-recent:])


# --- how long a task takes -----------------------------------------------------------------------


def durations(parts: Sequence[Part]) -> list[tuple[float, int]]:
    """Return (seconds a task, how many tasks) of each commit that the logs remember.

    The tasks of one commit count with their mean, for only the commit is dated.
    """
    newest = sorted(parts, key=lambda part: part.at)[-MAX_PARTS:]
    return [each for part in newest for each in _durations_of(part.log)]


def _durations_of(log: Sequence[Event]) -> Iterable[tuple[float, int]]:
    leases: list[tuple[Rows, float]] = []
    commits: dict[tuple[int, float], int] = {}
    for event in log:
        if event.verb is Verb.CLAIM:
            leases.append((event.rows, event.at))
        elif event.verb in OUTCOMES:
            lease = next((n for n in reversed(range(len(leases))) if event.rows.first in leases[n][0]), None)
            if lease is not None:
                commits[lease, event.at] = commits.get((lease, event.at), 0) + event.n_rows
    since: dict[int, float] = {}
    for (lease, at), n in commits.items():
        seconds = at - since.get(lease, leases[lease][1])
        since[lease] = at
        yield max(seconds, 0.0) / n, n


def histogram(values: Sequence[tuple[float, int]], *, most: int = 12) -> tuple[tuple[float, int], ...]:
    """Return (upper edge in seconds, how many tasks), in steps of 1-2-5, at most `most` of them."""
    places = [(_step(seconds), n) for seconds, n in values if n > 0]
    if not places:
        return ()
    last = max(place for place, _ in places)
    first = max(min(place for place, _ in places), last - most + 1)
    total = dict.fromkeys(range(first, last + 1), 0)
    for place, n in places:
        total[max(place, first)] += n
    return tuple((_edge(place), n) for place, n in total.items())


def _step(seconds: float) -> int:
    """Return the number of the first edge that is not below `seconds`; edge 0 is a microsecond."""
    guess = max(0, math.floor(math.log10(max(seconds, 1e-6) / 1e-6)) * 3)
    while _edge(guess) < seconds * (1 - 1e-9):
        guess += 1
    return guess


def _edge(place: int) -> float:
    decade, step = divmod(place, 3)
    return float((1, 2, 5)[step]) * 10.0 ** (decade - 6)
