"""Errors in groups: the same kind from the same place is one line, however many tasks it hit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from oqkit.task.failure import Failure
from oqkit.task.user_line import user_line

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tasks whose last error had one type and came from one place."""

    key: str
    type: str
    message: str
    """Of the first of them."""
    traceback: str
    place: str
    """File, line and function of the last line of the user's own; empty if unknown."""
    has_more_texts: bool = False
    """Whether other tasks of the group have other messages."""
    n_failed: int = 0
    n_retrying: int = 0

    @property
    def n_tasks(self) -> int:
        """How many tasks: failed for good, or waiting to run again."""
        return self.n_failed + self.n_retrying


def group_of(failure: Failure) -> Group:
    """Return the group that a failure belongs to, with no tasks in it yet."""
    found = user_line(failure.traceback, message=failure.message)
    place = "" if found is None else f"{found.file}:{found.line}, in {found.function}"
    text = f"{failure.type}\0{place or _NUMBER.sub('#', failure.message)}"
    return Group(
        key=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12],
        type=failure.type,
        message=failure.message,
        traceback=failure.traceback,
        place=place,
    )


def joined(known: Mapping[str, Group], new: Group) -> Group:
    """Return the known group of the same key, or the new one; and remember whether texts differ."""
    old = known.get(new.key)
    if old is None:
        return new
    if old.message != new.message and not old.has_more_texts:
        return replace(old, has_more_texts=True)
    return old


def largest_first(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Sort groups: those with the most tasks first; empty ones are left out."""
    return tuple(sorted((each for each in groups if each.n_tasks), key=lambda each: (-each.n_tasks, each.key)))
