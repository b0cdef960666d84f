"""The verbs of `Queue` that keep schemas of task types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.client.input_schema import forget_published, published_schema, value_problems
from oqkit.client.option import by_of
from oqkit.client.shown_time import shown_times
from oqkit.errors import SchemaError, UsageError
from oqkit.queue.collection import Unreadable
from oqkit.queue.key import check_type
from oqkit.queue.published_schema import PublishedSchema, delete_schema, publish, read_schema, schemas
from oqkit.queue.view import JobStatus
from oqkit.task.json_schema import text_of_schema
from oqkit.task.schema import SchemaKind, joined, kind_of, schema_of

SCHEMA_COLUMNS = ("type", "version", "parts", "published", "by")


class QueueSchemas(Connection):
    """Keeps JSON Schemas of what task types take and return, for submissions that ask with ``schema="published"``."""

    def publish_schema(
        self,
        type: str,  # noqa: A002 - the word of the contract
        schema: Mapping[str, Any],
        *,
        by: str | None = None,
    ) -> int:
        """Store the schema of a task type in place of an earlier one, and return the version that is there then, from 1 on.

        `schema` is ``{"input": <JSON Schema>, "output": <JSON Schema>}`` of draft 2020-12, or one of the two; of a pydantic
        model its ``model_json_schema()``. To publish the same again changes nothing. Jobs that are there keep the schema
        that they were submitted by; other processes go by the new one within a minute. No check is made whether inputs
        that fitted still do. `by` says who publishes (None: the user of this process).
        """
        if not isinstance(schema, Mapping):
            raise UsageError(f"schema={schema!r:.80} must be {{'input': <JSON Schema>, 'output': <JSON Schema>}}")
        given = schema_of(schema)
        parts = {name: part for name, part in (("input", given.input), ("output", given.output)) if part is not None}
        if not parts:
            raise UsageError("schema= says nothing: give 'input', 'output', or both")
        for name, part in parts.items():
            if (kind := kind_of(part)) is not SchemaKind.JSON:
                raise UsageError(f"{name!r} is {kind}, and a queue keeps data alone: give a JSON Schema")
        plain = {name: json.loads(text_of_schema(part)) for name, part in parts.items()}
        stored = publish(self.repository, check_type(type), plain, by=by_of(by))
        forget_published(self.repository, type)
        return stored.version

    def get_schema(self, type: str) -> dict[str, dict[str, Any]] | None:  # noqa: A002 - the word of the contract
        """Return the published schema of a task type, as `publish_schema` takes it; None if there is none."""
        found = read_schema(self.repository, check_type(type))
        return None if found is None else found.parts()

    def schemas(self) -> pd.DataFrame:
        """Return one row a published schema: type, version, parts (a list of ``input`` and ``output``), published (UTC), by.

        Of one that cannot be read `by` is ``unreadable: `` and why, and what is not known of it is NaN.
        """
        rows = [_row(one) for one in schemas(self.repository)]
        frame = pd.DataFrame.from_records(rows, columns=list(SCHEMA_COLUMNS))
        frame["published"] = shown_times(frame["published"])
        return frame

    def delete_schema(self, type: str) -> bool:  # noqa: A002 - the word of the contract
        """Delete the published schema of a task type, if there is one; return False if somebody published another one just now.

        That one stays. Jobs that are there keep the schema that they were submitted by.
        """
        is_gone = delete_schema(self.repository, check_type(type))
        forget_published(self.repository, type)
        return is_gone

    def validate(
        self,
        type: str,  # noqa: A002 - the word of the contract
        value: object,
        part: Literal["input", "output"] = "input",
    ) -> None:
        """Raise `SchemaError` that tells all that is wrong with a value by the published schema of a task type.

        A part of which the schema says nothing takes any value. The schema is read at most once a minute; that none is
        published raises `UsageError`.
        """
        if part not in {"input", "output"}:
            raise UsageError(f"part={part!r:.80} must be 'input' or 'output'")
        schema = getattr(published_schema(self.repository, check_type(type)), part)
        found = [] if schema is None else value_problems(schema, [value])
        if found:
            raise SchemaError(f"the value does not fit the {part} schema of {type!r}: {joined(found)}")


def _row(one: PublishedSchema | Unreadable) -> tuple[Any, ...]:
    if isinstance(one, Unreadable):
        return one.key, float("nan"), [], float("nan"), f"{JobStatus.UNREADABLE}: {one.why}"
    return one.type, one.version, list(one.parts()), one.at, one.by
