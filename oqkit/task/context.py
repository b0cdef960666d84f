"""What a function may ask about the task it runs: take a parameter annotated `oq.Context`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from oqkit.errors import UsageError

log = logging.getLogger("oqkit.task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The task that this call runs; of a batch call, the first of its tasks."""

    task_id: str
    job_id: str
    attempt: int
    """1 for the first attempt."""
    worker: str
    _origin: str = field(default="", repr=False)
    """Which submission made the job; empty in a call that is for several tasks."""
    _is_cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: cancelled, taken over, or the worker is stopping."""
        return self._is_cancelled()

    @property
    def log(self) -> logging.Logger:
        """The logger ``oqkit.task``."""
        return log

    def effect_key(self, name: str) -> str:
        """Return the key of an effect outside of the queue, for a service that does the same thing once for one key.

        It is the same at every attempt of the task, after a retry as well, and another one for every other task and `name`; also
        for one that was submitted in the place of a deleted one. 32 hexadecimal digits, of which `uuid.UUID` makes a UUID. Raise
        `UsageError` in a batch function, whose calls are for several tasks, and not for the same ones at each attempt.
        """
        if not isinstance(name, str) or not name:
            raise UsageError(f"effect_key({name!r:.80}): name the effect with a text, such as 'charge'")
        if not self._origin:
            raise UsageError(
                "a batch function has no effect_key, as its calls are for several tasks: use a row function"
            )
        return hashlib.sha256(repr((self._origin, self.task_id, name)).encode()).hexdigest()[:32]
