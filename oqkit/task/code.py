"""How a function travels: by its import name, or by value for one that was typed into a notebook.

A function by value is a cloudpickle of it, stored under its own hash. Whoever can write the bucket
could put anything there, so only workers that were told to trust shipped code ever load one
(guarantee G7); everything else in a queue is JSON and Parquet.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import os
import pickle
import sys
import types
import warnings
from collections import ChainMap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from oqkit.errors import FormatError, UnknownTask, UsageError
from oqkit.limits import TaskLimits
from oqkit.queue.job import Code
from oqkit.queue.key import code_key
from oqkit.queue.repository import Repository
from oqkit.task.fingerprint import fingerprint, same_function
from oqkit.task.function import TaskFunction, as_task
from oqkit.task.installed import is_installed
from oqkit.task.source import file_of, keep_sources, sources_of

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MAGIC = importlib.util.MAGIC_NUMBER.hex()


def code_of(task: TaskFunction, *, limits: TaskLimits) -> tuple[Code, bytes | None]:
    """Return how to ship a function, and what tells it from others: its reference, or its digest and the bytes to store."""
    known = described(task)
    if known.reference:
        return known, None
    data = dump(task, limits=limits)
    return replace(known, digest=hashlib.sha256(data).hexdigest()), data


def described(task: TaskFunction) -> Code:
    """Return what tells a function from others as it is now, without the digest of its bytes."""
    return Code(reference=_reference(task), fingerprint=fingerprint(task) or "", python=PYTHON, magic=MAGIC)


def is_same(found: Code, submitted: Code) -> bool | None:
    """Whether two descriptions are of one function; None if nobody can tell, as across versions of Python."""
    if found.digest and found.digest == submitted.digest:
        return True
    return same_function(submitted.fingerprint, found.fingerprint)


def put_code(repository: Repository, code: Code, data: bytes) -> None:
    """Store a function by value, in one request; what is there already is the same, or damaged and now mended."""
    repository.loop.put_same(code_key(code.digest), data)


def load_code(repository: Repository, code: Code) -> TaskFunction:
    """Return the function a job names. Only for workers that trust the queue: this runs what is stored there.

    Raise `Missing` and the other errors of the store, `FormatError` if the stored bytes are not those that the job
    names, and `UnknownTask` if they cannot be loaded here.
    """
    if code.reference:
        return import_task(code.reference)
    data = repository.store.read(code_key(code.digest)).data
    if hashlib.sha256(data).hexdigest() != code.digest:
        raise FormatError(f"the function stored under {code_key(code.digest)!r} is damaged: its hash is another one")
    try:
        return loads(data)
    except (Exception, SystemExit) as error:  # unpickling imports the user's modules and runs their code
        raise UnknownTask(
            f"the function cannot be loaded here ({type(error).__name__}: {error}); "
            "this worker needs the packages that the function uses"
        ) from error


def loads(data: bytes) -> TaskFunction:
    """Return the function that `dump` pickled, and let its source lines be known here; this runs what is in there."""
    stream = io.BytesIO(data)
    task = as_task(pickle.load(stream))  # noqa: S301 - trusted by whoever asks
    keep_sources(stream.read())
    return task


def import_task(reference: str) -> TaskFunction:
    """Return the task that ``module:name`` names, or raise `UnknownTask`."""
    module_name, _, name = reference.partition(":")
    importlib.invalidate_caches()  # the file may be newer than this process
    try:
        found: Any = importlib.import_module(module_name)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (Exception, SystemExit) as error:  # the user's module runs here
        raise UnknownTask(f"{reference!r} cannot be imported here: {_said(error)}") from error
    return as_task(found)


def tasks_of(reference: str) -> list[TaskFunction]:
    """Return what ``module:name`` names, or every `TaskFunction` of a ``module`` alone."""
    if ":" in reference:
        return [import_task(reference)]
    try:
        module = importlib.import_module(reference)
    except (Exception, SystemExit) as error:  # the user's module runs here
        raise UnknownTask(f"{reference!r} cannot be imported here: {_said(error)}") from error
    tasks = [value for value in vars(module).values() if isinstance(value, TaskFunction)]
    if not tasks:
        raise UnknownTask(f"module {reference!r} has no function with @oq.task; name one: {reference}:function")
    return tasks


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"


def _reference(task: TaskFunction) -> str:
    """Return ``module:name`` if importing that anywhere gives this very function, else an empty string."""
    module_name = getattr(task.function, "__module__", None) or ""
    name = getattr(task.function, "__qualname__", "")
    found = _imported(module_name, name)
    # Imported there, a plain function would be called row by row.
    is_same = found is task or (found is task.function and not task.batch)
    return f"{module_name}:{name}" if is_same else ""


def _imported(module_name: str, name: str) -> Any:
    """Return what has this name in a module that any process can import, or None."""
    module = sys.modules.get(module_name)
    if module_name == "__main__" or not isinstance(module, types.ModuleType) or not hasattr(module, "__file__"):
        return None
    found: Any = module
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    return found


@contextmanager
def _by_value(names: Iterable[str]) -> Iterator[None]:
    """Let cloudpickle treat modules as if nobody could import them."""
    found = [sys.modules[name] for name in names if name in sys.modules]
    if not found:
        yield
        return
    import cloudpickle  # see below

    for module in found:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in found:
            cloudpickle.unregister_pickle_by_value(module)


@functools.cache
def _pickler() -> Any:
    """Return cloudpickle's pickler, with what it does otherwise lose: caches of functions, and whose method a method is.

    And without what it would otherwise give away: the variables of this process.
    """
    import cloudpickle  # 0.1 s at import, needed only for functions by value

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap(
            {
                type(functools.cache(len)): _reduced_cache,
                types.MethodType: _reduced_method,
                type(os.environ): _reduced_environment,
            },
            cloudpickle.Pickler.dispatch_table,
        )

        def __init__(self, sink: io.BytesIO) -> None:
            super().__init__(sink)
            self.codes: list[types.CodeType] = []
            """All code that was pickled, that of the function itself first."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, types.FunctionType) and (declared := _declared_in_library(obj)):
                return function_of, (declared,)
            if not isinstance(obj, types.CodeType):
                return super().reducer_override(obj)
            self.codes.append(obj)
            make, parts = cloudpickle.Pickler.dispatch_table[types.CodeType](obj)
            names = {obj.co_filename, "<dynamic-code>"}  # which is what cloudpickle says of any file
            # A text of its own for each, as cloudpickle has it, so that the bytes do not depend on which are one object.
            return make, tuple(
                "".join(iter(file_of(obj))) if isinstance(it, str) and it in names else it for it in parts
            )

    return Pickler


def _reduced_cache(wrapper: Any) -> object:
    """Ship a function with `functools.lru_cache`: by name if it can be imported, else by value, with an empty cache."""
    if _imported(wrapper.__module__, wrapper.__qualname__) is wrapper:
        return wrapper.__qualname__
    return cached, (wrapper.__wrapped__, wrapper.cache_parameters())


def cached(function: object, parameters: dict[str, Any]) -> Any:
    """Give a function a cache of its own."""
    return functools.lru_cache(**parameters)(function)


def _declared_in_library(function: types.FunctionType) -> str:
    """Return ``module:name`` of a library's function with ``@oq.task``, which cloudpickle does not find by its name; else an empty text."""
    module, name = function.__module__, function.__qualname__
    found = _imported(module, name)
    is_declared = isinstance(found, TaskFunction) and found.function is function
    return f"{module}:{name}" if is_declared and is_installed(module) else ""


def function_of(reference: str) -> Any:
    """Return the function of a task that can be imported."""
    return import_task(reference).function


def _reduced_method(method: types.MethodType) -> object:
    """Ship a method as that of its object, or, if it is none of its methods, as a function with an object."""
    owner, name = method.__self__, method.__func__.__name__
    if getattr(owner, name, None) == method:
        return getattr, (owner, name)
    return types.MethodType, (method.__func__, owner)


def _reduced_environment(environment: object) -> object:
    """Ship the environment by name: that of this process holds secrets, and is none of the worker's."""
    for name in ("environ", "environb"):
        if getattr(os, name, None) is environment:
            return getattr, (os, name)
    raise TypeError("an environment other than os.environ stays in its process")


def dump(task: TaskFunction, *, limits: TaskLimits, modules: Iterable[str] = ()) -> bytes:
    """Pickle a function, with what it takes from these modules as that is in this process, and add its source lines.

    Raise `UsageError` if that cannot be done.
    """
    sink = io.BytesIO()
    pickler = _pickler()(sink)
    try:
        with _by_value(modules):
            pickler.dump(task)
        data = sink.getvalue()
    except Exception as error:  # pickling runs the user's __reduce__
        raise UsageError(
            f"function {task.name!r} cannot be shipped to workers: {_culprit(task)}{type(error).__name__}: {error}. "
            "Create connections, locks and files inside the function, or put the function into a module that workers "
            "can import"
        ) from error
    if len(data) > limits.code_bytes:
        raise UsageError(
            f"function {task.name!r} is {len(data) / 2**20:.0f} MiB with the data it refers to (at most "
            f"{limits.code_bytes // 2**20}): {_largest(task)}. Pass data as columns, or load it inside the function"
        )
    if len(data) > limits.code_warn_bytes:
        warnings.warn(
            f"function {task.name!r} is {len(data) / 2**20:.1f} MiB with the data it refers to: {_largest(task)}. "
            "Every worker loads all of it; pass data as columns, or load it inside the function",
            stacklevel=_outside(),
        )
    return data + sources_of(pickler.codes, most_bytes=limits.source_bytes)


def pickled(value: object) -> bytes:
    """Pickle a function or any value, as `dump` does; raise whatever pickling it raises."""
    sink = io.BytesIO()
    _pickler()(sink).dump(value)
    return sink.getvalue()


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


def _referred(task: TaskFunction) -> Iterator[tuple[str, object]]:
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


def _defaults(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    parameters = inspect.signature(function).parameters.values()
    return ((one.name, one.default) for one in parameters if one.default is not inspect.Parameter.empty)


def _size(value: object) -> int | None:
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
