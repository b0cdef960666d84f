"""What a function takes and returns, as the user describes it: by a JSON Schema, a model of pydantic, a schema of pandera or of Arrow.

They are told apart by what they can do, so that none of these libraries is imported for those who do not use it.
What checks whole frames is in `oqkit.payload.frame_schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

from oqkit.errors import SchemaError, UsageError
from oqkit.task.json_schema import compiled, json_problems, problem, text_of_schema

PUBLISHED: Final = "published"
"""In place of a schema: the one that the queue has for the task type."""
MAX_TOLD = 20
"""How many problems an error tells, of those that there are."""

Check = Callable[[object], Sequence[str]]
"""Says all that is wrong with a value; nothing if it fits."""


class SchemaKind(StrEnum):
    """What a schema is made with."""

    JSON = "a JSON Schema"
    PYDANTIC = "a model of pydantic"
    PANDERA = "a schema of pandera"
    ARROW = "a schema of Arrow"

    @property
    def is_of_frames(self) -> bool:
        """Whether it describes columns, and no single value."""
        return self in {SchemaKind.PANDERA, SchemaKind.ARROW}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSchema:
    """What describes the inputs and the results of a task type; None: nothing does."""

    input: Any = None
    output: Any = None


def schema_of(given: Any) -> TaskSchema:
    """Read what ``schema=`` was given, or raise `UsageError`; a schema alone is that of the inputs."""
    if given is None or (isinstance(given, str) and given == PUBLISHED):
        return TaskSchema()
    parts = given if isinstance(given, Mapping) else {"input": given}
    if strange := [name for name in parts if name not in {"input", "output"}]:
        raise UsageError(
            f"schema= has {strange[0]!r:.40}; it is {{'input': <schema>, 'output': <schema>}}, of which one may be left "
            "out: write schema={'input': …} around a JSON Schema"
        )
    for part in parts.values():
        if part is not None and kind_of(part) is SchemaKind.JSON:
            compiled(text_of_schema(part))
    return TaskSchema(**parts)


def check_returns(schema: TaskSchema, *, name: str, is_batch: bool) -> None:
    """Raise `UsageError` if the results of a function can never be what its schema describes."""
    if schema.output is not None and not is_batch and (kind := kind_of(schema.output)).is_of_frames:
        raise UsageError(
            f"{kind} describes frames, and {name!r} returns one value a call: "
            "give 'output' a JSON Schema or a model of pydantic, or use @oq.task(batch=True)"
        )


def kind_of(part: Any) -> SchemaKind:
    """Return what a schema is made with, or raise `UsageError`."""
    if isinstance(part, Mapping):
        return SchemaKind.JSON
    if callable(getattr(part, "model_validate", None)) or callable(getattr(part, "validate_python", None)):
        return SchemaKind.PYDANTIC
    if callable(getattr(part, "empty_table", None)):
        return SchemaKind.ARROW
    if callable(getattr(part, "validate", None)):
        return SchemaKind.PANDERA
    raise UsageError(
        f"schema={part!r:.80} is none: give a JSON Schema (a dict), a model of pydantic, a schema of pandera, or a pyarrow.Schema"
    )


def value_check(part: Any) -> Check:
    """Return what checks single values; raise `UsageError` for a schema of frames."""
    match kind_of(part):
        case SchemaKind.JSON:
            validator = compiled(text_of_schema(part))
            return lambda value: json_problems(validator, value)
        case SchemaKind.PYDANTIC:
            validate = getattr(part, "model_validate", None) or part.validate_python
            return lambda value: _model_problems(validate, value)
        case SchemaKind.PANDERA | SchemaKind.ARROW as kind:
            raise UsageError(f"{kind} describes frames, and these are single values: use a JSON Schema or a model")
        case never:
            assert_never(never)


def _model_problems(validate: Callable[[object], object], value: object) -> list[str]:
    try:
        validate(value)
    except Exception as error:  # noqa: BLE001 - validators of a model are the user's own code
        errors = getattr(error, "errors", None)
        if not callable(errors):
            return [f"its validator raised {type(error).__name__}: {error!s:.200}"]
        return [problem(one["loc"], str(one["msg"]), one["type"]) for one in errors(include_url=False)]
    return []


def checked_call(call: Callable[..., Any], part: Any, *, is_async: bool) -> Callable[..., Any]:
    """Return `call` with a check of what it returns, which raises `SchemaError`."""
    check = value_check(part)

    def fitting(value: object) -> object:
        if found := check(value):
            raise SchemaError(f"what it returned does not fit its schema: {joined(found)}")
        return value

    def checked(*values: object) -> object:
        return fitting(call(*values))

    async def checked_later(*values: object) -> object:
        return fitting(await call(*values))

    return checked_later if is_async else checked


def joined(problems: Sequence[str]) -> str:
    """Tell all problems in one text, or the first ones and how many more there are."""
    more = len(problems) - MAX_TOLD
    return "; ".join([*problems[:MAX_TOLD], *([f"and {more:,} more"] if more > 0 else [])])
