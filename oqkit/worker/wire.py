"""What a child process and its parent say to each other, as pickles through one socket.

The parent sends an `Order` at a time, and an `Aside` whenever there is one. The child sends pairs: a `Kind`, and what
there is to say of that kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from oqkit.queue.rows import Rows
from oqkit.worker.interface import Inputs

ASIDE = b"a"
"""What a pickled `Aside` comes after; a pickled `Order` comes as it is, and begins with another byte."""


class Kind(Enum):
    """What a message of the child is about."""

    RESULTS = auto()
    """`Results`."""
    VALUES = auto()
    """Rows, and the pickle of their values, which needs the user's classes to load."""
    REFUSED = auto()
    """The error for which no row can run."""
    BROKEN = auto()
    """A traceback: oqkit itself failed, or the inputs did."""
    NOTES = auto()
    """What calls said of their progress, as in `ResultBuffer.notes`."""
    ASK = auto()
    """The number of a question, the lease and rows of the call that asks, and what it asks: an `Answer` is to come."""
    STOPPED = auto()
    """The answer to a `Stop`: how many rows had been started by then; no more will be, beyond its limit."""
    END = auto()
    """Nothing more will come of this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Work as it travels to the child."""

    task: int
    """The number under which the child keeps the task."""
    code: str | bytes
    """Its import reference, or its cloudpickle; empty once the child has it."""
    name: str
    is_batch: bool
    inputs: Inputs
    options: Mapping[str, Any]
    """The other fields of `Work`."""
    serial: int
    """Which order of this child it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Start no row from position `at` on."""

    serial: int
    """Of the order that is meant; a later one takes no notice."""
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disown:
    """Let the calls of some rows know that their outcome will not be used."""

    serial: int
    """Of the order that is meant."""
    rows: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a question of a call."""

    number: int
    data: bytes
    """The pickle of the answer, and of the error to raise in its place."""


Aside = Stop | Disown | Answer
"""What is carried out at once, whatever the function does."""
