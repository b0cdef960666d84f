"""How far a call in progress is, by its own account: kept with the lease it runs under, and gone with the call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from oqkit.errors import UsageError
from oqkit.printable import printable
from oqkit.queue import bound
from oqkit.queue.rows import Rows

MAX_MESSAGE = 200
MAX_ENTRIES = 64
"""Of how many calls at once a lease keeps it: each heartbeat writes all of them."""

MAX_AMOUNT = 1.0e18
Amount = Annotated[float, Meta(ge=0.0, le=MAX_AMOUNT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a call last said of itself; of a batch call, it is said of each of its rows."""

    rows: Rows
    current: Amount
    total: Amount | None = None
    """None if nobody knows."""
    message: bound.Note = ""
    unknown: bound.Unknown = ()

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None if there is no total."""
        return min(1.0, self.current / self.total) if self.total else None

    def __str__(self) -> str:
        """Say it for people: ``3 of 10: third file``."""
        of = "" if self.total is None else f" of {_shown(self.total)}"
        return f"{_shown(self.current)}{of}" + (f": {printable(self.message)}" if self.message else "")


def said(rows: Rows, current: float, total: float | None, message: str) -> Progress:
    """Take in what a function says; a long message is cut. Raise `UsageError` for what is no amount."""
    return Progress(
        rows=rows,
        current=_amount(current, what="current"),
        total=None if total is None else _amount(total, what="total"),
        message=str(message)[:MAX_MESSAGE],
    )


def _shown(amount: float) -> str:
    return f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.4g}"


def _amount(value: float, *, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0.0 <= number <= MAX_AMOUNT:
        raise UsageError(f"progress({what}={value!r:.40}) must be a number, 0 or more")
    return number
