"""The short log of a part: what happened last to which rows, for people."""

from __future__ import annotations

from dataclasses import dataclass

from oqkit.queue import bound
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb

LOG_RING = 32
LOG_RANGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of it."""

    at: bound.Moment
    verb: Verb
    rows: Rows
    """The rows, or, of very scattered ones, all from the first to the last."""
    n_rows: bound.Count
    worker: bound.Name = ""
    note: bound.Note = ""
    took_s: bound.Span = 0.0
    """How long the rows took to run, in seconds; 0 if unknown."""
    by: bound.Name = ""
    """Who gave the order that moved them; empty if none did, or that is not known."""
    unknown: bound.Unknown = ()


def appended(
    log: tuple[Event, ...],
    now: float,
    verb: Verb,
    rows: Rows,
    *,
    worker: str = "",
    note: str = "",
    took_s: float = 0.0,
    by: str = "",
) -> tuple[Event, ...]:
    """Return the log with one line more, if that is about any row; the oldest goes where it is full."""
    if not rows:
        return log
    shown = rows if len(rows.borders) <= 2 * LOG_RANGES else Rows.span(rows.first, rows.last + 1)
    note = note[: bound.MAX_NOTE]
    event = Event(at=now, verb=verb, rows=shown, n_rows=len(rows), worker=worker, note=note, took_s=took_s, by=by)
    return (*log, event)[-LOG_RING:]
