"""What must hold of deletes: a job goes when it has ended and not before, and nothing that anybody counts on goes without it."""

from __future__ import annotations

from typing import Protocol

from oqkit.queue import key as keys
from oqkit.queue.document import load_part
from oqkit.queue.job import Job, is_settled
from oqkit.queue.part import Part
from oqkit.testing.simulation.bucket import Bucket, Write
from oqkit.testing.simulation.fact import rows_of


class Facts(Protocol):
    """What the oracle knows."""

    bucket: Bucket
    jobs: dict[str, Job]
    parts: dict[str, Part]

    def expect(self, claim: object, rule: str, message: str) -> None:
        """Note a violation unless `claim` is true."""

    def parts_of(self, job: Job) -> list[Part]:
        """Return the parts of a job as they are now."""


class DeletionFacts:
    """Which jobs were deleted."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.jobs: set[str] = set()
        self.ages_s: dict[str, float] = {}
        """Node that collects garbage to how long ago a job has to have ended for it."""

    def buried(self, write: Write, old: Job | None, new: Job) -> None:
        """A tombstone takes the place of a job of which every task has ended, and no order that was given changes that."""
        facts = self._facts
        facts.expect(old is not None and old.deleted is None, "tombstone of no job", write.key)
        if old is None:
            return
        self.jobs.add(new.id)
        parts = facts.parts_of(old)
        facts.expect(all(is_settled(part, old) for part in parts), "deleted before its end", write.key)
        since_s = facts.bucket.now() - max((part.at for part in parts), default=0.0)
        least_s = self.ages_s.get(write.node.name, 0.0) - write.doubt_s - 1.0
        facts.expect(since_s >= least_s, "collected too early", f"{write.key}: {since_s:.1f} s after its end")
        is_same = (old.id, old.created, old.origin) == (new.id, new.created, new.origin)
        facts.expect(is_same, "strange tombstone", write.key)

    def removed(self, write: Write) -> None:
        """A part or an input that is named goes with its job alone; an output also if its part does not name it."""
        facts, job_id = self._facts, keys.job_of_folder(write.key.split("/")[2])
        job = facts.jobs.get(job_id)
        if job is None or job_id in self.jobs:
            facts.parts.pop(write.key, None)
            return
        folder, _, name = write.key.partition("out/")
        index, _, output = name.removesuffix(".parquet").partition("-")
        part = facts.parts.get(f"{folder}parts/{index}.json")
        facts.expect(part is None or output not in part.outputs, "output removed", write.key)
        is_named = "/parts/" in write.key or any(write.key == key for key, *_ in job.input.get("files", ()))
        facts.expect(not is_named, "removed without its job", write.key)

    def wrote_payload(self, write: Write) -> None:
        """An input or output is written once, and removed when nobody counts on it."""
        if write.data is None:
            self.removed(write)
        else:
            self._facts.expect(write.old is None, "payload overwritten", write.key)

    def wrote_part(self, write: Write, new: Part) -> None:
        """A part of a deleted job may still take in an order, but nothing happens to its tasks."""
        old = None if write.old is None else load_part(write.old, key=write.key)
        statuses = None if old is None else [row.status for row in rows_of(old)]
        self._facts.expect([row.status for row in rows_of(new)] == statuses, "deleted job runs again", write.key)
