"""Whether the source files of what this process has imported are still what they were then."""

from __future__ import annotations

import os
import sys


class LoadedModules:
    """Remembers how each module's file looked when `note` first saw the module."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, tuple[int, int] | None]] = {}
        self.note()

    def note(self) -> None:
        """Take in the modules that were imported since."""
        for name in sys.modules.keys() - self._seen.keys():
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str):
                self._seen[name] = file, _look(file)

    def has_changed(self, name: str) -> bool:
        """Whether one of them is not what it was; False of a module that was never seen."""
        file, look = self._seen.get(name, ("", None))
        return look is not None and _look(file) != look

    def changed(self) -> list[str]:
        """Return the modules whose files have been written or removed since they were imported."""
        return sorted(filter(self.has_changed, self._seen))


def _look(file: str) -> tuple[int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - a thousand files in a few milliseconds
    except OSError:  # inside an archive, or gone
        return None
    return found.st_mtime_ns, found.st_size
