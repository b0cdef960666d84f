"""What installed packages bring: entry points by group and name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def load_entry_point(group: str, name: str) -> tuple[Any, list[str]]:
    """Return what lies under a name in a group; if nothing does, None and the names that there are."""
    found = entry_points(group=group, name=name)
    if found:
        return next(iter(found)).load(), []
    return None, sorted({entry.name for entry in entry_points(group=group)})
