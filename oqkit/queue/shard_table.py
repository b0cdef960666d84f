"""Who lists the markers of which shards: one document for all workers that can run the same, changed by compare-and-set. Pure.

A worker's share is leased until a time, which the worker moves on. Whoever writes the table drops what ran out and divides
the shards anew: each is in one share, no share has more than one shard more than another, and no more change hands than
that takes. So there is never a shard that nobody is to look at, whoever came or went.

Nothing but the cost of listings hangs on a share: rows are fenced by leases of their own. A worker that goes on by what the table
said before lists a few shards more, or fewer, for as long as it takes to read the table again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_SHARDS, Id, Moment, Name, Unknown
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.eligibility import Ability
from oqkit.queue.rows import NONE, Rows, union

MAX_SHARES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The shards of one worker, and until when (epoch seconds)."""

    id: Id
    """Fresh for each start of a worker: what it gives back is its own, whatever another one of its name has."""
    worker: Name
    until: Moment
    shards: Rows = NONE
    unknown: Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTable(Document):
    """How the shards of a queue are divided among the workers of one group."""

    group: Id
    types: Annotated[tuple[Name, ...], Meta(max_length=MAX_SHARES)] = ()
    """What they run; for people to look at."""
    n_shards: Annotated[int, Meta(ge=1, le=MAX_SHARDS)] = 1
    shares: Annotated[tuple[Share, ...], Meta(max_length=MAX_SHARES)] = ()

    def share(self, share_id: str) -> Share | None:
        """Return the share of that id, or None."""
        return next((share for share in self.shares if share.id == share_id), None)


SHARD_TABLE = document_type(ShardTable, what="shard leases", key_of=lambda table: key_of(table.group))


def key_of(group: str) -> str:
    """Return the key of the table of a group."""
    return f"{keys.LEASES}{group}.json"


def group_of(ability: Ability) -> str:
    """Return which workers divide the shards among them: those of one group can run the same jobs, so that each job has one who looks."""
    said = (sorted(ability.types), ability.trusts_code, ability.python, ability.magic)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def renewed(table: ShardTable, share_id: str, *, worker: str, until: float, now: float, n_shards: int) -> ShardTable:
    """Lease a worker its share until then, after dropping what ran out; a full table is left as it is."""
    others = tuple(share for share in table.shares if share.until > now and share.id != share_id)
    if len(others) >= MAX_SHARES:
        return table
    own = table.share(share_id) or Share(id=share_id, worker=worker, until=until)
    n_shards = max(n_shards, table.n_shards)  # whoever knows of more has seen that the queue was given more
    shares = divided((*others, replace(own, until=until)), n_shards)
    return replace(table, n_shards=n_shards, shares=shares)


def given_back(table: ShardTable, share_id: str) -> ShardTable:
    """End a share, and only the one of that id: the others have its shards from now on."""
    return replace(table, shares=divided((share for share in table.shares if share.id != share_id), table.n_shards))


def divided(shares: Iterable[Share], n_shards: int) -> tuple[Share, ...]:
    """Give each shard to one share, as evenly as can be, while as few as possible change hands."""
    left, fullest = Rows.span(0, n_shards), []
    for share in sorted(shares, key=lambda share: (-len(share.shards), share.id)):
        fullest.append(replace(share, shards=share.shards & left))
        left -= share.shards
    if not fullest:
        return ()
    least, n_more = divmod(n_shards, len(fullest))
    fair = [least + (place < n_more) for place in range(len(fullest))]
    kept = [share.shards.head(n) for share, n in zip(fullest, fair, strict=True)]
    free = Rows.span(0, n_shards) - union(kept)
    found = []
    for share, shards, n in zip(fullest, kept, fair, strict=True):
        more = free.head(n - len(shards))
        free -= more
        found.append(replace(share, shards=shards | more))
    return tuple(sorted(found, key=lambda share: share.id))
