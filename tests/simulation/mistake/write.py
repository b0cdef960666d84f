"""Mistakes about the order of writes."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from oqkit.claim.lease import HeldLease
from oqkit.client import result
from oqkit.errors import Unavailable
from oqkit.payload.output import decode_outcomes
from oqkit.payload.part_input import PartValues
from oqkit.payload.values_input import ValuesInput
from oqkit.queue import submission
from oqkit.queue.part import output_id
from oqkit.queue.repository import Repository
from oqkit.queue.submission import Submission


def no_marker(patch: pytest.MonkeyPatch) -> None:
    """A job is stored, but nobody is told."""
    patch.setattr(submission, "announce", lambda repository, job: None)


def marker_is_written_once(patch: pytest.MonkeyPatch) -> None:
    """A marker that timed out is not written again."""

    def put_marker(self, marker):
        self.delete_quietly  # noqa: B018 - the same interface
        try:
            self.store.overwrite(marker.key, b"")
        except Unavailable:
            return

    patch.setattr(Repository, "put_marker", put_marker)


def marker_before_the_job(patch: pytest.MonkeyPatch) -> None:
    """The marker goes up before the job object is there."""
    original = Repository.create_job

    def create_job(self, job):
        self.put_marker(self.marker(job, due=job.created))
        return original(self, job)

    patch.setattr(Repository, "create_job", create_job)


def inputs_after_the_job(patch: pytest.MonkeyPatch) -> None:
    """The job object names inputs that are uploaded only afterwards."""
    put, commit = Submission.put_input, Submission.commit

    def put_input(self, data):
        digest = hashlib.sha256(data).hexdigest()[:32]
        self.later = [*getattr(self, "later", []), data]
        return self._keys.input(len(self.later) - 1, digest)

    def late_inputs(self, job):
        stored = commit(self, job)
        for data in getattr(self, "later", []):
            put(self, data)
        return stored

    patch.setattr(Submission, "put_input", put_input)
    patch.setattr(Submission, "commit", late_inputs)


def reference_is_not_followed(patch: pytest.MonkeyPatch) -> None:
    """A function whose input is an object of its own is called with None."""
    original = ValuesInput.part

    def part(self, source, index):
        if self.items is None:
            return PartValues((None,) * source.job.part_size(index))
        return original(self, source, index)

    patch.setattr(ValuesInput, "part", part)


def resume_does_nothing(patch: pytest.MonkeyPatch) -> None:
    """A second submission under the same key trusts that the first one put up the marker."""
    patch.setattr(submission, "resume", lambda repository, job: None)


def output_after_its_commit(patch: pytest.MonkeyPatch) -> None:
    """The part names an output that is uploaded only afterwards."""
    put, commit = HeldLease.put_output, HeldLease.commit

    def put_output(self, data):
        self.later = data

    def late_commit(self, given, **more):
        number = self.part.lease(self.id).commits
        commit(self, given, **more)
        if getattr(self, "later", None) is not None:
            data, self.later = self.later, None
            key = self._repository.keys_of(self.job).output(self.index, output_id(self.id, number + 1))
            self._repository.loop.put_once(key, data)

    assert put is not None
    patch.setattr(HeldLease, "put_output", put_output)
    patch.setattr(HeldLease, "commit", late_commit)


def unnamed_outputs_are_read(patch: pytest.MonkeyPatch) -> None:
    """A reader takes whatever lies in the folder of outputs, the last one winning."""
    original = result.ResultReader.pieces

    def pieces(self):
        found = original(self)
        job, store = self._job, self._repository.store
        prefix = f"{self._repository.keys_of(job).folder}out/"
        for entry in store.list(prefix).entries:
            index = int(entry.key[len(prefix) :].split("-")[0])
            outcomes = decode_outcomes(store.read(entry.key).data)
            rows = outcomes.rows + index * job.part_rows
            found = [_minus(piece, rows) for piece in found]
            found.append((rows, outcomes.values))
        return [piece for piece in found if len(piece[0])]

    patch.setattr(result.ResultReader, "pieces", pieces)


def _minus(piece, rows):
    numbers, values = piece
    kept = [place for place, row in enumerate(numbers) if row not in rows]
    return numbers[kept], values.take(pa.array(kept, pa.int64()))
