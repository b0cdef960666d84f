"""Whom to blame for an execution that ended before its time, and what to run again: a pure policy.

A row is charged only if it is the only one that can have been running (guarantee G10). Of several, none
is: each half of them runs by itself, and so on down to one.
"""

from __future__ import annotations

from dataclasses import dataclass

from oqkit.queue.rows import NONE, Range, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What is known of an execution that ended before its time."""

    rows: Rows
    """What it was to run, in order; the numbers below are positions in it."""
    limit: int
    """Positions from here on were not to be started."""
    taken: int
    """Positions below were started."""
    busy: Range
    """The positions of the batch call in progress."""
    is_batch: bool = False
    is_async: bool = False
    is_crash: bool = True
    """Whether it died; otherwise it was ended, because a call took too long."""
    has_moved_on: bool = False
    """Whether the call that took too long has ended after all."""
    n_barren: int = 0
    """How many executions in a row, right before it, died without starting a row."""

    def in_progress(self) -> Rows:
        """Return the rows that were, or may have been, in progress."""
        if self.has_moved_on and not self.is_crash:
            return NONE
        if self.is_batch:
            return self.rows[slice(*self.busy)]
        first = 0 if self.is_async else self.taken - 1
        return self.rows[max(first, 0) : self.taken]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from an incident."""

    charged: Rows = NONE
    apart: tuple[Rows, ...] = ()
    """The suspects, to be run by themselves, group after group."""
    passed: Rows = NONE
    """Rows that were run and whose results were lost with the process: they are harmless, and run again first."""
    rest: Rows = NONE
    """Rows that were not started."""
    n_barren: int = 0


def blame(incident: Incident, *, done: Rows, held: Rows, barren_deaths: int) -> Verdict:
    """Judge an incident; `done` are the rows that have an outcome, and only those in `held` are still ours.

    A process that dies `barren_deaths` times in a row before it starts a row cannot even load the function: that is
    charged to all rows.
    """
    ours = held - done
    open_rows = incident.rows[: max(incident.limit, incident.taken)] & ours
    suspects = incident.in_progress() & ours
    n_barren = 0 if done or suspects else incident.n_barren + 1
    if n_barren >= barren_deaths:
        return Verdict(charged=open_rows, n_barren=n_barren)
    started = incident.rows[: incident.taken] if incident.is_crash else NONE
    others = open_rows - suspects
    half = (len(suspects) + 1) // 2
    return Verdict(
        charged=suspects if len(suspects) == 1 else NONE,
        apart=(suspects[:half], suspects[half:]) if len(suspects) > 1 else (),
        passed=others & started,
        rest=others - started,
        n_barren=n_barren,
    )
