"""How a function travels: by its import name, or by value for one that was typed into a notebook.

A function by value is a cloudpickle of it, stored under its own hash. Whoever can write the bucket
could put anything there, so only workers that were told to trust shipped code ever load one
(guarantee G7); everything else in a queue is JSON and Parquet.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

from oqkit.errors import FormatError, UnknownTask, UsageError
from oqkit.queue.job import Code
from oqkit.queue.key import code_key
from oqkit.queue.repository import Repository
from oqkit.task.function import TaskFunction, as_task

WARN_BYTES = 2**20
MAX_BYTES = 16 * 2**20


def code_of(task: TaskFunction) -> tuple[Code, bytes | None]:
    """Return how to ship a function: its reference, or its digest together with the bytes to store."""
    reference = _reference(task)
    if reference:
        return Code(reference=reference), None
    data = _dump(task)
    return Code(digest=hashlib.sha256(data).hexdigest()), data


def put_code(repository: Repository, code: Code, data: bytes) -> None:
    """Store a function by value, in one request at most; the same bytes are stored once a queue."""
    repository.loop.put_once(code_key(code.digest), data)


def load_code(repository: Repository, code: Code) -> TaskFunction:
    """Return the function a job names. Only for workers that trust the queue: this runs what is stored there."""
    if code.reference:
        return import_task(code.reference)
    import cloudpickle  # only workers that trust code ever need it

    data = repository.store.read(code_key(code.digest)).data
    if hashlib.sha256(data).hexdigest() != code.digest:
        raise FormatError(f"the function stored under {code_key(code.digest)!r} is damaged: its hash is another one")
    try:
        return as_task(cloudpickle.loads(data))
    except Exception as error:  # unpickling imports the user's modules and runs their code
        raise UnknownTask(
            f"the function cannot be loaded here ({type(error).__name__}: {error}); "
            "this worker needs the packages that the function uses, and the same Python version"
        ) from error


def import_task(reference: str) -> TaskFunction:
    """Return the task that ``module:name`` names, or raise `UnknownTask`."""
    module_name, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownTask(f"{reference!r} cannot be imported here: {error}") from error
    return as_task(found)


def tasks_of(reference: str) -> list[TaskFunction]:
    """Return what ``module:name`` names, or every `TaskFunction` of a ``module`` alone."""
    if ":" in reference:
        return [import_task(reference)]
    try:
        module = importlib.import_module(reference)
    except ImportError as error:
        raise UnknownTask(f"{reference!r} cannot be imported here: {error}") from error
    tasks = [value for value in vars(module).values() if isinstance(value, TaskFunction)]
    if not tasks:
        raise UnknownTask(f"module {reference!r} has no function with @oq.task; name one: {reference}:function")
    return tasks


def _reference(task: TaskFunction) -> str:
    """Return ``module:name`` if importing that anywhere gives this very function, else an empty string."""
    module_name = getattr(task.function, "__module__", None) or ""
    name = getattr(task.function, "__qualname__", "")
    module = sys.modules.get(module_name)
    if module_name == "__main__" or not isinstance(module, types.ModuleType) or not hasattr(module, "__file__"):
        return ""
    found: Any = module
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    # Imported there, a plain function would be called row by row.
    is_same = found is task or (found is task.function and not task.batch)
    return f"{module_name}:{name}" if is_same else ""


def _dump(task: TaskFunction) -> bytes:
    import cloudpickle  # 0.1 s at import, needed only for functions by value

    try:
        data = bytes(cloudpickle.dumps(task))
    except Exception as error:  # pickling runs the user's __reduce__
        raise UsageError(
            f"function {task.name!r} cannot be shipped to workers: {_culprit(task)}{type(error).__name__}: {error}. "
            "Create connections, locks and files inside the function, or put the function into a module that workers "
            "can import"
        ) from error
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"function {task.name!r} is {len(data) / 2**20:.0f} MiB with the data it refers to (at most "
            f"{MAX_BYTES // 2**20}): {_largest(task)}. Pass data as columns, or load it inside the function"
        )
    if len(data) > WARN_BYTES:
        warnings.warn(
            f"function {task.name!r} is {len(data) / 2**20:.1f} MiB with the data it refers to: {_largest(task)}. "
            "Every worker loads all of it; pass data as columns, or load it inside the function",
            stacklevel=_outside(),
        )
    return data


def _culprit(task: TaskFunction) -> str:
    """Name what cannot be pickled, if it is something that the function refers to."""
    bad = [what for what, value in _referred(task) if _size(value) is None]
    return f"{bad[0]} cannot be pickled: " if bad else ""


def _largest(task: TaskFunction) -> str:
    sizes = {what: _size(value) or 0 for what, value in _referred(task)}
    if not sizes:
        return "look at what it refers to"
    what = max(sizes, key=lambda one: sizes[one])
    return f"most of it is {what}, {sizes[what] / 2**20:.1f} MiB"


def _referred(task: TaskFunction) -> Iterator[tuple[str, Any]]:
    """Yield what a function refers to: (a name for it, the value)."""
    function = inspect.unwrap(task.function)
    if isinstance(function, types.FunctionType):
        found = inspect.getclosurevars(function)
        yield from ((f"the global {name!r}", value) for name, value in found.globals.items())
        yield from ((f"the variable {name!r}", value) for name, value in found.nonlocals.items())
        yield from ((f"the default of {name!r}", value) for name, value in _defaults(function))
    else:
        owner = getattr(function, "__self__", function)
        yield from ((f"the attribute {name!r}", value) for name, value in getattr(owner, "__dict__", {}).items())


def _defaults(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return ((one.name, one.default) for one in parameters if one.default is not inspect.Parameter.empty)


def _size(value: Any) -> int | None:
    """Return the bytes of a pickled value, or None if it cannot be pickled."""
    import cloudpickle  # see above

    try:
        return len(cloudpickle.dumps(value))
    except Exception:  # noqa: BLE001 - pickling runs the user's __reduce__
        return None


def _outside() -> int:
    """Return the `stacklevel` at which a warning points to the caller of oqkit."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("oqkit."):
        frame, level = frame.f_back, level + 1
    return level
