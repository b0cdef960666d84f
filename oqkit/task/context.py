"""What a function may ask about the task it runs, and of the worker that runs it: take a parameter annotated `oq.Context`."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any

from oqkit.errors import UsageError
from oqkit.task.function import seconds
from oqkit.task.request import ExtendLease, Service

log = logging.getLogger("oqkit.task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The task that this call runs; of a batch call, the first of its tasks.

    Once the outcome of the call is not going to be used, because its tasks were cancelled or another worker has taken
    them over, `cancelled` is true, and every method raises `LeaseLost`: let that end the function. A context that you
    make yourself, to call a function in a test, asks nobody.
    """

    task_id: str
    job_id: str
    attempt: int
    """1 for the first attempt."""
    worker: str
    _origin: str = field(default="", repr=False)
    """Which submission made the job; empty in a call that is for several tasks."""
    _service: Service | None = field(default=None, repr=False, compare=False)

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: cancelled, taken over, or the worker is stopping.

        It becomes true when the worker next renews its lease, by default every 20 seconds.
        """
        return self._service is not None and self._service.is_cancelled

    def extend_lease(self, duration: float | str) -> Any:
        """Give this call at least so many seconds (or ``"5m"``) more from now on; in a coroutine function, ``await`` it.

        Neither its lease nor its time-out ends before then; what lasts longer already stays as it is. A worker renews
        the leases of what it runs by itself, so a function needs this only for more time than ``timeout=``, or before
        it keeps the whole process from doing anything, as C code can that holds the interpreter lock. Costs one write.
        A worker that dies meanwhile keeps its tasks from others for so long. Raise `LeaseLost` as all methods do,
        `UsageError` for a number that is none, and `Unavailable` if the store is away for too long.
        """
        request = ExtendLease(seconds=seconds(duration, what="duration"))
        return None if self._service is None else self._service.ask(request)

    def progress(self, current: float, total: float | None = None, message: str = "") -> None:
        """Say how far the call is: ``progress(3, 10, "third file")``. Call it as often as you like: nothing is sent for it.

        The last of it goes out when the worker next renews its lease, by default every 20 seconds. Of `message`, 200
        characters are kept.
        """
        if self._service is not None:
            self._service.tell(current, total, message)

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
        if self._service is not None:
            self._service.check()
        if not self._origin:
            raise UsageError(
                "a batch function has no effect_key, as its calls are for several tasks: use a row function"
            )
        return hashlib.sha256(repr((self._origin, self.task_id, name)).encode()).hexdigest()[:32]
