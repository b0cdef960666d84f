"""The documents of one kind in a queue: read, list, create, change, and delete what is still as it was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic

from oqkit.clock import new_id
from oqkit.errors import FormatError, Missing, UsageError
from oqkit.queue.cas import Versioned
from oqkit.queue.document_type import D, KeyedType
from oqkit.queue.repository import Repository


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document of a listing that was not understood."""

    key: str
    why: str


class Collection(Generic[D]):
    """Every verb goes through the one compare-and-set loop; a deleted document counts as one that is not there."""

    def __init__(self, repository: Repository, kind: KeyedType[D]) -> None:
        self.kind = kind
        self._repository = repository
        self._loop = repository.loop

    def read(self, key: str) -> Versioned[D]:
        """Return a document, or raise `Missing`; `FormatError` if it cannot be understood."""
        return self._present(self._loop.read(self.kind, key))

    def list(self, prefix: str, *, most: int | None = None) -> list[Versioned[D] | Unreadable]:
        """Return the documents below a prefix in the order of their keys, also those that cannot be understood.

        Of more than `most` the first are read (None: all).
        """
        found = [entry.key for page in self._repository.store.list_all(prefix) for entry in page.entries]
        return [one for one in self._repository.map(self._read_listed, sorted(found)[:most]) if one is not None]

    def create(self, doc: D, *, inherit: Callable[[D], D] | None = None) -> Versioned[D]:
        """Create a document, or return the one that is there.

        What is returned has the `origin` that `doc` was given, or one that tells it from another creator's:
        give `doc` a fresh one to know which of the two happened. `inherit` returns `doc` with what it takes over from
        the one of its key that was deleted.
        """
        doc = replace(doc, origin=doc.origin or new_id(self._repository.rng))
        absent = replace(doc, is_deleted=True, origin="", rev=0)
        return self._loop.update(
            self.kind,
            self.kind.key_of(doc),
            (lambda _: doc) if inherit is None else inherit,
            applied=lambda held: not held.is_deleted or held.origin == doc.origin,
            absent=absent,
        )

    def update(
        self,
        key: str,
        change: Callable[[D], D],
        *,
        applied: Callable[[D], bool],
        absent: D | None = None,
        held: Versioned[D] | None = None,
    ) -> Versioned[D]:
        """Change a document exactly once and return it; `absent` is what its absence means (None: raise `Missing`).

        `change` and `applied` are those of `CasLoop.update`; `applied` sees a deleted document too.
        """

        def changed(doc: D) -> D:
            if doc.is_deleted:
                if absent is None:
                    raise Missing(key)
                new = change(absent)
                return doc if new == absent else new
            new = change(doc)
            if self.kind.key_of(new) != key:
                raise UsageError(f"{key!r} cannot become {self.kind.key_of(new)!r}: create that one")
            return new

        return self._loop.update(self.kind, key, changed, applied=applied, absent=absent, held=held)

    def delete(self, seen: Versioned[D]) -> bool:
        """Delete a document if it still is the version that was seen; return False if another one is in its place now."""
        if seen.etag is None:
            return True

        def is_other(doc: D) -> bool:
            return doc.is_deleted or doc.op != seen.doc.op

        try:
            left = self._loop.update(
                self.kind,
                self.kind.key_of(seen.doc),
                lambda doc: doc if is_other(doc) else replace(doc, is_deleted=True),
                applied=is_other,
                held=seen,
            )
        except Missing:
            return True  # somebody removed the object itself
        return left.doc.is_deleted

    def _present(self, found: Versioned[D]) -> Versioned[D]:
        if found.doc.is_deleted:
            raise Missing(self.kind.key_of(found.doc))
        return found

    def _read_listed(self, key: str) -> Versioned[D] | Unreadable | None:
        try:
            return self.read(key)
        except Missing:
            return None  # deleted meanwhile
        except FormatError as error:
            return Unreadable(key, str(error))
