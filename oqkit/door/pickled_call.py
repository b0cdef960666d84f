"""A call of any function with any arguments, as what a task runs. It travels by value, so workers that trust no code run none."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from oqkit.config import Settings, settings
from oqkit.door.pickled_result import dump_result, result_keys
from oqkit.errors import UsageError
from oqkit.task.code import pickled
from oqkit.task.function import Options, TaskFunction, as_task, is_async

PREFIX: Final = "call."
"""What the task types of such calls begin with: the rest is the name of the function."""
_MOST_LETTERS: Final = 59


class PickledCall:
    """Takes pickled arguments, and returns the result of `function` as `dump_result` does."""

    def __init__(self, function: Callable[..., Any], *, seals: bool) -> None:
        self.function = function
        self.seals = seals

    def __call__(self, arguments: bytes) -> str | bytes:
        args, kwargs = pickle.loads(arguments)  # noqa: S301 - by a job whose code this worker trusts, which is signed with its input
        keys = result_keys(settings(Settings())) if self.seals else None
        return dump_result(self.function(*args, **kwargs), keys=keys)


class Chunk:
    """Calls a function several times: with each of the tuples of arguments that it is given."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *calls: tuple[Any, ...]) -> list[Any]:
        return [self.function(*call) for call in calls]


def task_of(function: Callable[..., Any], *, is_chunk: bool, seals: bool) -> TaskFunction:
    """Return the task that calls a function; an exception is an answer, so it is tried again only where its options say so."""
    known = _named(function)
    if is_async(known.function):
        raise UsageError(f"{known.name!r} is a coroutine function, which runs many at a time with oq.submit and oq.map")
    called = Chunk(known.function) if is_chunk else known.function
    options = replace(known.options.over(Options(retries=0)), schema=None)  # which is not about pickles
    name = known.name if known.name.startswith(PREFIX) else f"{PREFIX}{known.name[:_MOST_LETTERS]}"
    return TaskFunction(PickledCall(called, seals=seals), name=name, options=options)


def _named(function: Any) -> TaskFunction:
    """Return a function as a task; of what is no plain function, such as a partial one, under the name of what it calls."""
    if isinstance(function, TaskFunction) or not callable(function):
        return as_task(function)
    inner = getattr(function, "func", function)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", getattr(inner, "__name__", type(inner).__name__))
    return TaskFunction(function, name=name[:_MOST_LETTERS], options=Options())


def dump_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], *, what: str) -> bytes:
    """Pickle the arguments of a call, or raise `UsageError`."""
    try:
        return pickled((args, kwargs))
    except Exception as error:  # pickling runs the user's __reduce__
        raise UsageError(
            f"the arguments of {what} cannot be shipped to workers: {type(error).__name__}: {error}. "
            "Create connections, locks and files inside the function"
        ) from error
