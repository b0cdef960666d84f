"""Gates: whether tasks of a job may start now, and if not, from when on. Pure.

Each gate looks at the job alone. A new reason to hold a job back is one more function in `GATES`: workers start
nothing of a job that a gate holds, and its marker lies out of everybody's way until the gates are open.
What is over (a time to live) is not held back but settled: see `oqkit.queue.part.settle`.
"""

from __future__ import annotations

from collections.abc import Callable

from oqkit.queue.job import Job

NEVER = 7_258_118_400.0
"""The year 2200: when a job may start that is paused for good."""

Gate = Callable[[Job, float], float | None]
"""Return when a job may start (epoch seconds) if that is later than now, else None."""


def delayed(job: Job, now: float) -> float | None:
    """Hold a job that was submitted with a delay."""
    return job.policy.not_before if now < job.policy.not_before else None


def paused(job: Job, now: float) -> float | None:
    """Hold a job that was paused."""
    order = job.pause(now)
    if order is None:
        return None
    return NEVER if order.until is None else order.until


GATES: tuple[Gate, ...] = (delayed, paused)


def opens(job: Job, now: float) -> float | None:
    """Return when workers may next start tasks of a job, in epoch seconds; None: now."""
    return max((when for gate in GATES if (when := gate(job, now)) is not None), default=None)


def due(job: Job, now: float) -> float:
    """Return the time that the marker of a job has: when its last order was given, or when its gates open.

    It follows from the job, so that whoever puts the marker up once more gives it the same name.
    """
    given = job.controls[-1].at if job.controls else max(job.created, job.policy.not_before)
    return opens(job, now) or given
