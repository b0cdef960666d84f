"""`Rows`, an immutable set of row numbers: what an order, a lease, a commit or an outcome is about.

It is held as the borders of its ranges, so that a billion neighbouring rows cost no more than one, and a third of a
million scattered ones are combined in a tenth of a second. On paper, few ranges are written as a person reads them,
``[[0, 10], [12, 13]]``, and many as one text: the distances between the borders, compressed.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import operator
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]
"""Rows ``first <= row < stop``."""

READABLE = 64
"""How many ranges are written one by one."""
MAX_RANGES = 1 << 22
MAX_ROW = 1 << 53


class Rows:
    """A set of row numbers, in ascending order, never changed; build it with `of`, `span` or `ranged`."""

    # No dataclass: msgspec would read one by its fields, and not by `from_json`.
    __slots__ = ("borders",)

    def __init__(self, borders: tuple[int, ...] = ()) -> None:
        self.borders = borders
        """Where ranges begin and end, in turn, strictly ascending."""

    def __eq__(self, other: object) -> bool:
        return self.borders == other.borders if isinstance(other, Rows) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.borders)

    # --- making one ------------------------------------------------------------------------------

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Rows:
        """Return the rows of these numbers, in any order, duplicates allowed."""
        if isinstance(numbers, range) and numbers.step == 1:
            return cls.span(numbers.start, numbers.stop)
        found = sorted(set(numbers))
        if not found:
            return NONE
        if found[-1] - found[0] == len(found) - 1:  # the common case, at the speed of the sort
            return cls((found[0], found[-1] + 1))
        borders = [found[0]]
        for before, row in itertools.pairwise(found):
            if row - before > 1:
                borders.append(before + 1)
                borders.append(row)
        return cls((*borders, found[-1] + 1))

    @classmethod
    def span(cls, first: int, stop: int) -> Rows:
        """Return the rows ``first <= row < stop``."""
        return cls((first, stop)) if first < stop else NONE

    @classmethod
    def ranged(cls, ranges: Iterable[Range]) -> Rows:
        """Return the rows of these ranges, in any order; they may touch, overlap or be empty."""
        borders: list[int] = []
        for first, stop in sorted(ranges):
            if first >= stop:
                continue
            if borders and first <= borders[-1]:
                borders[-1] = max(borders[-1], stop)
            else:
                borders += (first, stop)
        return cls(tuple(borders))

    # --- what is in it ---------------------------------------------------------------------------

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The rows as ranges, in order, none of which touch."""
        return tuple(zip(self.borders[::2], self.borders[1::2], strict=True))

    @property
    def first(self) -> int:
        """The least row; there must be one."""
        return self.borders[0]

    @property
    def last(self) -> int:
        """The greatest row; there must be one."""
        return self.borders[-1] - 1

    def numbers(self) -> Sequence[int]:
        """Return the row numbers, in order; a `range` where they follow each other."""
        if len(self.borders) == 2:  # noqa: PLR2004 - one range
            return range(*self.borders)
        return [row for first, stop in self.ranges for row in range(first, stop)]

    def __getitem__(self, places: slice) -> Rows:
        """Return the rows at these places, counted from the first row: ``rows[2:5]``."""
        ends = list(itertools.accumulate(map(operator.sub, self.borders[1::2], self.borders[::2])))
        first, stop, _ = places.indices(ends[-1] if ends else 0)
        if first >= stop:
            return NONE
        low, high = bisect_right(ends, first), bisect_left(ends, stop)
        borders = list(self.borders[2 * low : 2 * high + 2])
        borders[0] += first - (ends[low - 1] if low else 0)
        borders[-1] -= ends[high] - stop
        return Rows(tuple(borders))

    def places(self, rows: Rows) -> Iterator[tuple[int, int]]:
        """Yield, for each range of `rows`, at which place of these rows it begins, and how many rows it has.

        Raise `IndexError` if one of them is not here.
        """
        held, place = iter(self.ranges), 0
        start, end = next(held, (0, 0))
        for first, stop in rows.ranges:
            while end <= first:
                place += end - start
                start, end = next(held, (MAX_ROW, MAX_ROW + 1))
            if first < start or stop > end:
                raise IndexError(first)
            yield place + first - start, stop - first

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers())

    def __len__(self) -> int:
        return sum(self.borders[1::2]) - sum(self.borders[::2])

    def __bool__(self) -> bool:
        return bool(self.borders)

    def __contains__(self, row: int) -> bool:
        return bisect_right(self.borders, row) % 2 == 1

    def __repr__(self) -> str:
        more = ", …" if len(self.borders) > 2 * READABLE else ""
        return f"Rows({', '.join(f'{first}:{stop}' for first, stop in self.ranges[:READABLE])}{more})"

    # --- combining -------------------------------------------------------------------------------

    def clip(self, first: int, stop: int) -> Rows:
        """Return those of the rows with ``first <= row < stop``."""
        if first >= stop:
            return NONE
        start, end = bisect_right(self.borders, first), bisect_left(self.borders, stop)
        inner = self.borders[start:end]
        return Rows((*((first,) if start % 2 else ()), *inner, *((stop,) if end % 2 else ())))

    def shift(self, by: int) -> Rows:
        """Return the rows with `by` added to each."""
        return Rows(tuple(border + by for border in self.borders)) if by else self

    def head(self, n: int) -> Rows:
        """Return the first `n` of the rows."""
        if n < len(self):
            left = n
            for first, stop in self.ranges:
                if stop - first >= left:
                    return self.clip(self.borders[0], first + left)
                left -= stop - first
        return self

    def __and__(self, other: Rows) -> Rows:
        one, two = (self, other) if len(self.borders) <= len(other.borders) else (other, self)
        if not one.borders:
            return NONE
        two = two.clip(one.borders[0], one.borders[-1])
        if len(one.borders) == 2:  # noqa: PLR2004 - one range
            return two
        one = one.clip(two.borders[0], two.borders[-1]) if two.borders else NONE
        return Rows(tuple(_common(one.borders, two.borders)))

    def __or__(self, other: Rows) -> Rows:
        if not self.borders or not other.borders:
            return other if other.borders else self
        return Rows.ranged((*self.ranges, *other.ranges))

    def __sub__(self, other: Rows) -> Rows:
        if not self.borders or not other.borders:
            return self
        if self.borders == other.borders:
            return NONE
        return self & other._complement(self.borders[0], self.borders[-1])

    def _complement(self, first: int, stop: int) -> Rows:
        """Return the rows ``first <= row < stop`` that are not in the set."""
        inner = self.clip(first, stop).borders
        if not inner:
            return Rows.span(first, stop)
        head = (first,) if inner[0] > first else ()
        tail = (stop,) if inner[-1] < stop else ()
        return Rows((*head, *inner[0 if head else 1 : None if tail else -1], *tail))

    # --- on paper --------------------------------------------------------------------------------

    def to_json(self) -> list[list[int]] | str:
        """Return what `from_json` reads: ranges where they are few, else one text."""
        if len(self.borders) <= 2 * READABLE:
            return [list(one) for one in self.ranges]
        gaps = [self.borders[0], *map(operator.sub, self.borders[1:], self.borders[:-1])]
        data = bytes(gaps) if max(gaps) < _MORE else b"".join(map(_varint, gaps))
        return base64.b64encode(zlib.compress(data)).decode()

    @classmethod
    def from_json(cls, doc: object) -> Rows:
        """Read what `to_json` wrote, or raise `ValueError`: there is no other way to write a set."""
        if isinstance(doc, str):
            return cls(_borders_of(doc))
        if not isinstance(doc, list) or len(doc) > MAX_RANGES:
            raise ValueError("rows are neither a text nor a list of ranges")
        borders = tuple([border for first, stop in doc for border in (first, stop)])
        if not _INTEGERS.issuperset(map(type, borders)):
            raise ValueError("the borders of rows are whole numbers")
        _check(borders)
        if len(borders) > 2:  # noqa: PLR2004 - more than one range
            if any(first >= stop for first, stop in doc):
                raise ValueError("a range of rows ends where it begins, or before")
            return cls.ranged(zip(borders[::2], borders[1::2], strict=True))
        if borders and borders[0] >= borders[1]:
            raise ValueError("a range of rows ends where it begins, or before")
        return cls(borders)


NONE = Rows()
"""No rows."""


def union(sets: Iterable[Rows]) -> Rows:
    """Return the rows that are in any of these."""
    found = [one for one in sets if one.borders]
    return found[0] if len(found) == 1 else Rows.ranged(itertools.chain.from_iterable(one.ranges for one in found))


def covers_once(sets: Iterable[Rows], n_rows: int) -> bool:
    """Whether each row from 0 to `n_rows` is in exactly one of these, and no other row is in any."""
    found = list(sets)
    firsts = sorted(itertools.chain.from_iterable(one.borders[::2] for one in found))
    stops = sorted(itertools.chain.from_iterable(one.borders[1::2] for one in found))
    return [*firsts, n_rows] == [0, *stops] if n_rows else not firsts


_MORE = 0x80
_MAX_BYTES = 4 * MAX_RANGES


def _common(one: Sequence[int], two: Sequence[int]) -> Iterator[int]:
    """Yield the borders of what two sets share, walking along both."""
    i = j = 0
    while i < len(one) and j < len(two):
        first, stop = max(one[i], two[j]), min(one[i + 1], two[j + 1])
        if first < stop:
            yield first
            yield stop
        if one[i + 1] <= two[j + 1]:
            i += 2
        else:
            j += 2


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _MORE:
        out.append(number % _MORE + _MORE)
        number //= _MORE
    out.append(number)
    return bytes(out)


def _borders_of(text: str) -> tuple[int, ...]:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), _MAX_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"the rows are damaged: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the rows are cut off, or in too many ranges")
    gaps: Sequence[int] = data if data.isascii() else list(_gaps(data))
    if len(gaps) % 2 or len(gaps) > 2 * MAX_RANGES or 0 in gaps[1:]:
        raise ValueError("the borders of the rows do not ascend")
    borders = tuple(itertools.accumulate(gaps))
    _check(borders)
    return borders


def _gaps(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number += (byte % _MORE) << shift
        shift += 7
        if byte < _MORE:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("the rows are cut off")


_INTEGERS = frozenset({int})


def _check(borders: Sequence[int]) -> None:
    if borders and not 0 <= min(borders) <= max(borders) <= MAX_ROW:
        raise ValueError(f"row numbers go from 0 to {MAX_ROW}")
