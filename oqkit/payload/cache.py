"""What was read of inputs and may be wanted again: open files, footers and row groups of all jobs, within one budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol, TypeVar

from cachetools import LRUCache, cached

_ENTRY_BYTES: Final = 4096
"""What an entry takes beside its bytes: some objects of Python and Arrow."""


class Sized(Protocol):
    """What knows how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""


S = TypeVar("S", bound=Sized)


class ByteCache:
    """Keeps what was used last, `budget_bytes` of it. Threads may share it.

    What takes more than three eighths of the budget counts as these: two of them are kept, with small things beside them,
    since the row groups that a worker walks through must not be read anew for each of their parts.
    """

    def __init__(self, budget_bytes: int) -> None:
        most = budget_bytes * 3 // 8
        self._kept: Any = LRUCache(budget_bytes, getsizeof=lambda entry: min(entry.nbytes + _ENTRY_BYTES, most))
        self._get: Any = cached(self._kept, key=lambda key, _: key, condition=threading.Condition())(
            lambda _, read: read()
        )

    def get(self, key: Hashable, read: Callable[[], S]) -> S:
        """Return what is kept under `key`, else what `read` returns: called once, however many threads want it."""
        entry: S = self._get(key, read)
        return entry
