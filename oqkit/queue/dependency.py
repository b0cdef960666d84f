"""What a job says of the jobs that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from oqkit.queue.bound import Id, Name, Unknown
from oqkit.queue.rows import Rows

FEATURE = "dependencies"
"""What a job requires of whoever touches it, if it depends on others or others on it."""
FIRST_RECHECK_S = 60.0
LONGEST_RECHECK_S = 3600.0


class OnFailure(StrEnum):
    """What becomes of the tasks of a job once the jobs that it depends on have ended, and some did not complete."""

    FAIL = "fail"
    SKIP = "skip"
    """They are cancelled."""
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A job that another one depends on."""

    job: Id
    origin: Id
    """That of the job when it was looked up: another one at its place, once it was deleted, is not waited for.

    So a job waits only for jobs that were there before it, and no circle can arise.
    """
    name: Name = ""
    root: Id = ""
    """Where the pipeline of that job begins; empty if with itself."""
    rows: Rows | None = None
    """The tasks that are meant, such as items of another call that are known from that job; None: all of them."""
    unknown: Unknown = ()

    def __str__(self) -> str:
        return f"{self.name!r} ({self.job})"


def named(parents: Sequence[Parent]) -> str:
    """Name a few of some jobs, and say how many there are more."""
    told = ", ".join(map(str, parents[:SHOWN]))
    return f"{told} and {len(parents) - SHOWN:,} more" if len(parents) > SHOWN else told


SHOWN = 3


def recheck(created: float, now: float) -> float:
    """Return when to look next whether the parents of a job have ended, in epoch seconds: later than `now`.

    That is only for what a crash lost, so it comes ever more rarely. It follows from when the job was `created` and
    the time, so that all workers think of the same moments.
    """
    waited_s = max(0.0, now - created)
    if waited_s >= LONGEST_RECHECK_S:
        return created + LONGEST_RECHECK_S * (waited_s // LONGEST_RECHECK_S + 1)
    wait_s = FIRST_RECHECK_S
    while wait_s <= waited_s:
        wait_s *= 2
    return created + min(wait_s, LONGEST_RECHECK_S)
