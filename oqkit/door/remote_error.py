"""The exception that a function raised in a worker, raised again here: of its own type, where this process has that type."""

from __future__ import annotations

import ast
import builtins
import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from oqkit import errors
from oqkit.errors import JobFailed
from oqkit.task.failure import text_of


class RemoteTraceback(Exception):
    """What was printed where the function ran; the cause of the exception that is raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def remote_error(failed: JobFailed) -> Exception:
    """Return the exception behind a failed task, with its text and the traceback of then, or `failed` itself.

    Its type is one of those that this process has loaded: nothing is imported for it, and its `__init__` is not run, so that of its
    attributes it has `args`, which is its text. If it shows another text so, it is not used.
    """
    rows = list(failed.failures.itertuples()) if hasattr(failed.failures, "itertuples") else []
    for row in rows[:1]:
        kind = _exception_named(row.type)
        made = None if kind is None else _made(kind, row.message)
        if made is not None:
            made.__cause__ = RemoteTraceback(row.traceback)
            made.add_note(f"in task {row.task_id}, attempt {row.attempt}, by worker {row.worker}")
            return made
    return failed


def _made(kind: type[Exception], message: str) -> Exception | None:
    for argument in _arguments(kind, message):
        with contextlib.suppress(Exception):  # the class may want something else
            made = kind.__new__(kind, argument)
            made.args = (argument,)
            if text_of(made) == message:
                return made
    return None


def _arguments(kind: type[Exception], message: str) -> Iterator[Any]:
    if issubclass(kind, KeyError):  # whose text is the `repr` of the key
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            yield ast.literal_eval(message)
    yield message


def _exception_named(name: str) -> type[Exception] | None:
    """Return the class that `oqkit.task.failure.type_name` gave this name, if it is loaded here."""
    parts = name.split(".")
    for module, path in [*_in_modules(parts), *((one, parts) for one in (builtins, errors, sys.modules["__main__"]))]:
        found = _inside(module, path)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return None


def _in_modules(parts: list[str]) -> Iterator[tuple[types.ModuleType, list[str]]]:
    for n in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:n]))
        if isinstance(module, types.ModuleType):
            yield module, parts[n:]


def _inside(found: Any, path: list[str]) -> object:
    for part in path:
        found = vars(found).get(part) if hasattr(found, "__dict__") else None  # asks no `__getattr__`, which may import
    return found
