"""The rules that a job sets for its tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from oqkit.queue.bound import STATED, Count, Factor, Fraction, Moment, Span, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a failed task waits: ``initial_s * factor ** (attempt - 1)``, at most `max_s`, give or take `jitter`."""

    initial_s: Span = field(default=1.0, metadata=STATED)
    factor: Factor = field(default=2.0, metadata=STATED)
    max_s: Span = field(default=60.0, metadata=STATED)
    jitter: Fraction = field(default=0.25, metadata=STATED)

    def delay_s(self, attempt: int, *, chance: float) -> float:
        """Return the wait after `attempt`; `chance` in ``[0, 1)`` draws the jitter."""
        try:
            delay_s = self.initial_s * float(self.factor) ** (max(attempt, 1) - 1)
        except OverflowError:
            delay_s = self.max_s
        return min(self.max_s, delay_s) * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules that a job sets for its tasks."""

    retries: Count = field(default=3, metadata=STATED)
    """How many errors of the function a task survives."""
    max_losses: Count = field(default=3, metadata=STATED)
    """How often a task may kill its worker."""
    backoff: Backoff = field(default_factory=Backoff)
    max_reschedules: Count | None = field(default=None, metadata=STATED)
    """None: as often as it likes."""
    not_before: Moment = field(default=0.0, metadata=STATED)
    expires_at: Moment | None = field(default=None, metadata=STATED)
    """None: never."""
    keep_s: Span | None = None
    """How long the job stays once it has ended; None: until somebody deletes it."""
    unknown: Unknown = ()
