"""What is known of a task; the tasks of a part that share all of it are one entry, however scattered they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from oqkit.queue.bound import MAX_WAITS, Count, LeaseId, Moment, Name, Unknown
from oqkit.queue.rows import Rows
from oqkit.queue.signal import Wait
from oqkit.queue.transition import Status, Verb, target


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """The state of a task."""

    status: Status = Status.PENDING
    attempt: Count = 0
    """How often it was claimed; never falls."""
    spared: Count = 0
    """How many of those claims do not count against the retries."""
    lost: Count = 0
    """How many leases in a row ran out on it: it may have killed its workers."""
    deaths: Count = 0
    """How often it killed its worker, or may have: no other row was in progress in what died."""
    reschedules: Count = 0
    due: Moment = 0.0
    """Not to be claimed before, in epoch seconds."""
    is_reopened: bool = False
    """Whether it was put back by hand: its time to live does not count any more."""
    lease: LeaseId = ""
    """Who runs it; empty unless running."""
    held_until: Moment = 0.0
    """Nobody else may take it before, in epoch seconds: its call asked for that; 0 if it did not, or does not run."""
    output: Name = ""
    """Which output holds its newest outcome; empty for none."""
    waits: Annotated[tuple[Wait, ...], Meta(max_length=MAX_WAITS)] = ()
    """The signals that it has waited for, the last of them maybe now: see `wait`."""
    signals_from: Count = 0
    """The generation of its job from which on signals are for it: that of the order by which it was put back by hand last."""
    unknown: Unknown = ()

    @property
    def wait(self) -> Wait | None:
        """The signal that it waits for; None for none, as after an error: then it is due at another time than the end of the wait."""
        last = self.waits[-1] if self.waits else None
        return last if last is not None and self.status is Status.PENDING and self.due == last.until else None

    @property
    def used(self) -> int:
        """How many attempts count against the retries."""
        return self.attempt - self.spared

    @property
    def is_suspect(self) -> bool:
        """Whether it may kill its worker, as far as is known."""
        return self.lost > 0 or self.deaths > 0


class Stretch(NamedTuple):
    """Neighbouring rows ``first <= row < stop`` of a part, all in the same state."""

    first: int
    stop: int
    state: TaskState

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.first


States = Mapping[TaskState, Rows]
"""Each state that tasks of a part are in, and which are; together all rows of the part, each once."""


def off_lease(state: TaskState, verb: Verb, **changes: Any) -> TaskState:
    """Return the state of a row that `verb` takes from whoever runs it, if anybody does."""
    return replace(state, status=target(verb, state.status), lease="", held_until=0.0, **changes)


def grouped(found: Iterable[tuple[TaskState, Rows]]) -> dict[TaskState, Rows]:
    """Join the rows that are in one state; rows of different entries must be different."""
    out: dict[TaskState, Rows] = {}
    for state, rows in found:
        if rows:
            known = out.get(state)
            out[state] = rows if known is None else known | rows
    return out


def changed(states: States, rows: Rows, change: Callable[[TaskState], TaskState]) -> States:
    """Apply `change` to the state of `rows`, once for each state they are in, and leave other rows as they are."""
    hit = {state: inside for state, held in states.items() if (inside := held & rows)}
    if not hit:
        return states
    rest = ((state, held - hit[state] if state in hit else held) for state, held in states.items())
    return grouped([*rest, *((change(state), inside) for state, inside in hit.items())])


def stretches(states: States) -> list[Stretch]:
    """Return the rows in order, neighbours that share their state together."""
    found = [Stretch(first, stop, state) for state, rows in states.items() for first, stop in rows.ranges]
    return sorted(found, key=lambda one: one.first)


def woken(states: States, rows: Rows, *, signal: str) -> States:
    """Make those of `rows` due that wait for a signal of this name."""

    def wake(state: TaskState) -> TaskState:
        return replace(state, due=0.0) if state.wait is not None and state.wait.name == signal else state

    return changed(states, rows, wake)
