"""Mistakes about shards: who lists which, and where a job lies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.claim import shard_share
from oqkit.claim.poller import MarkerWalk
from oqkit.client import queue_reshard
from oqkit.queue import key as keys
from oqkit.queue import layout, shard_table
from oqkit.queue.layout import Layouts
from oqkit.queue.rows import Rows
from oqkit.queue.shard_table import renewed


def release_of_shards_has_no_condition(patch: pytest.MonkeyPatch) -> None:
    """Who leaves takes the whole table down, as `buquet` 0.1.0 deleted a lease whoever held it by then."""
    patch.setattr(shard_share, "given_back", lambda table, share_id: replace(table, shares=()))


def shards_of_the_dead_are_never_free(patch: pytest.MonkeyPatch) -> None:
    """A lease of shards has no end."""

    def renewed_for_ever(table, share_id, *, worker, until, now, n_shards):
        return renewed(table, share_id, worker=worker, until=until, now=0.0 * now, n_shards=n_shards)

    patch.setattr(shard_share, "renewed", renewed_for_ever)


def first_worker_takes_all_shards(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes first has all, and those after it nothing."""

    def divided(shares, n_shards):
        first, *others = sorted(shares, key=lambda share: -len(share.shards)) or (None,)
        if first is None:
            return ()
        return (replace(first, shards=Rows.span(0, n_shards)), *(replace(one, shards=Rows()) for one in others))

    patch.setattr(shard_table, "divided", divided)


def shards_are_dealt_anew(patch: pytest.MonkeyPatch) -> None:
    """Whenever somebody comes or goes, all shards are dealt out in turn."""

    def divided(shares, n_shards):
        known = sorted(shares, key=lambda share: share.worker)
        return tuple(
            replace(share, shards=Rows.of(range(place, n_shards, len(known)))) for place, share in enumerate(known)
        )

    patch.setattr(shard_table, "divided", divided)


def shards_of_a_share_are_listed_up_to_the_first_gap(patch: pytest.MonkeyPatch) -> None:
    """A walk ends with the first run of its shards, and nobody ever looks at all."""
    patch.setattr(MarkerWalk, "_from", lambda self, shard: None)
    original = shard_share.ShardShare.begin_walk

    def begin_walk(self):
        self._looked_everywhere = self._monotonic()
        return original(self)

    patch.setattr(shard_share.ShardShare, "begin_walk", begin_walk)


def job_of_a_key_moves_with_the_layout(patch: pytest.MonkeyPatch) -> None:
    """The object of a job with a key is where its writer thinks that new jobs are."""

    def job_key(self, job_id):
        layout = self.settings.current if keys.is_keyed(job_id) else int(job_id[0])
        return keys.job_key(job_id, self.settings.counts[layout])

    patch.setattr(Layouts, "job_key", job_key)


def work_moves_with_the_layout(patch: pytest.MonkeyPatch) -> None:
    """Whoever has heard of a new number of shards looks for the parts of every job there, and finds none."""
    patch.setattr(Layouts, "shard", lambda self, job: keys.shard_of(job.id, self.settings.present))


def markers_of_another_layout_are_strange(patch: pytest.MonkeyPatch) -> None:
    """A worker knows the shards of new jobs, and leaves all others alone."""
    patch.setattr(
        Layouts, "fits", lambda self, marker: marker.shard == keys.shard_of(marker.job, self.settings.present)
    )


def reshard_replaces_the_layouts(patch: pytest.MonkeyPatch) -> None:
    """The settings name the new number of shards, and forget the old one: `migrate-shards` of `buquet` 0.1.0 without the copy."""
    patch.setattr(
        layout, "resharded", lambda settings, shards: replace(settings, shards=shards, requires=settings.requires)
    )
    patch.setattr(queue_reshard, "resharded", layout.resharded)
