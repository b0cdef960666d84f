"""What lies behind a task: its error, its input and its result, read only when somebody asks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oqkit.arrow.value import decode_values
from oqkit.errors import FormatError, Missing
from oqkit.notebook.group import Group, group_of, joined, largest_first
from oqkit.notebook.page import TaskRow
from oqkit.payload.codec import ParquetCodec
from oqkit.payload.output import StoredResults, read_output, stored_results
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import Stretch, TaskState
from oqkit.queue.transition import Status
from oqkit.queue.view import JobState
from oqkit.task.failure import Failure, cut

MAX_VALUE = 300
MAX_VALUES = 40

Place = tuple[int, str]
"""An output: the number of its part, and its name."""


@dataclass(slots=True, kw_only=True)
class _Tally:
    """How many tasks of one state of a part are in which group; `n_outputs` were read by then."""

    part: Part
    n_outputs: int
    failed: Counter[str] = field(default_factory=Counter)
    retrying: Counter[str] = field(default_factory=Counter)


class ErrorReader:
    """The errors of one job in groups. Reads each output once, and keeps a number a task, not a text."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._groups: dict[str, Group] = {}
        self._keys: dict[Place, dict[int, str]] = {}
        self._tallies: dict[int, _Tally] = {}
        self._lock = threading.Lock()

    def read(self, state: JobState, *, most: int, only: Collection[Place] | None = None) -> None:
        """Read errors that are not known yet: all that lie in the parts themselves, and at most `most` objects.

        `only` narrows it to some outputs; None is all that failing tasks name.
        """
        with self._lock:
            new = [each for each in _named(state) if each not in self._keys and (only is None or each in only)]
            inline = [each for each in new if state.part(each[0]).outputs.get(each[1]) is not None]
            stored = [each for each in new if each not in set(inline)][: max(0, most)]
            chosen = inline + stored
            for place, outcomes in zip(
                chosen, self._repository.map(lambda each: self._outcomes(state, *each), chosen), strict=True
            ):
                self._keys[place] = {row: self._known(failure) for row, failure in outcomes.failures.items()}

    def _known(self, failure: Failure) -> str:
        group = group_of(failure)
        self._groups[group.key] = joined(self._groups, group)
        return group.key

    def _outcomes(self, state: JobState, part: int, name: str) -> StoredResults:
        return outcomes_of(self._repository, state, state.part(part), name)

    def groups(self, state: JobState) -> tuple[Group, ...]:
        """Return the groups of what is known, with the tasks that are in them now."""
        failed: Counter[str] = Counter()
        retrying: Counter[str] = Counter()
        for part in state.touched():
            tally = self._tally(part)
            failed.update(tally.failed)
            retrying.update(tally.retrying)
        counted = [
            replace(group, n_failed=failed[key], n_retrying=retrying[key]) for key, group in list(self._groups.items())
        ]
        return largest_first(counted)

    def _tally(self, part: Part) -> _Tally:
        """Count a part's errors, once for each state of it."""
        known = self._tallies.get(part.index)
        if known is not None and known.part is part and known.n_outputs == len(self._keys):
            return known
        tally = _Tally(part=part, n_outputs=len(self._keys))
        for one in part.stretches():
            if _is_failing(one.state):
                count = tally.failed if one.state.status is Status.FAILED else tally.retrying
                count.update(key for _, key in self._keys_of(part, one))
        self._tallies[part.index] = tally
        return tally

    def rows(self, state: JobState, key: str) -> list[int]:
        """Return the rows of one group, in order."""
        size = state.job.part_rows
        return [
            part.index * size + row
            for part in state.touched()
            for one in part.stretches()
            if _is_failing(one.state)
            for row, known in self._keys_of(part, one)
            if known == key
        ]

    def group_at(self, task: TaskRow, part_rows: int) -> Group | None:
        """Return the group of one task's last error, if it is known."""
        key = self._keys.get((task.part, task.output), {}).get(task.row - task.part * part_rows)
        return self._groups.get(key) if key else None

    def _keys_of(self, part: Part, one: Stretch) -> Iterator[tuple[int, str]]:
        """Yield the rows of a stretch whose error is known, with the key of its group."""
        known = self._keys.get((part.index, one.state.output)) or {}
        lost = self._lost(one.state)
        for row in range(one.first, one.stop):
            key = known.get(row) or lost
            if key:
                yield row, key

    def _lost(self, task: TaskState) -> str:
        """Return the group of a failure that no function raised; empty if the error is just not read yet."""
        if task.output or task.status is not Status.FAILED:
            return ""
        kind = "WorkerLost" if task.is_suspect else "Reschedule"
        text = (
            "its worker died while it ran alone"
            if task.is_suspect
            else "it asked to be put back more often than it may"
        )
        return self._known(Failure(type=kind, message=text, traceback="", attempt=task.used, worker=""))


def _named(state: JobState) -> list[Place]:
    """Return the outputs that hold errors of tasks that failed or wait to run again."""
    found = (
        (part.index, task.output)
        for part in state.touched()
        for _, _, task in part.stretches()
        if _is_failing(task) and task.output
    )
    return list(dict.fromkeys(found))


def _is_failing(task: TaskState) -> bool:
    return task.status is Status.FAILED or (task.status is Status.PENDING and task.attempt > 0)


def outcomes_of(repository: Repository, state: JobState, part: Part, name: str) -> StoredResults:
    """Return one output: from the part itself, or in one GET."""
    try:
        return read_output(repository, state.job, part, name)
    except Missing:  # the part moved on, and the output was swept up
        return stored_results((), None, {})


def failure_at(repository: Repository, state: JobState, task: TaskRow) -> Failure | None:
    """Return the last error of a task, or None."""
    if not task.output:
        return None
    local = task.row - task.part * state.job.part_rows
    return outcomes_of(repository, state, state.part(task.part), task.output).failures.get(local)


def result_at(repository: Repository, state: JobState, task: TaskRow) -> str:
    """Return what a completed task returned, as text; empty if it has not completed."""
    if task.status != Status.COMPLETED or not task.output:
        return ""
    outcomes = outcomes_of(repository, state, state.part(task.part), task.output)
    place = np.flatnonzero(outcomes.rows == task.row - task.part * state.job.part_rows)
    if not len(place):
        return ""
    return shown(decode_values(outcomes.values.slice(int(place[0]), 1))[0])


def input_at(codec: ParquetCodec, state: JobState, task: TaskRow) -> list[tuple[str, str]]:
    """Return the input of a task as (column, value) texts: one ranged read of its part's rows."""
    local = task.row - task.part * state.job.part_rows
    try:
        value = next(iter(codec.open(state.job, task.part).values(Rows.span(local, local + 1))))
    except (FormatError, Missing) as error:
        return [("", f"cannot be read: {error}")]
    items: Sequence[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else [("", value)]
    return [(cut(str(name), MAX_VALUE), shown(each)) for name, each in items[:MAX_VALUES]]


def shown(value: object) -> str:
    """Write a value for a person, short."""
    try:
        text = repr(value)
    except Exception as broken:  # noqa: BLE001 - a user's own __repr__ runs here
        text = f"<no text: __repr__ raised {type(broken).__name__}>"
    return cut(text, MAX_VALUE)
