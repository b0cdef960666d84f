"""What a function may ask about the task it runs, and of the worker that runs it: take a parameter annotated `oq.Context`."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from oqkit.errors import UsageError
from oqkit.queue import key as keys
from oqkit.task.failure import SignalMissing
from oqkit.task.function import as_task, options_of, seconds
from oqkit.task.request import ExtendLease, Service, Signal, Spawn, TakeSignal

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
    _calls: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)
    """Numbers the calls that this one submits."""
    _waits: Counter[str] = field(default_factory=Counter, repr=False, compare=False)
    """How often this call has asked for the signals of each name."""

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
        It waits for the store if that is away. A worker that dies meanwhile keeps this task, and no other, from the others for so long. Raise
        `LeaseLost`, as all methods do, and `UsageError` for a duration that is none, or is more than a week.
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

    def spawn(
        self,
        fn: Callable[..., object] | str,
        input: object = None,  # noqa: A002 - the word of the contract
        *,
        key: str | None = None,
        **options: object,
    ) -> Any:
        """Submit another call, and return the id of its task at once; in a coroutine function, ``await`` it.

        The task is the same at every attempt of this one, so a retry submits nothing twice: it is known by `key`, or else
        as the first, second … call that this one submits. If it may be another one at the next attempt, give a `key`;
        the same with another input raises `DuplicateJob`. What was submitted goes on whatever becomes of this call.
        Options are those of `Queue.submit`. To go on with the results, let ``depends_on=`` of a further call name the
        ids. Raise `UsageError` in a batch function, whose calls are for several tasks.
        """
        if not self._origin:
            raise UsageError("a batch function cannot spawn, as its calls are for several tasks: use a row function")
        task = None if isinstance(fn, str) else as_task(fn)
        chosen = options_of(options)
        request = Spawn(
            type=keys.check_type(str(fn)) if task is None else task.name,
            function=task,
            input=input,
            scope=f"spawned {self._origin} {self.task_id}",
            key=f"call {next(self._calls)}" if key is None else f"key {key}",
            options=chosen if task is None else chosen.over(task.options),
        )
        if self._service is None:
            job_id = keys.keyed_job_id(keys.key_scope(request.scope, request.type), request.key, 1)
            return keys.task_id(job_id, 0)
        return self._service.ask(request)

    def wait_for_signal(self, name: str, *, timeout: float | str | None = None) -> Any:
        """Return the value of a signal that somebody sends with ``job.signal(name, value)``; in a coroutine function, ``await`` it.

        No worker is held meanwhile: if it has not come yet, this ends the call, the task is pending, and the function is called
        again from its beginning when the signal has come, which counts as no attempt. So do what must not be done twice
        after it, or with `spawn` and `effect_key`. The first wait for a name in a call is answered with the first signal
        of that name, the second with the second, at every attempt. Raise `TimeoutError` once the task has waited for `timeout` (seconds,
        or such as ``"2h"``) since it first came here, and `UsageError` in a batch function, or if a task waits more than 1,000 times.
        """
        if not isinstance(name, str) or not name or len(name) > 512:  # noqa: PLR2004
            raise UsageError(f"wait_for_signal({name!r:.80}): name the signal with a text of 1 to 512 characters")
        if not self._origin:
            raise UsageError("a batch function cannot wait, as its calls are for several tasks: use a row function")
        if self._service is None:
            raise UsageError("this context asks nobody, so no signal can come: replace wait_for_signal in your test")
        number, timeout_s = self._waits[name], None if timeout is None else seconds(timeout, what="timeout")
        self._waits[name] += 1
        answer = self._service.ask(TakeSignal(name=name, number=number, timeout_s=timeout_s))
        return _awaited(answer, name) if isinstance(answer, Awaitable) else _value_of(answer, name)

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


async def _awaited(answer: Awaitable[Signal], name: str) -> Any:
    return _value_of(await answer, name)


def _value_of(signal: Signal, name: str) -> Any:
    """Return the value of a signal, end the call until it comes, or raise `TimeoutError` if it has waited long enough."""
    if signal.has_come:
        return signal.value
    if signal.wait is None:
        raise TimeoutError(f"the signal {name!r} has not come in time")
    raise SignalMissing(signal)
