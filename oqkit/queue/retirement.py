"""How what is kept of a limit goes once nobody uses it any more: without giving anybody twice what a limit has once.

Its document is first marked by compare-and-set, which a worker that takes of it at the same moment defeats: nobody takes of one that is marked
before some time. It is removed within that time. Who comes too late for that leaves it, and after it the mark counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace

from oqkit.errors import Denied, FormatError, Missing
from oqkit.queue.job import Job
from oqkit.queue.limit import FEATURE
from oqkit.queue.quota import QUOTA, Quota, key_of
from oqkit.queue.repository import Repository


def is_idle(quota: Quota, *, since: float) -> bool:
    """Whether nobody has had anything of a limit since a time (epoch seconds)."""
    return all(grant.end <= since for grant in quota.grants)


def retire(repository: Repository, key: str, *, since: float, dry_run: bool = False) -> bool:
    """Remove what is kept of a limit that nobody has used since a time; return whether it was, or with `dry_run` would be."""
    retire_s = repository.limits.queue.retire_s
    since = min(since, repository.now() - retire_s)

    def marked(quota: Quota) -> Quota:
        is_over = is_idle(quota, since=since)
        return replace(quota, retired_until=repository.now() + retire_s) if is_over else quota

    def is_marked(quota: Quota) -> bool:
        return quota.retired_until >= repository.now() + retire_s / 2

    try:
        held = repository.loop.read(QUOTA, key)
        if dry_run or not is_idle(held.doc, since=since):
            return is_idle(held.doc, since=since)
        found = repository.loop.update(QUOTA, key, marked, applied=is_marked, held=held).doc
    except (Missing, FormatError, Denied):  # whoever may, will
        return False
    return is_marked(found) and repository.delete_quietly(key)


def drop_own(repository: Repository, grave: Job) -> None:
    """Remove what was kept of a limit that was that of a deleted job alone."""
    if FEATURE in grave.requires:
        repository.delete_quietly(key_of(f"job/{grave.origin}"))
