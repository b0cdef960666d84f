"""What the oracle knows of leases of shards: which worker was given which, and whether anybody may have taken them."""

from __future__ import annotations

from collections.abc import Callable

from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.layout import SETTINGS, Settings
from oqkit.queue.shard_table import SHARD_TABLE, ShardTable
from oqkit.testing.simulation.bucket import Write


class ShardFacts:
    """Every table as it is now, shard by shard, and the layouts of the queue; times in epoch seconds by the bucket's clock."""

    def __init__(self, expect: Callable[[object, str, str], None], *, shards: int) -> None:
        self._expect = expect
        self._settings = Settings(shards=shards)
        self._tables: dict[str, ShardTable] = {}
        self.n_moved = 0

    def concerns(self, key: str) -> bool:
        """Whether a key is that of a table, or of the settings."""
        return key.startswith(keys.LEASES) or key == keys.SETTINGS

    def names_of(self, job: Job) -> keys.JobKeys:
        """Return where the work of a job belongs."""
        count = self._settings.counts[job.layout]
        return keys.JobKeys(job=job.id, shard=keys.shard_of(job.id, count), created=job.created)

    def check_place(self, write: Write, job_id: str) -> None:
        """A job object is where its id says, whatever its writer knows of."""
        count = self._settings.counts[int(job_id[0]) if job_id[0] != "k" else 0]
        self._expect(write.key == keys.job_key(job_id, count), "job in another place", f"{write.key} of {count} shards")

    def wrote(self, write: Write) -> None:
        """Judge the write of a table, or of the settings: what they say of layouts only grows."""
        if write.key == keys.SETTINGS:
            old_settings, self._settings = self._settings, SETTINGS.load(write.data or b"", write.key)
            n = len(old_settings.counts)
            self._expect(self._settings.rev == old_settings.rev + 1, "rev", write.key)
            self._expect(self._settings.counts[:n] == old_settings.counts, "layout lost", f"{self._settings}")
            return
        new = SHARD_TABLE.load(write.data or b"", write.key)
        old = self._tables.get(write.key, ShardTable(group=new.group))
        self._tables[write.key] = new
        self._expect(new.rev == old.rev + 1, "rev", write.key)
        self._check_shares(write, old, new)
        self._check_division(write.key, old, new)

    def _check_shares(self, write: Write, old: ShardTable, new: ShardTable) -> None:
        """A worker writes its own share, and ends nobody else's before its time."""
        before, after = ({share.id: share for share in table.shares} for table in (old, new))
        for name, share in before.items():
            is_own = share.worker == write.node.name
            early_s = share.until - write.sent_s - write.doubt_s
            told = f"{write.key} {name} by {write.node.name}, {early_s:.2f} s early"
            self._expect(name in after or is_own or early_s <= 0, "shards taken from their holder", told)
        for name, share in after.items():
            is_own, known = share.worker == write.node.name, before.get(name)
            is_same = known is not None and known.until == share.until
            self._expect(is_own or is_same, "lease of shards changed by another", f"{write.key} {name}")
            late_s = write.sent_s - write.doubt_s - share.until
            is_kept = any(one.worker == write.node.name for one in new.shares)  # else it only gives back
            self._expect(late_s <= 0 or not is_kept, "shards of the dead", f"{write.key} {name}, {late_s:.2f} s late")

    def _check_division(self, key: str, old: ShardTable, new: ShardTable) -> None:
        """Each shard has one holder, all have as many, and who stays keeps as many of its own as it may."""
        holders = [share.id for share in new.shares for _ in share.shards]
        shards = sorted(shard for share in new.shares for shard in share.shards)
        self._expect(not new.shares or shards == list(range(new.n_shards)), "shard without a holder", f"{key} {new}")
        sizes = [holders.count(share.id) for share in new.shares]
        self._expect(not sizes or max(sizes) - min(sizes) <= 1, "unfair shares", f"{key} {sizes}")
        for share in new.shares:
            known = old.share(share.id)
            had, has = set() if known is None else set(known.shards), set(share.shards)
            self.n_moved += len(has - had)
            is_kept = len(had & has) >= min(len(had), len(has))
            self._expect(is_kept, "more shards moved than need be", f"{key} {share.id}: {had} -> {has}")
