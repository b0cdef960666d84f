"""What a running function may ask of its worker: a closed set, answered in one place (`oqkit.worker.service`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from oqkit.errors import UsageError
from oqkit.queue.job import Code
from oqkit.queue.signal import Wait
from oqkit.task.function import Options, TaskFunction

MAX_EXTENSION_S = 7 * 86_400.0
"""Longer than that, nobody would take over the tasks of a worker that died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendLease:
    """Let the call go on for so many seconds from now at least."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds <= MAX_EXTENSION_S:
            raise UsageError(f"extend_lease({self.seconds:g}) is more than a week; call it again when that is over")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Submit a call, once for each `scope` and `key`, and answer with the id of its task."""

    type: str
    function: TaskFunction | None
    """None for any that has the name of the type, and once `code` and `data` say which it is."""
    code: Code = Code()  # noqa: RUF009 - frozen
    data: bytes | None = None
    """The function by value; None if it travels by name."""
    input: Any
    scope: str
    key: str
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSignal:
    """Look for the signal of a name with this number, counted from 0; the answer is a `Signal`."""

    name: str
    number: int
    timeout_s: float | None
    """How long the task waits for it from the first look on; None: for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal, or that it has not come yet."""

    has_come: bool
    value: Any = None
    wait: Wait | None = None
    """What the task waits for; None if it has come, or the task has waited long enough."""
    gen: int = 0
    """The generation of the job that was looked at."""


@dataclass(frozen=True, slots=True)
class StartCall:
    """Wait a moment for a call to be let start, as the limits of its job have it.

    The answer is 0 if it may, otherwise how many seconds it still has to wait, or None if it may not under this lease.
    """

    insists: bool
    """Whether it waits for as long as it takes: if nothing ever starts under a lease, nothing ever gets done."""


Request = ExtendLease | Spawn | TakeSignal | StartCall
"""A class for each; it pickles, as does the answer. The function waits for that, or for the error that it raises."""


class Service(Protocol):
    """What a worker does for one call, wherever that runs."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the outcome of the call is not wanted any more, or the worker is stopping."""

    def check(self) -> None:
        """Raise `LeaseLost` if the outcome of the call will not be used."""

    def tell(self, current: float, total: float | None, message: str) -> None:
        """Note how far the call is, and return at once."""

    def ask(self, request: Request) -> Any:
        """Return the answer, to a coroutine function as a future, or raise `LeaseLost`."""
