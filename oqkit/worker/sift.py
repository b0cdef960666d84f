"""Which rows of a commit keep it from being stored: they fail, and the others do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from oqkit.errors import UsageError
from oqkit.queue.rows import NONE, Rows, union
from oqkit.worker.buffer import Results


def sift(results: Results, check: Callable[[Results], object], *, most_tries: int) -> tuple[Results, Mapping[int, str]]:
    """Return as many of the results as can be stored together, and why of the other rows, by row.

    `check` raises `UsageError` for what cannot be stored. Rows are taken in as long as it does not: so one that is too large is told
    apart from others, and of many that are too large together, the first ones stay. After `most_tries` what is left fails as a whole.
    """
    kept, bad, left = NONE, dict[int, str](), [results.all_rows()]
    n_tries = 0
    while left:
        rows, n_tries = left.pop(0), n_tries + 1
        try:
            check(results.only(kept | rows))
        except UsageError as error:
            halves = _halves(rows, results)
            if len(halves) == 1 or n_tries >= most_tries:
                bad.update(dict.fromkeys(rows, str(error)))
            else:
                left[:0] = halves
        else:
            kept |= rows
    return results.only(kept), bad


def _halves(rows: Rows, results: Results) -> list[Rows]:
    """Cut rows in two, but not those of one table, which are stored together."""
    tables = [table & rows for table, _ in results.tables if table & rows]
    others = rows - union(tables)
    if tables and others:
        return [others, union(tables)]
    if len(tables) > 1:
        middle = len(tables) // 2
        return [union(tables[:middle]), union(tables[middle:])]
    first = others.head((len(others) + 1) // 2)
    return [one for one in (first, rows - first) if one]
