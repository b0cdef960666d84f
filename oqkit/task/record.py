"""Classes whose instances stand for inputs of `map`: dataclasses, and models of pydantic, which is not imported for that.

An instance is stored as a dict of its fields. A function of one parameter that is annotated with the class gets an
instance back; one whose parameters are the fields gets these.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any


def is_record(kind: object) -> bool:
    """Whether a class is a dataclass or a model of pydantic."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or is_model(kind))


def is_model(kind: type) -> bool:
    """Whether a class is a model of pydantic."""
    return hasattr(kind, "model_validate") and hasattr(kind, "model_fields")


def annotated_record(function: Callable[..., object], name: str) -> type | None:
    """Return the class that a parameter is annotated with, if it is one whose instances can be inputs."""
    kind = _annotations(function).get(name)
    return kind if is_record(kind) else None


def _annotations(of: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(of)
    except Exception:  # noqa: BLE001 - annotations are the user's, and may be of names that are not there
        return {}


def record_of(kind: type, fields: Any) -> Any:
    """Return an instance with these fields; raise what the class raises for such that do not fit."""
    if not isinstance(fields, Mapping):
        raise TypeError(f"it is no {kind.__name__}, and no dict of its fields")
    if is_model(kind):
        return kind.model_validate(dict(fields))  # type: ignore[attr-defined]
    inner = _annotations(kind)
    nested = {
        name: record_of(inner[name], value)
        for name, value in fields.items()
        if is_record(inner.get(name)) and isinstance(value, dict)
    }
    return kind(**{**fields, **nested})
