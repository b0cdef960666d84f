"""Mistakes about what calls ask of their worker and tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import lease
from oqkit.errors import LeaseLost
from oqkit.queue import part
from oqkit.worker.checkpoint import Checkpointer
from oqkit.worker.running import Running


def extension_may_shorten(patch: pytest.MonkeyPatch) -> None:
    """A lease lasts as long as was asked for last, also if it was to last longer already."""
    original = part.commit

    def commit(state, lease_id, given, *, now, lease_s, **more):
        new = original(state, lease_id, given, now=now, lease_s=lease_s, **more)
        until = now + (given.lease_s or lease_s)
        leases = tuple(replace(one, expires=until) if one.id == lease_id else one for one in new.leases)
        return replace(new, leases=leases)

    patch.setattr(lease, "commit", commit)


def extension_is_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """Who asks for more time with a lease that is over extends that of whoever has the rows now."""
    original = part.commit

    def commit(state, lease_id, given, *, now, **more):
        try:
            return original(state, lease_id, given, now=now, **more)
        except LeaseLost:
            if not given.lease_s or not state.leases:
                raise
            leases = tuple(replace(one, expires=max(one.expires, now + given.lease_s)) for one in state.leases)
            return replace(state, leases=leases)

    patch.setattr(lease, "commit", commit)


def extension_is_answered_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    """The call is told that it has more time, and the next heartbeat is to see to it."""
    patch.setattr(Checkpointer, "extend", lambda _checkpointer, _seconds: None)


def time_out_does_not_hear_of_an_extension(patch: pytest.MonkeyPatch) -> None:
    """The lease is extended, but the call is cut by its time-out all the same."""
    patch.setattr(Running, "allow", lambda _running, _until: None)


def progress_is_written_under_every_lease(patch: pytest.MonkeyPatch) -> None:
    """What a call says of itself is noted with the part, for whoever holds rows of it."""
    original = part.commit

    def commit(state, lease_id, given, **more):
        new = original(state, lease_id, given, **more)
        return replace(new, leases=tuple(replace(one, progress=given.progress or ()) for one in new.leases))

    patch.setattr(lease, "commit", commit)


def progress_stays_when_its_call_has_ended(patch: pytest.MonkeyPatch) -> None:
    """What calls said is added to what was known, and nobody takes it away."""
    told = {}

    def progress(running, _unfinished):
        notes = told.setdefault(running, {})
        notes.update(running.buffer.drain_notes())
        return tuple(notes.values())

    real = part.commit

    def commit(state, lease_id, given, **more):
        new = real(state, lease_id, given, **more)
        leases = (
            replace(one, progress=tuple(given.progress or ())) if one.id == lease_id else one for one in new.leases
        )
        return replace(new, leases=tuple(leases))

    patch.setattr(Running, "progress", progress)
    patch.setattr(lease, "commit", commit)
