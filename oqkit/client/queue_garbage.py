"""The verb of `Queue` that removes what nobody needs any more."""

from __future__ import annotations

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.queue.garbage import Collector
from oqkit.task.function import seconds


class QueueCleaning(Connection):
    """Removes what is old."""

    def gc(self, older_than: float | str | None = None, *, dry_run: bool = False) -> pd.DataFrame:
        """Remove garbage and return what that was: a row each, the index is the id of the job that it is or was of.

        Columns: kind, name (of a job that had one), objects, bytes. The kinds are ``job``: jobs that ended `older_than` ago (seconds, or text such as ``"30d"``), or as long ago as they
        were submitted with `keep`, but for those that another job still waits for; ``rest`` of jobs that were deleted; and of what is a day
        old ``orphan``, inputs of submissions that never became a job, ``fenced``, outputs that no job counts, and ``workers``, reports of
        workers that are gone (one row, of no job); and ``limit``, of no job either: what was kept of a limit that nobody has used for `older_than`, or a day. `dry_run` only returns what there is. It asks for every job of the queue, one by one.
        """
        age_s = None if older_than is None else seconds(older_than, what="older_than")
        found = Collector(self.repository, older_than_s=age_s, dry_run=dry_run).collect()
        rows = [(one.kind.value, one.name, one.removed.n_objects, one.removed.n_bytes) for one in found]
        index = pd.Index([one.job for one in found], name="job", dtype=object)
        return pd.DataFrame(rows, columns=["kind", "name", "objects", "bytes"], index=index)
