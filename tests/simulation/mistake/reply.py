"""Mistakes about replies that were lost, or that say too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.errors import Conflict, Missing, Unavailable
from oqkit.queue import cas
from oqkit.queue.cas import CasLoop, Versioned
from oqkit.queue.repository import Repository
from oqkit.testing.simulation.bucket import SimStore


def _update(patch: pytest.MonkeyPatch, *, on_conflict=None, on_silence=None, evidence=None, stamp=True):
    """Replace the read-modify-write loop by one with a mistake."""

    def update(self, kind, key, change, *, applied, held=None, absent=None, patience_s=None):
        mine: set[str] = set()
        proof = applied if evidence is None else lambda doc: evidence(doc, mine)
        for _ in self.attempts(patience_s):
            try:
                held = held or self.read(kind, key, absent=absent)
                return held if proof(held.doc) else _write(self, kind, key, change, held=held, stamp=stamp, mine=mine)
            except (Conflict, Unavailable) as error:
                held, mistake = None, on_conflict if isinstance(error, Conflict) else on_silence
            if mistake is not None:
                return mistake(self, kind, key, absent)
        raise Unavailable(key)

    patch.setattr(CasLoop, "update", update)


def _write(loop, kind, key, change, *, held, stamp, mine):
    new = change(held.doc)
    if new == held.doc:
        return held
    if stamp:
        new = replace(new, rev=held.doc.rev + 1, op=cas.new_id(loop.rng))
    mine.add(new.op)
    return Versioned(new, loop._write(key, kind.dump(new), held.etag))


def conflict_means_lost(patch: pytest.MonkeyPatch) -> None:
    """412 is taken for "somebody else was first"."""
    _update(patch, on_conflict=_told_lost)


def _told_lost(loop, kind, key, absent):
    held = loop.read(kind, key, absent=absent)
    empty = {"leases": (), "done": (), "outputs": {}} if kind is cas.PART else {"controls": ()}
    return Versioned(replace(held.doc, **empty), held.etag) if kind in (cas.PART, cas.JOB) else held


def one_read_decides(patch: pytest.MonkeyPatch) -> None:
    """After a time-out one GET says whether the write was applied; it may still be on its way."""
    _update(patch, on_silence=lambda loop, kind, key, absent: loop.read(kind, key, absent=absent))


def silence_means_done(patch: pytest.MonkeyPatch) -> None:
    """A time-out is taken for success."""
    original = SimStore.replace

    def hopeful(self, key, data, *, etag):
        try:
            return original(self, key, data, etag=etag)
        except Unavailable:
            return "unknown"

    patch.setattr(SimStore, "replace", hopeful)


def last_writer_is_evidence(patch: pytest.MonkeyPatch) -> None:
    """A write counts as applied if its token is the last one in the document; later writers wipe that out."""
    _update(patch, evidence=lambda doc, mine: doc.op in mine)


def no_stamp(patch: pytest.MonkeyPatch) -> None:
    """Neither `rev` nor `op` in the document: the same state has the same bytes, and so the same etag."""
    _update(patch, stamp=False)


def create_conflict_means_taken(patch: pytest.MonkeyPatch) -> None:
    """The SDK's retries are on, and 412 to a create means that somebody else's job has this id."""
    original = Repository.create_job

    def create_job(self, job):
        before = self.store.create

        def create(key, data):
            try:
                return before(key, data)
            except Conflict:
                raise Missing(key) from None

        self.store.create = create
        try:
            return original(self, job)
        except Missing:
            found = self.read_job(job.id)
            return Versioned(replace(found.doc, origin="somebody else"), found.etag)
        finally:
            del self.store.create

    patch.setattr(Repository, "create_job", create_job)


def upload_is_not_repeated(patch: pytest.MonkeyPatch) -> None:
    """An upload that timed out is taken for done."""

    def put_once(self, key, data):
        try:
            self.store.create(key, data)
        except (Conflict, Unavailable):
            return

    patch.setattr(CasLoop, "put_once", put_once)
