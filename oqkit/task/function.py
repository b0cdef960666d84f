"""`@oq.task`: a function that is also a task type. Calling it still just calls it."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ParamSpec, TypeVar, overload

from oqkit.errors import UsageError
from oqkit.plain import plain
from oqkit.queue.key import check_type
from oqkit.queue.policy import Backoff
from oqkit.task.schema import check_returns, schema_of

P = ParamSpec("P")
R = TypeVar("R")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a task type or a submission says about its tasks; None leaves it to the next in line.

    A submission's options win over its task's, and those over `DEFAULTS`.
    """

    retries: int | None = None
    """How many errors of the function a task survives; the death of a worker is none."""
    timeout: float | str | None = None
    """The longest one call may take, in seconds or as text such as ``"5m"``; 0 for no limit."""
    backoff: Backoff | float | None = None
    """How to wait between attempts; a number is the first wait in seconds."""
    priority: int | str | None = None
    """0 to 255, higher first, strictly; or a name: critical 255, urgent 200, high 175, normal 128, low 50, background 10, bulk 0."""
    max_reschedules: int | None = None
    max_losses: int | None = None
    """How often a worker may die while a task runs alone in it, before the task fails."""
    delay: float | str | None = None
    """Not to be started before this time has passed."""
    at: Any = None
    """Not to be started before this moment: a datetime with a time zone, or epoch seconds."""
    ttl: float | str | None = None
    """What has not started after this time expires."""
    expires_at: Any = None
    """What has not started at this moment expires: a datetime with a time zone, or epoch seconds."""
    tags: dict[str, str] | None = None
    depends_on: Any = None
    """Not to be started before these have ended: jobs, tasks, their ids, or names of jobs."""
    keep: float | str | None = None
    """How long the job stays once it has ended, before workers delete it; None: until somebody does."""
    on_failure: str | None = None
    """What to do if one of these does not complete: ``"fail"`` (the default), ``"skip"``, which cancels, or ``"run"``."""
    schema: Any = None
    """What inputs and results are like, ``{"input": …, "output": …}``, a schema of the inputs alone, or ``"published"``.

    A schema is a JSON Schema, a model of pydantic, or of frames one of pandera or a `pyarrow.Schema`; ``"published"`` is
    that which the queue has for the task type."""

    rate_limit: str | None = None
    """How many calls may start in a time, over all workers and all jobs of the task type: ``"100/min"``, ``"10/s"``, ``"5000/h"``;
    ``"100/min openai"`` names a limit that several task types share."""
    max_concurrency: int | None = None
    """How many calls may run at once, over all workers: of the job, or, in ``@oq.task``, of all jobs of the type."""
    max_pending: int | None = None
    """Not to be submitted while so many jobs and single tasks of the type are open."""
    on_full: str | None = None
    """What to do then: ``"raise"`` `QueueFull` (the default), or ``"wait"``."""

    def over(self, other: Options) -> Options:
        """Return these options, with those of `other` where these say nothing."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **given)


def options_of(given: Mapping[str, Any]) -> Options:
    """Make `Options` of keyword arguments, or raise `UsageError` that lists the known ones."""
    known = [f.name for f in fields(Options)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"{unknown[0]}= is no option; the options are {', '.join(known)}")
    return Options(**{name: plain(value) for name, value in given.items()})


DEFAULTS = Options(retries=3, max_losses=3, timeout=0, backoff=Backoff(), priority=128)


def seconds(value: Any, *, what: str) -> float:
    """Read a duration: seconds, or text such as ``"90s"``, ``"5m"``, ``"1.5h"``, ``"2d"``, or a `timedelta`, also one of pandas' or numpy's."""
    value = plain(value)
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise UsageError(f"{what}={value!r} is not a duration: give seconds, or text such as '90s', '5m' or '2h'")
        return float(found[1]) * _UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise UsageError(f"{what}={value!r} is not a duration: give seconds, 0 or more")
    return float(value)


class TaskFunction:
    """A function under the name by which queues and workers know it."""

    def __init__(
        self, function: Callable[..., object], *, name: str | None = None, batch: bool = False, options: Options
    ) -> None:
        if not callable(function):
            raise UsageError(f"a {type(function).__name__} is not a function, nor the name of a task type")
        if batch and is_async(function):
            raise UsageError(
                f"batch function {getattr(function, '__name__', function)!r} is a coroutine function; "
                "use a plain def, or leave out batch=True to run many rows concurrently"
            )
        self.function = function
        self.name = check_type(name or _default_name(function))
        self.batch = batch
        self.options = options
        self.schema = schema_of(options.schema)
        check_returns(self.schema, name=self.name, is_batch=batch)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<oqkit task {self.name!r}{' of batches' if self.batch else ''}>"


@overload
def task(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    batch: bool = False,
    retries: int | None = None,
    timeout: float | str | None = None,
    backoff: Backoff | float | None = None,
    priority: int | str | None = None,
    max_reschedules: int | None = None,
    max_losses: int | None = None,
    schema: Any = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def task(function: Any = None, /, *, name: str | None = None, batch: bool = False, **options: object) -> Any:
    """Make a function a task type: ``@oq.task`` or ``@oq.task(name=, batch=, retries=, timeout=, …)``.

    The name defaults to the function's. With ``batch=True`` the function takes slices of the frame
    at once and returns a frame, series or array of the same length. Options are the defaults of its
    submissions (see `Options`).
    """
    chosen = options_of(options)
    if function is not None:
        return TaskFunction(function, name=name, batch=batch, options=chosen)
    return lambda wrapped: TaskFunction(wrapped, name=name, batch=batch, options=chosen)


def as_task(function: Any) -> TaskFunction:
    """Return a plain function as a task with default options; a `TaskFunction` as it is."""
    return function if isinstance(function, TaskFunction) else TaskFunction(function, options=Options())


def is_async(function: object) -> bool:
    """Whether calling the function, or an object as one, gives a coroutine."""
    if inspect.iscoroutinefunction(function):
        return True
    return not isinstance(function, type) and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _default_name(function: object) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "lambda_" if name == "<lambda>" else str(name)
