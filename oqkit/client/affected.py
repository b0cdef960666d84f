"""What an order to several jobs came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from oqkit.errors import OqError


class Affected(int):
    """How many tasks an order concerned: a number that also knows the jobs of these, and what could not be done.

    `jobs` are their ids. `failures` says of jobs that were left alone why, by their ids; giving the order again tries those again.
    """

    jobs: tuple[str, ...]
    failures: Mapping[str, OqError]

    @classmethod
    def of(cls, tasks: Mapping[str, int], failures: Mapping[str, OqError]) -> Affected:
        """Sum up the number of tasks of each job."""
        total = cls(sum(tasks.values()))
        total.jobs = tuple(job for job, n_tasks in tasks.items() if n_tasks)
        total.failures = dict(failures)
        return total

    def __reduce__(self) -> tuple[Callable[..., Affected], tuple[object, ...]]:
        return _restored, (int(self), self.jobs, self.failures)


def _restored(n_tasks: int, jobs: Iterable[str], failures: Mapping[str, OqError]) -> Affected:
    """Return what was pickled."""
    found = Affected(n_tasks)
    found.jobs, found.failures = tuple(jobs), dict(failures)
    return found
