"""What a function may ask about the task it runs: take a parameter annotated `oq.Context`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("oqkit.task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The task that this call runs; of a batch call, the first of its tasks."""

    task_id: str
    job_id: str
    attempt: int
    """1 for the first attempt."""
    worker: str
    _is_cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: cancelled, taken over, or the worker is stopping."""
        return self._is_cancelled()

    @property
    def log(self) -> logging.Logger:
        """The logger ``oqkit.task``."""
        return log
