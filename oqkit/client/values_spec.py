"""From a list of values to a job that can be stored: one task a value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from oqkit.arrow import tagged_json
from oqkit.client.option import Payload, inline_bytes_of
from oqkit.client.part_rows import part_rows_of
from oqkit.client.record_fields import stored_input
from oqkit.client.spec import JobSpec, function_of
from oqkit.errors import SchemaError
from oqkit.limits import Limits
from oqkit.payload.values_input import ValuesInput, text_table
from oqkit.task.function import TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer


def spec_of_values(
    values: Iterable[Any],
    function: Any,
    *,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    payload: Payload | int = "auto",
) -> JobSpec:
    """Describe a job of one task a value; raise `SchemaError` naming the first value that would not come back equal."""
    inline_bytes = inline_bytes_of(payload, limits=limits)
    known = function_of(function, limits=limits.task)
    items = stored_inputs(values, known.task)
    texts = [_text(value, number) for number, value in enumerate(items)]
    if known.task is not None and not known.task.batch:
        _check_binding(known.task, items)
    digest, n_bytes = hashlib.sha256(), 0
    for text in texts:
        data = text.encode()
        digest.update(data + b"\n")
        n_bytes += len(data)
    is_plain = all(map(tagged_json.is_plain, items))
    stored = ValuesInput.of(texts, is_plain=is_plain, is_inline=n_bytes <= inline_bytes)
    return JobSpec(
        function=known,
        n_tasks=len(texts),
        part_rows=part_rows_of(part_rows, len(texts), known, timer, n_bytes=n_bytes, limits=limits),
        content=digest.hexdigest()[:32],
        input=stored,
        table=text_table(texts) if stored.items is None else None,
        given=items,
    )


def stored_inputs(values: Iterable[Any], task: TaskFunction | None) -> list[Any]:
    """Return inputs as they are stored: of instances of dataclasses and models of pydantic their fields."""
    handler = None if task is None or task.batch else Handler(task)
    items = list(values)
    for number, value in enumerate(items):
        with _numbered(number, is_one=len(items) == 1):
            items[number] = stored_input(value, handler)
    return items


@contextmanager
def _numbered(number: int, *, is_one: bool) -> Iterator[None]:
    try:
        yield
    except SchemaError as error:
        raise SchemaError(str(error) if is_one else f"input {number}: {error}") from None


def _check_binding(task: TaskFunction, items: Sequence[Any]) -> None:
    """Raise `SchemaError` that names the first of the values that the function cannot be called with."""
    handler = Handler(task)
    for number, value in enumerate(items):
        with _numbered(number, is_one=len(items) == 1):
            handler.check(value)


def _text(value: Any, number: int) -> str:
    try:
        return tagged_json.dumps(value)
    except SchemaError as error:
        reason = f"{error.kind} has no JSON form" if isinstance(error, tagged_json.NoForm) else str(error)
        raise SchemaError(
            f"input {number} ({tagged_json.show(value)}) cannot be stored: {reason}. Pass {tagged_json.STORABLE}"
        ) from None
