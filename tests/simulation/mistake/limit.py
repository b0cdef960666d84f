"""Mistakes about limits that all workers keep together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import limiter
from oqkit.claim.limiter import Limiter, Ticket
from oqkit.clock import new_id
from oqkit.queue.quota import QUOTA, Quota, key_of, places_taken, starts_taken


def starts_are_taken_without_evidence(patch: pytest.MonkeyPatch) -> None:
    """A worker counts on what it asked for, whether or not that was written."""

    def changed(self, limit, change, grant_id):
        now = self._repository.now()
        held = self._repository.loop.read(QUOTA, key_of(limit.name), absent=Quota(name=limit.name))
        if not limit.per_s or self._repository.rng.random() < 0.5:
            return original(self, limit, change, grant_id)
        return replace(change(held.doc), stated=now)

    original = Limiter._changed
    patch.setattr(Limiter, "_changed", changed)


def block_of_a_dead_worker_is_given_again(patch: pytest.MonkeyPatch) -> None:
    """What a worker took that has not come again for a while is taken from it, in the same window."""

    def taken(quota, grant_id, *, worker, wanted, now, ahead_s):
        alive = tuple(grant for grant in quota.grants if grant.worker == worker or grant.start + 2.0 > now)
        return starts_taken(
            replace(quota, grants=alive), grant_id, worker=worker, wanted=wanted, now=now, ahead_s=ahead_s
        )

    patch.setattr(limiter, "starts_taken", taken)


def start_is_not_used_up(patch: pytest.MonkeyPatch) -> None:
    """A lease looks whether it has a start, and keeps it."""
    original = Ticket.take

    def take(self, now):
        before = [list(tokens) for _, tokens in self.starts]
        wait_s = original(self, now)
        for (_, tokens), own in zip(self.starts, before, strict=True):
            tokens[:] = own
        return wait_s

    patch.setattr(Ticket, "take", take)


def starts_outlive_their_window(patch: pytest.MonkeyPatch) -> None:
    """What was not used in its window is used whenever there is work again."""
    original = limiter.tokens_of
    patch.setattr(
        limiter,
        "tokens_of",
        lambda grant, *, n_window: [
            replace(one, until=one.until + 600.0) for one in original(grant, n_window=n_window)
        ],
    )


def place_is_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """The place of a lease that has ended stays taken, for as long as its worker lives."""
    original = Limiter.release

    def release(self, ticket):
        if ticket is not None:
            ticket.places = []
        original(self, ticket)

    patch.setattr(Limiter, "release", release)


def place_of_a_dead_worker_is_never_free(patch: pytest.MonkeyPatch) -> None:
    """Places have no end."""

    def taken(quota, grant_id, *, worker, wanted, now, lease_s):
        return places_taken(quota, grant_id, worker=worker, wanted=wanted, now=now, lease_s=1e6)

    patch.setattr(limiter, "places_taken", taken)


def places_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    """A worker does not say that it still runs what it runs, and goes on."""
    patch.setattr(Limiter, "perform", lambda self: None)
    original = Ticket.take

    def take(self, now):
        for places, _ in self.places:
            places.until = float("inf")
        return original(self, now)

    patch.setattr(Ticket, "take", take)


def places_are_counted_by_nobody(patch: pytest.MonkeyPatch) -> None:
    """Each worker counts its own."""

    def changed(self, limit, change, grant_id):
        if limit.per_s:
            return original(self, limit, change, grant_id)
        return change(Quota(name=limit.name, op=new_id(self._repository.rng)))

    original = Limiter._changed
    patch.setattr(Limiter, "_changed", changed)
