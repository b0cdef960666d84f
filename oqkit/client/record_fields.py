"""Instances of dataclasses and of models of pydantic as inputs: what is stored of them, and whether equal ones come back."""

from __future__ import annotations

import dataclasses
from typing import Any

from oqkit.arrow import tagged_json
from oqkit.errors import SchemaError
from oqkit.task.handler import Handler
from oqkit.task.record import is_model, is_record, record_of


def stored_input(value: Any, handler: Handler | None) -> Any:
    """Return what is stored of an input: of an instance its fields; anything else as it is.

    Raise `SchemaError` where the function would not get an equal instance back, nor takes the fields by their names.
    """
    if not is_record(type(value)):
        return value
    kind, fields = type(value).__name__, checked_fields(value)
    if handler is None or handler.record is type(value) or handler.takes_fields(fields):
        return fields
    raise SchemaError(
        f"function {handler.name!r} would get a dict in place of a {kind}: annotate its only parameter with the class, "
        f"def {handler.name}(item: {kind}), or name its parameters after the fields: {', '.join(fields)}"
    )


def checked_fields(record: Any) -> dict[str, Any]:
    """Return the fields of an instance; raise `SchemaError` if they do not make an equal one."""
    kind, fields = type(record), fields_of(record)
    try:
        again = record_of(kind, fields)
    except Exception as error:  # the user's class
        raise SchemaError(f"a {kind.__name__} cannot be made of its own fields: {error}") from error
    if not _is_same(record, again):
        raise SchemaError(f"a {kind.__name__} that is made of the fields of this one is not equal to it")
    return fields


def fields_of(record: Any) -> dict[str, Any]:
    """Return the fields of an instance as a dict from which `record_of` makes an equal one; those of fields, too."""
    if is_model(type(record)):
        fields: dict[str, Any] = record.model_dump()
        return fields
    return {it.name: _plain(getattr(record, it.name)) for it in dataclasses.fields(record) if it.init}


def _plain(value: Any) -> Any:
    return fields_of(value) if is_record(type(value)) else value


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of one type; NaN is equal to itself."""
    if type(one) is not type(other):
        return False
    if is_record(type(one)):
        if is_model(type(one)):
            return bool(one == other)
        return all(_is_same(getattr(one, it.name), getattr(other, it.name)) for it in dataclasses.fields(one))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(_is_same, one.values(), other.values()))
    return tagged_json.dumps(one) == tagged_json.dumps(other)
