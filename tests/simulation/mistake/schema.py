"""Mistakes about published schemas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.client import input_schema, spec
from oqkit.queue import published_schema
from oqkit.queue.published_schema import SCHEMA


def inputs_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    """What does not fit the schema that is published is submitted all the same."""
    patch.setattr(spec, "check_inputs", lambda part, given, *, is_frame: None)


def job_goes_by_what_is_published_later(patch: pytest.MonkeyPatch) -> None:
    """A job does not hold what the schema says of results: whoever runs it is to ask for that then."""
    original = spec.schema_in_force
    patch.setattr(spec, "schema_in_force", lambda *asked: replace(original(*asked), output=None))


def deleted_schema_is_still_there(patch: pytest.MonkeyPatch) -> None:
    """A schema that was deleted goes on checking submissions: its tombstone is read as the document."""
    original = input_schema.read_schema

    def read_schema(repository, job_type):
        found = original(repository, job_type)
        if found is None and repository.store.list("schemas/").entries:
            return repository.loop.read(SCHEMA, f"schemas/{job_type}.json").doc
        return found

    patch.setattr(input_schema, "read_schema", read_schema)


def publication_is_forgotten_once_it_is_deleted(patch: pytest.MonkeyPatch) -> None:
    """What is published after a delete says nothing of earlier publications: one whose reply was lost is made again over it."""

    def forgetful(doc, **new):
        return replace(doc, **{**new, "orders": new["orders"][-1:] if doc.is_deleted else new["orders"]})

    patch.setattr(published_schema, "replace", forgetful)
