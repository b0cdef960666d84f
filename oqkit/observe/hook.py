"""Hooks: functions that are called when something has happened, each of one kind, task by task where it is about tasks.

They are observers, so nothing of the work depends on them: they are called in a thread of their own, one after the other,
once it is so. One that raises is logged, and called again the next time. There is none, and no thread, before the first is added.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from oqkit.errors import UsageError
from oqkit.observe.event import (
    Event,
    JobAttached,
    JobOrdered,
    JobSubmitted,
    LeaseCommitted,
    WorkerStarted,
    WorkerStopped,
)
from oqkit.observe.observer import Listener, Observers
from oqkit.queue.key import task_id
from oqkit.queue.rows import NONE
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How soon a worker that waits for a hook hears that it is to stop."""

Hook = Callable[..., object]
H = TypeVar("H", bound=Hook)


class Occasion(StrEnum):
    """When hooks are called."""

    STARTUP = "on_startup"
    SUCCESS = "on_success"
    ERROR = "on_error"
    RETRY = "on_retry"
    SHUTDOWN = "on_shutdown"
    SUBMIT = "on_submit"
    ATTACH = "on_attach"
    ORDER = "on_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """What an attempt of a task came to, once that is stored."""

    at: float
    """When it was, in epoch seconds by the store's clock."""
    task_id: str
    job_id: str
    row: int
    """Its number in the job."""
    type: str
    tags: Mapping[str, str]
    """Those of the job."""
    attempt: int
    """Which one it was: 1 for the first."""
    worker: str
    error: Failure | None = None
    """Type, message and traceback of what went wrong; None of a success."""


_OCCASIONS: dict[type, Occasion] = {
    WorkerStarted: Occasion.STARTUP,
    WorkerStopped: Occasion.SHUTDOWN,
    JobSubmitted: Occasion.SUBMIT,
    JobAttached: Occasion.ATTACH,
    JobOrdered: Occasion.ORDER,
}
"""Of events that hooks are told as they are."""
_VERBS = {
    Occasion.SUCCESS: (Verb.COMPLETE,),
    Occasion.RETRY: (Verb.RETRY, Verb.LOSE),
    Occasion.ERROR: (Verb.FAIL,),
}
"""What became of the tasks that hooks are told of one by one."""


class Hooks:
    """The hooks of one worker or client."""

    def __init__(self, observers: Observers) -> None:
        self._observers = observers
        self._hooks: dict[Occasion, tuple[Hook, ...]] = {}
        self._listener: Listener | None = None
        self._runner: asyncio.Runner | None = None
        self._said: set[tuple[Hook, type]] = set()

    def add(self, occasion: Occasion, hook: H) -> H:
        """Call `hook` from now on, after those that were added before, and return it; raise `UsageError` if that cannot be."""
        if not callable(hook):
            raise UsageError(f"{occasion} takes a function, and {hook!r:.80} is none")
        self._hooks[occasion] = (*self._hooks.get(occasion, ()), hook)
        if self._listener is None:
            self._listener = Listener(self._hear)
            self._observers.add(self._listener)
        return hook

    def begin(self, is_stopping: Callable[[], bool]) -> None:
        """Wait until those of the startup were called, unless it is to stop before."""
        while Occasion.STARTUP in self._hooks and not (is_stopping() or self.flush(LOOK_S)):
            pass

    def flush(self, patience_s: float) -> bool:
        """Wait until all were called for what has happened, but not for longer; return whether they were."""
        return self._listener is None or self._listener.flush(patience_s)

    def _hear(self, event: Event) -> None:
        if isinstance(event, LeaseCommitted):
            for occasion, verbs in _VERBS.items():
                if hooks := self._hooks.get(occasion):
                    for task in _tasks(event, verbs):
                        self._call(occasion, hooks, task)
        elif (known := _OCCASIONS.get(type(event))) is not None:
            self._call(known, self._hooks.get(known, ()), event)

    def _call(self, occasion: Occasion, hooks: tuple[Hook, ...], event: object) -> None:
        for hook in hooks:
            try:
                result = hook(event) if _takes_one(hook) else hook()
                if inspect.isawaitable(result):
                    self._loop().run(_awaited(result))
            except BaseException as error:  # noqa: BLE001 - somebody's own function
                self._say(occasion, hook, error)

    def _loop(self) -> asyncio.Runner:
        """Return the one event loop of all hooks, so that what one opens another can use."""
        if self._runner is None:
            self._runner = asyncio.Runner()
            weakref.finalize(self, self._runner.close)
        return self._runner

    def _say(self, occasion: Occasion, hook: Hook, error: BaseException) -> None:
        """Log an error; one that is like another of this hook in less detail."""
        like = hook, type(error)
        is_new, text = like not in self._said, "%s: %r raised an error, which changes nothing: %s"
        self._said.add(like)
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            text,
            occasion,
            hook,
            error,
            exc_info=error if is_new else None,
        )


async def _awaited(result: Awaitable[object]) -> None:
    await result


def _takes_one(hook: Hook) -> bool:
    """Whether a hook wants to be told what happened."""
    try:
        inspect.signature(hook).bind(None)
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        return True
    return True


def _tasks(event: LeaseCommitted, verbs: tuple[Verb, ...]) -> Iterator[TaskEvent]:
    """Yield what became of the tasks of a commit that went as the verbs say, in their order."""
    rows = NONE
    for verb in verbs:
        rows |= event.rows.get(verb, NONE)
    return (_task(event, row, has_failed=Verb.COMPLETE not in verbs) for row in rows)


def _task(event: LeaseCommitted, row: int, *, has_failed: bool) -> TaskEvent:
    job, error = event.job, event.failures.get(row) if has_failed else None
    attempt = next((number for number, rows in event.attempts.items() if row in rows), 1)
    if has_failed and error is None:
        text = "it asked to be put back more often than max_reschedules allows"
        error = Failure(type="Reschedule", message=text, traceback="", attempt=attempt, worker=event.worker)
    return TaskEvent(
        at=event.at,
        task_id=task_id(job.id, row),
        job_id=job.id,
        row=row,
        type=job.type,
        tags=job.tags,
        attempt=attempt if error is None else error.attempt,
        worker=event.worker,
        error=error,
    )
