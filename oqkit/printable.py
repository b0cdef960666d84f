"""Text that somebody else wrote, on its way to a terminal or a log: names of jobs, messages of errors, what a store answered.

Everybody who can write the queue chooses such texts. Escape sequences in them would move the cursor, rename the window
or hide what stands before; a line break would forge a line of a log.
"""

from __future__ import annotations

import logging


def printable(text: object, *, keeps_lines: bool = False) -> str:
    r"""Return the text with every character that does more than be seen written out as `repr` does, such as ``\x1b``.

    With `keeps_lines` line breaks stay.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() or (keeps_lines and c == "\n") else _escaped(c) for c in plain)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class PlainFormatter(logging.Formatter):
    """Writes a record in one line, and what belongs to it (a traceback) indented below: no text can pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        first, *more = printable(super().format(record), keeps_lines=True).split("\n")
        return "\n".join([first, *(f"    {line}" for line in more)])
