"""Mistakes about pauses of the queue, priorities and tags."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from oqkit.claim.pause_watch import PauseWatch
from oqkit.claim.poller import Poller
from oqkit.client import queue_steer
from oqkit.errors import FormatError, Missing, StoreError
from oqkit.queue import control, pause, tag_index
from oqkit.queue import job as job_module
from oqkit.queue import key as keys
from oqkit.queue.collection import Collection
from oqkit.queue.pause import PAUSE

# --- pauses of the queue -------------------------------------------------------------------------


def sign_stops_nobody(patch: pytest.MonkeyPatch) -> None:
    """A worker sees that the queue is paused, and starts tasks."""
    patch.setattr(PauseWatch, "sign", lambda self, job_type: None)


def clock_ends_a_pause(patch: pytest.MonkeyPatch) -> None:
    """A worker goes on at the time that the sign said when it read it, although there may be a newer one by then."""
    original = PauseWatch.sign

    def sign(self, job_type):
        found = original(self, job_type)
        return found if found is not None and found.holds(self.repository.now()) else None

    patch.setattr(PauseWatch, "sign", sign)
    patch.setattr(PauseWatch, "ends", property(lambda self: float("inf"), lambda self, value: None), raising=False)


def poller_passes_signs_over(patch: pytest.MonkeyPatch) -> None:
    """The listing shows the signs, and nobody takes them for some."""

    def look_around(self, monotonic, *, told):
        return self._walk.go_on()

    patch.setattr(Poller, "_look_around", look_around)


def resume_ends_any_pause(patch: pytest.MonkeyPatch) -> None:
    """Whoever resumes ends what is there when his write arrives, also a pause that was given since he looked."""

    def resume(repository, *, job_type="", by=""):
        with suppress(Missing):
            Collection(repository, PAUSE).read(keys.pause_key(job_type))
        now = repository.now()
        pause._ordered(repository, job_type, lambda sign: replace(sign, ended=now, ended_by=by))
        repository.ring()

    patch.setattr(queue_steer, "resume", resume)


def strange_sign_holds(patch: pytest.MonkeyPatch) -> None:
    """A sign that cannot be understood is taken for trouble with the store: nobody fetches work any more."""
    original = PauseWatch._read

    def read(self, key):
        try:
            Collection(self.repository, PAUSE).read(key)
        except FormatError as error:
            raise StoreError(str(error)) from error
        return original(self, key)

    patch.setattr(PauseWatch, "_read", read)


def pause_rings_no_bell(patch: pytest.MonkeyPatch) -> None:
    """Nobody is told of a pause, nor of its end: workers learn of them when they list the next time."""

    def silent(verb):
        def call(repository, **more):
            ring, repository.ring = repository.ring, lambda news=None: True
            try:
                return verb(repository, **more)
            finally:
                repository.ring = ring

        return call

    patch.setattr(queue_steer, "pause", silent(pause.pause))
    patch.setattr(queue_steer, "resume", silent(pause.resume))


# --- priorities and tags -------------------------------------------------------------------------


def reprioritize_moves_the_marker_by_way_of_nothing(patch: pytest.MonkeyPatch) -> None:
    """The old marker is taken down before the new one is there."""
    original = control._order

    def order(repository, job_id, verb, **more):
        if verb is job_module.ControlVerb.REPRIORITIZE:
            for entry in repository.store.list(keys.OPEN).entries:
                if job_id in entry.key:
                    repository.delete_quietly(entry.key)
        return original(repository, job_id, verb, **more)

    patch.setattr(control, "_order", order)


def reprioritize_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    """The new priority is in the job, and no marker says so."""
    original = control._order

    def order(repository, job_id, verb, **more):
        if verb is job_module.ControlVerb.REPRIORITIZE:
            return control._enter(repository, job_id, verb, **more)[0]
        return original(repository, job_id, verb, **more)

    patch.setattr(control, "_order", order)


def tags_leave_their_index(patch: pytest.MonkeyPatch) -> None:
    """The job has the tag, and nobody finds it by that."""
    patch.setattr(control, "retag", lambda repository, job, names, *, before: None)


def index_of_tags_has_the_old_value(patch: pytest.MonkeyPatch) -> None:
    """The entries are those of the tags that the job had before the order."""
    original = control.retag

    def retag(repository, job, names, *, before):
        original(repository, replace(job, tags=dict(before)), names, before=before)

    patch.setattr(control, "retag", retag)


def entry_is_tried_once(patch: pytest.MonkeyPatch) -> None:
    """What the store does not take at once is left out of the index, and the caller is told that all is well."""

    def put_up(repository, job, among=None):
        for key in tag_index.entries_of(job, job.tags):
            with suppress(StoreError):
                repository.store.create(key, b"")

    patch.setattr(tag_index, "put_up", put_up)


def tags_are_written_over(patch: pytest.MonkeyPatch) -> None:
    """Whoever sets a tag drops the orders that others gave since he read the job."""
    original = control._ordered

    def ordered(repository, job, order, code):
        if order.verb is job_module.ControlVerb.TAG:
            job = replace(job, controls=job.controls[:-1])
        return original(repository, job, order, code)

    patch.setattr(control, "_ordered", ordered)
