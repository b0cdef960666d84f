"""A task function seen from the worker: how to call it with a row, a value or a slice of a frame."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from oqkit.errors import SchemaError
from oqkit.task.context import Context
from oqkit.task.function import TaskFunction, is_async
from oqkit.task.record import annotated_record, record_of

_SCALARS = (int, float, complex, bool, str, bytes)
_MAX_BOUND = 1_000
KEY = "key"
"""The parameter that a function of groups is given the key by."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One way to call a function: `names` are the columns to take, `call` takes their values (and a context)."""

    names: tuple[str, ...]
    call: Callable[..., Any]


class Handler:
    """A task with its signature read once."""

    def __init__(self, task: TaskFunction) -> None:
        self.task = task
        self.name = task.name
        self.is_batch = task.batch
        self.is_async = is_async(task.function)
        parameters = _parameters(task.function)
        self.context_name = next((p.name for p in parameters if _is_context(p)), None)
        self.parameters = [p for p in parameters if p.name != self.context_name]
        self._named = [p for p in self.parameters if p.kind not in _VARIADIC]
        self._bound: dict[tuple[Any, ...], bool] = {}
        """Whether dicts of these keys are passed by keyword."""
        self._takes_one: bool | None = None
        self.record = self._annotated()
        """The class of which the only parameter wants an instance; None if there is none."""
        self._is_named = not parameters or any(p.kind is not inspect.Parameter.VAR_POSITIONAL for p in parameters)

    def _annotated(self) -> type | None:
        is_one = len(self.parameters) == len(self._named) == 1 and not self.is_batch
        has_annotation = is_one and self._named[0].annotation is not inspect.Parameter.empty
        return annotated_record(self.task.function, self._named[0].name) if has_annotation else None

    @property
    def takes_context(self) -> bool:
        """Whether a call passes a `Context` as its last argument."""
        return self.context_name is not None

    @property
    def takes_all(self) -> bool:
        """Whether a row function takes every column, by ``**``."""
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.parameters)

    def for_rows(self, columns: Iterable[str]) -> Call:
        """Choose the columns that a row function takes by parameter name, or raise `SchemaError`."""
        present = list(columns)
        if not self._is_named:
            raise SchemaError(
                f"function {self.name!r} does not name its parameters, so no column can be matched with them; "
                f"wrap it: lambda {', '.join(present[:2]) or 'x'}: {self.name}({', '.join(present[:2]) or 'x'})"
            )
        self._check_columns(present)
        taken = [p for p in self._named if p.name in present]
        names = tuple(p.name for p in taken)
        if self.takes_all:
            return self._by_keyword((*names, *(name for name in present if name not in names)))
        return Call(names=names, call=self.task.function) if self._fits(taken) else self._by_keyword(names)

    def _check_columns(self, present: Sequence[str]) -> None:
        missing = [p.name for p in self._named if p.name not in present and p.default is inspect.Parameter.empty]
        if missing:
            told = f"a parameter {missing[0]!r}" if len(missing) == 1 else f"parameters {', '.join(map(repr, missing))}"
            raise SchemaError(
                f"function {self.name!r} has {told}, but there is no such column; "
                f"the columns are {', '.join(map(repr, present)) or 'none'}. Rename the parameter or the column, "
                "give it a default, or use @oq.task(batch=True) for a function that takes a whole frame"
            )

    def _fits(self, taken: Sequence[inspect.Parameter]) -> bool:
        """Whether the values of these parameters, and nothing else, can be passed by position: a call costs least so."""
        is_head = taken == self._named[: len(taken)]
        return is_head and not self.takes_context and all(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in taken)

    def _by_keyword(self, names: tuple[str, ...]) -> Call:
        function, context_name = self.task.function, self.context_name

        def call(*values: object) -> object:
            arguments = dict(zip(names, values, strict=False))
            if context_name is not None:
                arguments[context_name] = values[-1]
            return function(**arguments)

        return Call(names=names, call=call)

    def for_value(self) -> Call:
        """Call with one value, as `bind` says."""
        function, context_name, bind, record = self.task.function, self.context_name, self.bind, self.record

        def call(value: Any, *context: object) -> object:
            extra = {context_name: context[0]} if context_name is not None else {}
            if bind(value):
                return function(**value, **extra)
            return function(value if record is None or type(value) is not dict else record_of(record, value), **extra)

        return Call(names=(), call=call)

    def bind(self, value: object) -> bool:
        """Whether a value is passed by keyword, as a dict whose keys are the parameters; if not, as the only argument.

        Raise `SchemaError` if it can be neither, or looks as if a key was misspelt.
        """
        if type(value) is not dict:
            self._check_only(value)
            return False
        keys = tuple(value)
        if self.record is not None and keys != (self._named[0].name,):
            return False
        if keys not in self._bound:
            if len(self._bound) >= _MAX_BOUND:  # a function of any keys may meet any number of them
                self._bound.clear()
            self._bound[keys] = self._binds(value)
        return self._bound[keys]

    def takes_fields(self, fields: Mapping[str, Any]) -> bool:
        """Whether it is called with each of some fields as the parameter of that name."""
        try:
            return self.bind(dict(fields))
        except SchemaError:
            return False

    def check(self, value: object) -> None:
        """Raise `SchemaError` if it cannot be called with a value, also since no instance of its class can be made of that."""
        if self.bind(value) or self.record is None:
            return
        try:
            record_of(self.record, value)
        except Exception as error:  # the user's class
            raise SchemaError(
                f"function {self.name!r} wants a {self.record.__name__}, and {value!r:.80} makes none: {error}"
            ) from error

    def _binds(self, value: dict[Any, Any]) -> bool:
        signature = inspect.Signature(self.parameters)
        try:
            signature.bind(**value)
        except TypeError as error:  # a missing or unknown parameter, or a key that is no text
            why = str(error)
        else:
            return True
        names = [p.name for p in self._named]
        alike = {key: get_close_matches(str(key), names, n=1) for key in value if key not in names}
        if any(key in names for key in value) or any(alike.values()):
            hints = "".join(f"; {key!r} looks like {found[0]!r}" for key, found in alike.items() if found)
            raise SchemaError(f"{self._told(value)}: {why}{hints}. {self._shape()}")
        self._check_only(value)
        return False

    def _check_only(self, value: object) -> None:
        """Raise `SchemaError` unless the function can be called with `value` as its only argument."""
        if self._takes_one is None:
            try:
                inspect.Signature(self.parameters).bind(value)
            except TypeError as error:
                raise SchemaError(f"{self._told(value)}: {error}. {self._shape()}") from None
            self._takes_one = True
        first = self.parameters[0]
        if isinstance(value, dict) and _is_scalar(first.annotation):
            raise SchemaError(f"{self._told(value)}: its parameter {first.name!r} is no dict. {self._shape()}")

    def _told(self, value: object) -> str:
        return f"function {self.name!r} cannot take {value!r:.80}"

    def _shape(self) -> str:
        names = [repr(p.name) for p in self._named]
        only = f"; to pass a dict as the only argument, write {{{names[0]}: {{...}}}}" if len(names) == 1 else ""
        return f"Pass a dict whose keys are its parameters ({', '.join(names) or 'it has none'}){only}"

    def for_frame(self) -> Call:
        """Call with a slice of the frame."""
        function, context_name = self.task.function, self.context_name

        def call(frame: object, *context: object) -> object:
            return function(frame, **({context_name: context[0]} if context_name is not None else {}))

        return Call(names=(), call=call)

    def for_mode(self, mode: str) -> Handler:
        """Return the handler that calls the function for jobs of a mode: of those of groups each is a call, not a batch."""
        return self._of_groups if mode == "group" and self.is_batch else self

    @functools.cached_property
    def _of_groups(self) -> Handler:
        return Handler(TaskFunction(self.task.function, name=self.name, options=self.task.options))

    def for_group(self) -> Call:
        """Call with the frame of a group, and with its key if the function has another parameter that is called so.

        `names` is ``("key",)`` then. Raise `SchemaError` if it cannot be called so.
        """
        function, context_name = self.task.function, self.context_name
        has_key = any(p.name == KEY and p.kind is not inspect.Parameter.POSITIONAL_ONLY for p in self.parameters[1:])
        try:
            inspect.Signature(self.parameters).bind(None, **({KEY: None} if has_key else {}))
        except TypeError as error:
            raise SchemaError(
                f"function {self.name!r} cannot be called with a group: {error}. With by= its first parameter takes the frame "
                f"of the group, another one that is called {KEY!r} takes the key, and all others need defaults"
            ) from None
        if not has_key and context_name is None:
            return Call(names=(), call=function)

        def call(frame: object, *more: object) -> object:
            named: dict[str, object] = {KEY: more[0]} if has_key else {}
            if context_name is not None:
                named[context_name] = more[-1]
            return function(frame, **named)

        return Call(names=(KEY,) if has_key else (), call=call)


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    bound = function.keywords if isinstance(function, functools.partial) else {}
    try:
        return [p for p in inspect.signature(function).parameters.values() if p.name not in bound]
    except (TypeError, ValueError):  # some builtins have no signature: call them with what there is
        return [inspect.Parameter("values", inspect.Parameter.VAR_POSITIONAL)]


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    return annotation is Context or (isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context")


def _is_scalar(annotation: object) -> bool:
    return annotation in _SCALARS or annotation in {kind.__name__ for kind in _SCALARS}
