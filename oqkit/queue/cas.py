"""The one read-modify-write loop, and how it survives lost replies (guarantee G4).

A conditional write may be applied although its reply was lost, may land after a later read, and may
be answered "conflict" because it was itself applied before. So no status code decides anything
here. After every answer but a clean success the loop reads again and asks `applied`: is there
evidence of my change in the document, evidence that other writers leave alone? If not, it applies
the change to what it read and tries again; that later compare-and-set either succeeds, which shuts
out the earlier write for good, or fails, which sends it round once more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic

from oqkit.clock import new_id
from oqkit.errors import Conflict, Missing, Unavailable
from oqkit.limits import QueueLimits
from oqkit.queue.document import dump_job, dump_part, load_job, load_part
from oqkit.queue.document_type import DocumentType, R
from oqkit.queue.job import Job
from oqkit.queue.part import Part
from oqkit.store.base import Store


@dataclass(frozen=True, slots=True)
class Versioned(Generic[R]):
    """A document as it was read or written; `etag` is None while the object does not exist."""

    doc: R
    etag: str | None


JOB: DocumentType[Job] = DocumentType(lambda data, key: load_job(data, key=key), dump_job)
PART: DocumentType[Part] = DocumentType(lambda data, key: load_part(data, key=key), dump_part)


class CasLoop:
    """Reads and changes documents; gives up with `Unavailable` after ``limits.patience_s``."""

    def __init__(self, store: Store, rng: random.Random, *, limits: QueueLimits) -> None:
        self.store = store
        self.rng = rng
        self.limits = limits

    def read(self, kind: DocumentType[R], key: str, *, absent: R | None = None) -> Versioned[R]:
        """Return the document; `absent` is what its absence means (None: raise `Missing`)."""
        try:
            blob = self.store.read(key)
        except Missing:
            if absent is None:
                raise
            return Versioned(absent, None)
        return Versioned(kind.load(blob.data, key), blob.etag)

    def update(
        self,
        kind: DocumentType[R],
        key: str,
        change: Callable[[R], R],
        *,
        applied: Callable[[R], bool],
        held: Versioned[R] | None = None,
        absent: R | None = None,
        patience_s: float | None = None,
    ) -> Versioned[R]:
        """Apply `change` exactly once and return the result; `held` (if fresh) saves the first read.

        Raise `Missing` if the object is not there (and `absent` is None) or was deleted meanwhile.

        `change` is pure and may raise to refuse. Returning an equal document writes nothing, unless an earlier write of this
        call may still land in the place of this very document: then it is written as it is, which shuts that out.
        `applied` must recognise the change in every later state of the document.
        """
        last: Exception | None = None
        existed = False
        unanswered: set[str | None] = set()  # etags in the place of which an earlier write may yet land
        patience_s = self.limits.patience_s if patience_s is None else min(patience_s, self.limits.patience_s)
        for _ in self.attempts(patience_s):
            try:
                held = held or self.read(kind, key, absent=None if existed else absent)
                existed = held.etag is not None
                if applied(held.doc):
                    return held
                new = change(held.doc)
                if new == held.doc and held.etag not in unanswered:
                    return held
                new = replace(new, rev=held.doc.rev + 1, op=new_id(self.rng))
                return Versioned(new, self._write(key, kind.dump(new), held.etag))
            except (Conflict, Unavailable) as error:
                if held is not None and isinstance(error, Unavailable):
                    unanswered.add(held.etag)
                held, last = None, error
        raise Unavailable(f"{key!r} could not be changed within {patience_s:g} s: {last}") from last

    def put_once(self, key: str, data: bytes) -> bool:
        """Write an object whose key says what it holds: that it exists means that it is written.

        Return whether this call may have written it: False if it was there before.
        """
        last: Exception | None = None
        for _ in self.attempts():
            try:
                self.store.create(key, data)
            except Conflict:
                return last is not None
            except Unavailable as error:
                last = error
            else:
                return True
        raise Unavailable(f"{key!r} could not be written within {self.limits.patience_s:g} s: {last}") from last

    def put_same(self, key: str, data: bytes) -> None:
        """Write an object that anybody may write at any time, as all write the same bytes: no condition is needed."""
        last: Exception | None = None
        for _ in self.attempts():
            try:
                self.store.overwrite(key, data)
            except Unavailable as error:
                last = error
            else:
                return
        raise Unavailable(f"{key!r} could not be written within {self.limits.patience_s:g} s: {last}") from last

    def attempts(self, patience_s: float | None = None) -> Iterator[int]:
        """Yield attempt numbers until the patience (None: the loop's own) is used up: the second at once, later ones after full-jitter waits.

        At once, because most often somebody else came first, and reading what he wrote decides.
        """
        clock, limits = self.store.clock, self.limits
        end = clock.monotonic() + (limits.patience_s if patience_s is None else patience_s)
        attempt = 0
        while True:
            yield attempt
            longest_s = min(limits.retry_longest_s, limits.retry_first_s * 2**attempt) if attempt else 0.0
            attempt += 1
            if clock.monotonic() >= end:
                return
            clock.sleep(self.rng.uniform(0, longest_s))

    def _write(self, key: str, data: bytes, etag: str | None) -> str:
        if etag is None:
            return self.store.create(key, data)
        return self.store.replace(key, data, etag=etag)
