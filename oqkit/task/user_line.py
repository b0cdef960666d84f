"""Which line of the user's own code an error came from: the last one in its traceback that belongs to no library."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"^(?:  \+ Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)
_FRAME = re.compile(
    r'^  (?:\|   )?File "(?P<file>[^"\n]*)", line (?P<line>\d+), in (?P<name>.*)$(?:\n  (?:\|   )?  (?P<text>\S.*)$)?',
    re.MULTILINE,
)
_LIBRARY = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]"
    r"|[/\\]lib[/\\]python3\.\d+t?[/\\]"
    r"|\\Lib\\"
    r"|[/\\]oqkit[/\\](?:arrow|claim|client|payload|queue|store|task|worker)[/\\]"
    r"|^<frozen "
)
_CELL = re.compile(r"^<cell .*>$|^<ipython-input-.*>$|[/\\]ipykernel_\d+[/\\]\d+\.py$")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLine:
    """A line of code, and the function that it is in."""

    file: str
    line: int
    function: str
    text: str
    """The line itself; empty if it is not known."""

    def __str__(self) -> str:
        """Say it shortly: ``score.py:12: return total / n``; a cell of a notebook is ``<cell>``."""
        name = "<cell>" if _CELL.search(self.file) else re.split(r"[/\\]", self.file)[-1]
        return f"{name}:{self.line}: {self.text}" if self.text else f"{name}:{self.line}"


def user_line(traceback: str, *, message: str = "") -> UserLine | None:
    """Return the last line of the user's own code in a traceback, or of a library's if it has no other; None if it has none.

    Of errors that were raised while others were handled it is that of the last one. `message` is the text of the error,
    in which there may be tracebacks of others.
    """
    frames = traceback.removesuffix("\n").removesuffix(message)
    frames = _HEADER.split(frames)[-1].partition("\n  +-+-")[0]
    found = list(_FRAME.finditer(frames))
    if not found:
        return None
    chosen = next((one for one in reversed(found) if not _LIBRARY.search(one["file"])), found[-1])
    return UserLine(
        file=chosen["file"], line=int(chosen["line"]), function=chosen["name"], text=(chosen["text"] or "").strip()
    )
