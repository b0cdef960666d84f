"""The model beside the queue: jobs that are lists of rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from oqkit.limits import QueueLimits
from oqkit.queue.transition import Verb

LIMITS = QueueLimits()
WAIT_S = 5.0


@dataclass
class Row:
    """One task of the model."""

    status: str = "pending"
    attempt: int = 0
    used: int = 0
    lost: int = 0
    """How many leases in a row ran out on it."""
    deaths: int = 0
    """How often it killed its worker, for it ran alone."""
    due: float = 0.0
    is_reopened: bool = False
    lease: str = ""
    value: object = None

    @property
    def is_suspect(self) -> bool:
        return bool(self.lost or self.deaths)

    def most(self, n_rows: int) -> int:
        """How many rows of a part of `n_rows` a lease may have that has this one."""
        if self.deaths:
            return 1
        shrink = LIMITS.suspect_first_factor * LIMITS.suspect_factor ** (self.lost - 1) if self.lost else 1
        return max(1, n_rows // shrink)


@dataclass
class ModelLease:
    """One lease of the model."""

    part: int
    expires: float
    is_alone: bool = False


@dataclass
class ModelJob:
    """One job of the model."""

    id: str
    part_rows: int
    retries: int
    max_losses: int
    not_before: float
    expires_at: float
    key: str
    content: tuple
    rows: list[Row]
    paused_at: float = 0.0
    paused_until: float = 0.0
    """No task is started before; 0.0 if there is no pause."""
    leases: dict[str, ModelLease] = field(default_factory=dict)

    def part(self, index: int) -> list[Row]:
        return self.rows[index * self.part_rows : (index + 1) * self.part_rows]

    def n_parts(self) -> int:
        return -(-len(self.rows) // self.part_rows)

    def lose(self, lease: str, now: float) -> None:
        """A lease that ran out charges nobody, and its rows wait for nothing, unless its one row ran alone."""
        is_alone = self.leases.pop(lease).is_alone
        for row in self.rows:
            if row.lease == lease:
                row.lease, row.lost = "", row.lost + 1
                if is_alone:
                    self.die(row, now)
                else:
                    row.status, row.used = "pending", row.used - 1

    def die(self, row: Row, now: float, *, is_certain: bool = True) -> None:
        """Charge a row with the death of its worker: not as an error of the function, but out of a budget of its own."""
        row.deaths += 1
        if is_certain and row.deaths >= self.max_losses:
            row.status = "failed"
        else:
            row.status, row.used, row.due = "pending", row.used - 1, now + WAIT_S

    def try_again(self, row: Row, now: float) -> None:
        """Back to pending while there are attempts left."""
        if row.used > self.retries:
            row.status = "failed"
        else:
            row.status, row.due = "pending", now + WAIT_S

    def end(self, row: Row, verb: Verb, now: float, *, is_certain: bool) -> None:
        """What becomes of a row that its worker has done with."""
        match verb:
            case Verb.COMPLETE:
                row.status = "completed"
            case Verb.FAIL:
                row.status = "failed"
            case Verb.RETRY:
                self.try_again(row, now)
            case Verb.LOSE:
                self.die(row, now, is_certain=is_certain)
            case _:
                row.status, row.used = "pending", row.used - 1
                row.due = now + 20.0 if verb is Verb.RESCHEDULE else 0.0

    def is_paused(self, now: float) -> bool:
        return now < self.paused_until

    def counts(self) -> dict[str, int]:
        return dict(Counter(row.status for row in self.rows))
