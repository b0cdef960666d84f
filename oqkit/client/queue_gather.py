"""The verb of `Queue` that brings the results of several jobs together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from oqkit.client.connection import Connection
from oqkit.client.dependency import find_job
from oqkit.client.keyed import submission_key
from oqkit.client.results_spec import spec_of_results
from oqkit.client.single import Task
from oqkit.errors import UsageError
from oqkit.payload.results_input import Gathered
from oqkit.queue import key as keys
from oqkit.task.function import options_of


class QueueGathering(Connection):
    """Fan-in: one call on what others returned."""

    def gather(
        self, jobs: Iterable[object], fn: Callable[..., object] | str, *, key: str | None = None, **options: Any
    ) -> Task:
        """Submit one call of `fn` with the results of `jobs` as its only argument, a list in their order, once all have ended.

        Of a task it holds the value, of a job of `map` a list of values, of a job of rows a frame with numbered rows. If one of
        them does not complete, ``on_failure="fail"`` (the default) fails this call, ``"skip"`` cancels it, and ``"run"`` runs
        it, with None for each value that there is not. `jobs` are handles, ids, or names of jobs. `key` and the other
        options are as in `submit`; ``depends_on=`` may name more jobs to wait for.
        """
        gathered = [self._gathered(one) for one in jobs]
        if not gathered:
            raise UsageError("gather([], …): there is nothing to gather")
        waits = options.pop("depends_on", None)
        more = [] if waits is None else [waits] if isinstance(waits, str) or not isinstance(waits, Iterable) else waits
        chosen = options_of({**options, "depends_on": [*(one.job for one in gathered), *more]})
        spec = spec_of_results(gathered, fn, limits=self.repository.limits)
        known = submission_key(key, scope="type", key_ttl=None)
        job = self.submitter.submit_single(spec, chosen, key=known)
        return Task(self, job, function=spec.function.task)

    def _gathered(self, one: object) -> Gathered:
        text = one if isinstance(one, str) else getattr(one, "id", None)
        if not isinstance(text, str) or not text:
            raise UsageError(f"gather: {one!r:.80} is no job or task")
        job = find_job(self.repository, text)
        is_task = text.startswith(f"{job.id}.")
        row = keys.parse_task_id(text)[1] if is_task else None
        if row is not None and row >= job.n_tasks:
            raise UsageError(f"gather: job {job.id} has rows 0 to {job.n_tasks - 1}, not {row}")
        return Gathered(job=job.id, origin=job.origin, row=row)
