"""Columns of text, one below the other, in the width that there is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

GAP = 2
NARROWEST = 8
"""What a column of text may be cut down to."""


def text_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, are_numbers: Sequence[bool], width: int | None
) -> str:
    """Return a line with the names and one for each row: numbers to the right, text to the left.

    What is wider than `width` (None: nothing is) is cut, the longest texts first, though never the first column, which says what
    the row is of; if that is not enough the last columns are left out, and named in a line at the end.
    """
    widths = [max(map(text_width, column)) for column in zip(names, *rows, strict=True)]
    n_shown = len(widths)
    if width is not None:
        widths = _cut(widths, width, is_kept=[True, *are_numbers[1:]])
        ends = accumulate(each + GAP for each in widths)
        n_shown = max(1, sum(end - GAP <= width for end in ends))
    lines = [(" " * GAP).join(map(_padded, row, widths[:n_shown], are_numbers)).rstrip() for row in (names, *rows)]
    if n_shown < len(names):
        lines.append(f"(and {', '.join(names[n_shown:])}: --json shows all)")
    return "".join(f"{line}\n" for line in lines)


def text_width(text: str) -> int:
    """Return how many columns a text takes in a terminal: a Chinese character takes two, an accent of its own none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _cut(widths: Sequence[int], width: int, *, is_kept: Sequence[bool]) -> list[int]:
    """Return widths that fit into `width`, or the narrowest that there are."""
    cut = list(widths)
    for longest in range(max(width, NARROWEST), NARROWEST - 1, -1):
        cut = [each if kept else min(each, longest) for each, kept in zip(widths, is_kept, strict=True)]
        if sum(cut) + GAP * (len(cut) - 1) <= width:
            break
    return cut


def _padded(text: str, width: int, is_number: bool) -> str:  # noqa: FBT001 - for `map`
    if text_width(text) > width:
        kept = ""
        for char in text:
            if text_width(kept + char) >= width:
                break
            kept += char
        text = f"{kept}…"
    room = " " * (width - text_width(text))
    return room + text if is_number else text + room
