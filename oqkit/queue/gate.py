"""Gates: whether tasks of a job may start now, and if not, from when on and why. Pure.

Each gate looks at the job alone. A new reason to hold a job back is one more function in `GATES`: workers start
nothing of a job that a gate holds, its marker lies out of everybody's way until the gates are open, and `job.why()`
and the displays say what the gate says. What is over (a time to live) is not held back but settled: see
`oqkit.queue.part.settle`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oqkit.queue.dependency import named, recheck
from oqkit.queue.job import ControlVerb, Job

NEVER = 7_258_118_400.0
"""The year 2200: when a job may start that is paused for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That a job may not start yet."""

    until: float
    """When it may, in epoch seconds: later than now."""
    why: str = ""
    """What to tell people who wait for it, as a sentence; empty if that is shown in another way, as a pause is."""


Gate = Callable[[Job, float], Hold | None]
"""Return what holds a job back at a time (epoch seconds), or None if it may start."""


def delayed(job: Job, now: float) -> Hold | None:
    """Hold a job that was submitted with a delay."""
    return Hold(until=job.policy.not_before) if now < job.policy.not_before else None


def paused(job: Job, now: float) -> Hold | None:
    """Hold a job that was paused: no longer than its time to live, unless there may be tasks that do not expire."""
    order, end = job.pause(now), job.policy.expires_at
    if order is None:
        return None
    until = NEVER if order.until is None else order.until
    if end is not None and not any(control.verb is ControlVerb.RETRY for control in job.controls):
        until = min(until, end)
    return Hold(until=until) if now < until else None


def waiting(job: Job, now: float) -> Hold | None:
    """Hold a job until those that it depends on have ended: until it is told so, but somebody looks now and then."""
    if not job.is_blocked(now):
        return None
    until = min(recheck(job.created, now), job.policy.expires_at or NEVER)
    whose = "has" if len(job.depends_on) == 1 else "have"
    why = f"It waits until {named(job.depends_on)} {whose} ended; oq trace {job.id} shows how far that is."
    return Hold(until=until, why=why)


GATES: tuple[Gate, ...] = (delayed, paused, waiting)


def held(job: Job, now: float) -> Hold | None:
    """Return what holds a job back for the longest time; None if its tasks may start now."""
    holds = [hold for gate in GATES if (hold := gate(job, now)) is not None]
    return max(holds, key=lambda hold: hold.until, default=None)


def opens(job: Job, now: float) -> float | None:
    """Return when workers may next start tasks of a job, in epoch seconds; None: now."""
    hold = held(job, now)
    return None if hold is None else hold.until


def due(job: Job, now: float) -> float:
    """Return the time that the marker of a job has: when the last order about its tasks was given, or when its gates open.

    It follows from the job, so that whoever puts the marker up once more gives it the same name.
    """
    orders = [control.at for control in job.controls if control.verb.concerns_tasks]
    given = orders[-1] if orders else max(job.created, job.policy.not_before)
    return opens(job, now) or given
