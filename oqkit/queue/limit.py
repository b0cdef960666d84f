"""Limits that all workers keep together: how many calls start in a time, and how many run at once. As a job states them.

What is taken of one is in `oqkit.queue.quota`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from oqkit.errors import UsageError
from oqkit.plain import plain
from oqkit.queue.bound import MAX_COUNT, Name, Span, Unknown

FEATURE = "limits"
"""What a job with limits requires of its readers: an older worker would run it without them."""
MAX_LIMITS = 8
_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"\s*(\d{1,12})\s*/\s*(s|min|m|h|d)(?:\s+([A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}))?\s*")

Most = Annotated[int, Meta(ge=1, le=MAX_COUNT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit that a job is under."""

    name: Name
    """Whose it is: ``rate/score``, ``type/score``, or ``job/`` and an id. All jobs that name it share it."""
    most: Most
    per_s: Span = 0.0
    """In how many seconds so many calls may start; 0: so many may run at once."""
    unknown: Unknown = ()

    def __str__(self) -> str:
        if not self.per_s:
            return f"{self.most} calls at once"
        unit = next((name for name, unit_s in _UNITS.items() if unit_s == self.per_s), f"{self.per_s:g} s")
        return f"{self.most}/{unit}"


def rate_of(text: object, *, job_type: str) -> Limit:
    """Read ``"100/min"``, or ``"100/min openai"`` for a limit of that name, which other types may share."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise UsageError(
            f"rate_limit={text!r:.80} is no rate: give such as '10/s', '100/min', '5000/h', or '100/min openai' for one "
            "of its own name, that several task types share"
        )
    return Limit(name=f"rate/{found[3] or job_type}", most=int(found[1]), per_s=_UNITS[found[2]])


def concurrency_of(most: object, *, name: str) -> Limit:
    """Check ``max_concurrency=``."""
    most = plain(most)
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 10**9:
        raise UsageError(f"max_concurrency={most!r:.80} must be a whole number, 1 or more")
    return Limit(name=name, most=most)


def said(limits: Iterable[Limit]) -> str:
    """Name limits for a person who waits."""
    return " and ".join(f"its rate limit of {one}" if one.per_s else f"its limit of {one}" for one in limits)
