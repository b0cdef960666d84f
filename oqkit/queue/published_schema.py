"""Schemas that the queue keeps by task type: JSON Schema alone, which is data and selects no code.

A job that is submitted by one holds what it says of results, so workers ask for none, and what is published later
changes no job that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import Meta

from oqkit.clock import new_id
from oqkit.errors import Missing
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_ORDERS, Count, Id, Moment, Name, Type
from oqkit.queue.collection import Collection, Unreadable
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSchema(Document):
    """The schema of a task type; `at` is when this version was published, in epoch seconds by the store's clock."""

    type: Type
    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    version: Count = 0
    """1 for the first that was published, and one more for each other one."""
    at: Moment = 0.0
    by: Name = ""
    orders: Annotated[tuple[Id, ...], Meta(max_length=MAX_ORDERS)] = ()
    """The last publications, the newest last: how whoever made one whose reply was lost knows of it."""

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return what it says, as ``schema=`` takes it."""
        return {name: part for name, part in (("input", self.input), ("output", self.output)) if part is not None}


SCHEMA = document_type(PublishedSchema, what="schema", key_of=lambda doc: keys.schema_key(doc.type))


def publish(repository: Repository, job_type: str, parts: Mapping[str, dict[str, Any]], *, by: str) -> PublishedSchema:
    """Store the schema of a task type in place of an earlier one; the same once more changes nothing.

    One that was deleted is not there, but its `orders` are kept: a publication before the delete may yet ask for its own.
    """
    order, now = new_id(repository.rng), repository.now()

    def published(doc: PublishedSchema) -> PublishedSchema:
        if not doc.is_deleted and doc.parts() == parts:
            return doc
        return replace(
            doc,
            is_deleted=False,
            input=parts.get("input"),
            output=parts.get("output"),
            version=1 if doc.is_deleted else doc.version + 1,
            at=now,
            by=by,
            orders=(*doc.orders, order)[-MAX_ORDERS:],
        )

    held = repository.loop.update(
        SCHEMA,
        keys.schema_key(job_type),
        published,
        applied=lambda doc: order in doc.orders,
        absent=PublishedSchema(type=job_type, is_deleted=True),
    )
    return held.doc


def read_schema(repository: Repository, job_type: str) -> PublishedSchema | None:
    """Return the schema of a task type, in one request; None if there is none."""
    try:
        return Collection(repository, SCHEMA).read(keys.schema_key(job_type)).doc
    except Missing:
        return None


def delete_schema(repository: Repository, job_type: str) -> bool:
    """Delete the schema that a task type has now; return False if somebody published another one meanwhile, which stays."""
    schemas = Collection(repository, SCHEMA)
    try:
        return schemas.delete(schemas.read(keys.schema_key(job_type)))
    except Missing:
        return True


def schemas(repository: Repository) -> list[PublishedSchema | Unreadable]:
    """Return all schemas, by task type; also those that cannot be understood."""
    found = Collection(repository, SCHEMA).list(keys.SCHEMAS)
    return [one if isinstance(one, Unreadable) else one.doc for one in found]
