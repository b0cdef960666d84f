"""How many of the rows that wait in a lease its holder keeps, and how many go back to others: a pure policy."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is thought of the rest of a lease, and since when."""

    at: float
    """When that was, in monotonic seconds."""
    n_ended: int
    """How many rows of the lease had an outcome by then."""
    n_left: int
    patience_s: float
    """When to look again, in seconds from then."""
    row_s: float | None = None
    """How long a row takes, as seen since the look before; None before there was a second look."""

    def is_due(self, now: float) -> bool:
        """Whether it is time to look again."""
        return now - self.at >= self.patience_s

    def remaining_s(self, now: float, *, n_later: int, known_row_s: float | None, wrong_s: float) -> float:
        """Estimate how long the rest takes, in seconds; infinite while nothing is known, or it takes `wrong_s` longer."""
        row_s = self.row_s or known_row_s
        if row_s is None:
            return math.inf
        left_s = (self.n_left + n_later) * row_s - (now - self.at)
        return math.inf if left_s < -wrong_s else max(0.0, left_s)


def first_outlook(now: float, *, n_ended: int, n_rows: int, known_row_s: float | None, least_s: float) -> Outlook:
    """Return what is thought of `n_rows` that are about to start: `known_row_s` each, if that is known.

    The first look at them comes after `least_s`, or once they should have ended.
    """
    patience_s = max(least_s, n_rows * (known_row_s or 0.0))
    return Outlook(at=now, n_ended=n_ended, n_left=n_rows, patience_s=patience_s)


def share(outlook: Outlook, *, now: float, n_ended: int, n_waiting: int, target_s: float) -> tuple[Outlook, int]:
    """Return the next outlook, and how many of `n_waiting` rows to keep.

    What is too much for a lease of `target_s` goes back, at the first look half of what waits, unless that is soon
    done. It is judged by the time since the last look; if not even one call has ended in it, all goes back.
    """
    n_new = n_ended - outlook.n_ended
    row_s = (now - outlook.at) / n_new if n_new > 0 else math.inf
    most = n_waiting // 2 if outlook.row_s is None else n_waiting
    keep = min(most, int(target_s / row_s)) if row_s > 0 else most
    if n_waiting == 0 or (n_waiting - keep) * row_s < outlook.patience_s:
        keep = n_waiting
    patience_s = min(2 * outlook.patience_s, target_s)
    return Outlook(at=now, n_ended=n_ended, n_left=keep + 1, patience_s=patience_s, row_s=row_s), keep
