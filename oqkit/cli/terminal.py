"""What reaches the terminal: characters that it can show, and nothing that does more than be seen."""

from __future__ import annotations

import os
import shutil
import sys

from oqkit.printable import printable


def width() -> int | None:
    """Return how many columns the terminal has; None where the output goes elsewhere, which takes lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write(text: str) -> None:
    """Write lines to the standard output; what its encoding does not have is written as Python escapes it."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = printable(text, keeps_lines=True)
    sys.stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def complain(error: object) -> None:
    """Say on the standard error what went wrong."""
    sys.stderr.write(f"oq: {printable(error, keeps_lines=True)}\n")


def close() -> None:
    """Let nothing be written any more: whoever read it has gone, as ``head`` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
