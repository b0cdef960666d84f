"""Which schema a submission goes by, and whether its inputs fit. Nothing is asked of the store but for ``schema="published"``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from cachetools import TTLCache

from oqkit.errors import SchemaError, UsageError
from oqkit.payload.frame_schema import misfit_of
from oqkit.queue.published_schema import read_schema
from oqkit.queue.repository import Repository
from oqkit.task.function import Options, TaskFunction
from oqkit.task.json_schema import text_of_schema
from oqkit.task.schema import PUBLISHED, SchemaKind, TaskSchema, joined, kind_of, schema_of, value_check

_read: WeakKeyDictionary[Repository, TTLCache[str, TaskSchema]] = WeakKeyDictionary()


def published_schema(repository: Repository, job_type: str) -> TaskSchema:
    """Return the schema that the queue has for a task type, read at most once a minute; raise `UsageError` if there is none."""
    kept = _read.setdefault(
        repository, TTLCache(1_000, repository.limits.client.schema_kept_s, timer=repository.store.clock.monotonic)
    )
    found = kept.get(job_type)
    if found is None:
        stored = read_schema(repository, job_type)
        if stored is None:
            raise UsageError(f"no schema is published for task type {job_type!r}: oq.publish_schema does that")
        found = kept[job_type] = TaskSchema(**stored.parts())
    return found


def forget_published(repository: Repository, job_type: str) -> None:
    """Have the schema of a task type read anew."""
    if (kept := _read.get(repository)) is not None:
        kept.pop(job_type, None)


def schema_in_force(repository: Repository, job_type: str, task: TaskFunction | None, options: Options) -> TaskSchema:
    """Return what the inputs of a submission have to fit, and what the job is to say of results (None: nothing).

    What the submission says goes before what the task says, each part by itself. What the function itself says of its
    results travels with it, so the job holds nothing of that.
    """
    asked = options.schema
    if asked is None and task is not None and task.options.schema == PUBLISHED:
        asked = PUBLISHED
    is_published = isinstance(asked, str) and asked == PUBLISHED
    given = published_schema(repository, job_type) if is_published else schema_of(asked)
    if given.output is not None:
        if kind_of(given.output) is not SchemaKind.JSON:
            raise UsageError(
                f"{kind_of(given.output)} of results travels with the function: put it into @oq.task(schema=…); a submission takes "
                "a JSON Schema, which the job can hold"
            )
        given = replace(given, output=json.loads(text_of_schema(given.output)))
    own = None if task is None else task.schema.input
    return given if given.input is not None else replace(given, input=own)


def check_inputs(part: Any, given: Any, *, is_frame: bool) -> None:
    """Raise `SchemaError` that says which inputs do not fit a schema, in which column or field, and by which rule.

    `given` is the frame, or the values; None if they do not pass through this process.
    """
    if part is None:
        return
    if given is None:
        raise UsageError(
            "these inputs do not pass through this process, so a schema of inputs cannot be checked: give schema={'output': …}, "
            "or leave it out"
        )
    found = _frame_problems(part, given) if is_frame else value_problems(part, given)
    if found:
        raise SchemaError(f"the inputs do not fit their schema: {joined(found)}. Nothing was submitted")


def value_problems(part: Any, values: Sequence[object]) -> list[str]:
    """Say all that is wrong with values; of several each problem begins with the number of its input."""
    check, is_one = value_check(part), len(values) == 1
    return [
        problem if is_one else f"input {number}: {problem}"
        for number, value in enumerate(values)
        for problem in check(value)
    ]


def _frame_problems(part: Any, frame: Any) -> list[str]:
    found = misfit_of(part, frame)
    rows = [f"row {number}: {problem}" for number, problems in sorted(found.rows.items()) for problem in problems]
    return [*found.whole, *rows]
