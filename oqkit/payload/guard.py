"""Whoever can write the queue can write anything into a job and its files: what to do about it where they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import pyarrow as pa

from oqkit.errors import FormatError, OqError

T = TypeVar("T")

UNREADABLE: Final = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    pa.ArrowException,
)
"""What comes out of reading what has other types or values than it should."""


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what reading damaged data raises into a `FormatError`: "`what` is not readable here"; errors of oqkit pass."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OqError):
            raise
        raise FormatError(f"{what} not readable here: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return an error in a line, cut to what a person reads of it."""
    return f"{type(error).__name__}: {error}"[:500]


def typed(value: Any, kind: type[T]) -> T:
    """Return `value` if it is of this very type, else raise `TypeError`."""
    if type(value) is not kind:
        raise TypeError(f"{value!r:.80} is not a {kind.__name__}")
    return value
