"""The order in which a worker takes parts that nobody touched: side by side, so that workers seldom meet.

Workers choose without asking each other. If each took parts at random, half of its choices would be
taken already by the time half of a job is done. Each starts at a random place instead and walks on
from there, which also lets it use again what it read for the part before; where it meets another's
track it leaps into the middle of the longest stretch that it still believes to be free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Walk:
    """Numbers that are left, each to be taken once; `start` in ``[0, 1)`` chooses where to begin."""

    def __init__(self, numbers: Sequence[int] = (), *, start: float = 0.0) -> None:
        self._left = list(numbers)
        """Sorted."""
        self._place = int(start * len(self._left))
        self._last: int | None = None

    def __len__(self) -> int:
        return len(self._left)

    def step(self) -> int:
        """Take the next number: the one after the last, or one from the longest stretch where that is gone."""
        left = self._left
        is_next = self._place < len(left) and self._last in (None, left[self._place] - 1)
        if not is_next:
            self.leap()
        self._last = left.pop(self._place)
        return self._last

    def leap(self) -> None:
        """Go on in the middle of the longest stretch, as the number taken last turned out to be another's."""
        if self._left:
            first, stop = max(_stretches(self._left), key=lambda one: one[1] - one[0])
            self._place, self._last = (first + stop) // 2, None


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the places ``first <= place < stop`` of numbers that follow each other without a gap."""
    first = 0
    for stop in range(1, len(numbers) + 1):
        if stop == len(numbers) or numbers[stop] != numbers[stop - 1] + 1:
            yield first, stop
            first = stop
