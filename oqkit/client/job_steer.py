"""The verbs of a job that give orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from oqkit.arrow import tagged_json
from oqkit.client.duplicate import derived_name, is_derived
from oqkit.client.job_base import JobBase
from oqkit.client.option import by_of, from_now, reason_of, short_text, tags_of
from oqkit.client.selection import select
from oqkit.client.spec import Function, function_of
from oqkit.errors import JobMissing, SchemaError, UsageError
from oqkit.observe.event import JobOrdered
from oqkit.payload.input import check_function
from oqkit.queue import control
from oqkit.queue.deletion import delete_job
from oqkit.queue.job import ControlVerb
from oqkit.queue.job import Job as JobObject
from oqkit.queue.priority import priority_of
from oqkit.queue.rows import Rows
from oqkit.queue.submission import point_to
from oqkit.queue.transition import Status
from oqkit.task.code import put_code
from oqkit.task.handler import Handler


class JobSteering(JobBase):
    """Orders, which the job object records and every part applies once."""

    def cancel(self, where: object = "all", reason: str | None = None, *, by: str | None = None) -> int:
        """Cancel tasks that have not ended, and return how many that were.

        `where`: ``"all"``, ``"pending"``, ``"running"``, or which rows: see `retry`.
        A running call goes on to its end, but its result is not used. `by` says who gives the order, for
        `history` (None: the user of this process, such as ``ana@laptop``).
        """
        reason, given_by = reason_of(reason), by_of(by)
        before = self._own_counts()[Status.CANCELLED]
        statuses, rows = select(
            where, control.CANCELLABLE, n_tasks=len(self), index=self._collector.index, order=self._collector.order
        )
        self._order(control.cancel, statuses=statuses, rows=rows, reason=reason, by=given_by)
        n_tasks = self._own_counts()[Status.CANCELLED] - before
        self._tell(ControlVerb.CANCEL, by=given_by, n_tasks=n_tasks, reason=reason)
        return n_tasks

    def retry(self, where: object = "failed", fn: Callable[..., object] | None = None, *, by: str | None = None) -> int:
        """Run tasks that did not complete again, and return how many those are.

        `where`: ``"failed"``, ``"cancelled"``, ``"expired"``, ``"all"`` of these, a boolean mask over the
        rows, row numbers, labels of the submitted frame (a pandas index, such as ``job.errors().index[:3]``, or a list of what is
        no number), or a frame of `errors` or `tasks`, or some of its rows. `fn` is a corrected function, used for everything that has not run yet: from
        then on the job counts as one of `fn`, and the same submission with `fn` attaches to it. `by`: as in `cancel`.
        """
        given_by = by_of(by)
        statuses, rows = select(
            where, control.RETRYABLE, n_tasks=len(self), index=self._collector.index, order=self._collector.order
        )
        function = self._new_function(fn) if fn is not None else None
        code = None if function is None else function.code
        self._refresh()
        chosen = self._collector.tasks(statuses)["row"].to_numpy()
        if rows is not None:
            wanted = np.zeros(len(self), "bool")
            for first, stop in rows.ranges:
                wanted[first:stop] = True
            chosen = chosen[wanted[chosen]]
        if len(chosen) or code is not None:
            self._order(control.retry, statuses=statuses, rows=rows, code=code, by=given_by)
            self._tell(ControlVerb.RETRY, by=given_by, n_tasks=len(chosen))
        if function is not None:
            self._function = function.task
            self._answer_for(function)
        return len(chosen)

    def signal(self, name: str, value: object = None, *, by: str | None = None) -> None:
        """Send a value to all tasks, for ``ctx.wait_for_signal(name)``; those that wait for it go on.

        One that comes before a task waits for it is kept. `value` is what an input may be, of at most 10,000 characters
        of JSON; a job takes 1,000 signals, and 256 KiB of values. Raise `UsageError` for more, or if the job has ended.
        """
        self._signal(name, value, rows=None, by=by)

    def _signal(self, name: str, value: object, *, rows: Rows | None, by: str | None) -> None:
        name, given_by = short_text(name, what="name"), by_of(by)
        try:
            text = tagged_json.dumps(value)
        except SchemaError as error:
            raise SchemaError(f"signal {name!r} cannot carry {tagged_json.show(value)}: {error}") from None
        if self.done():
            raise UsageError(f"job {self.name or self.id!r} has ended: nobody waits for the signal {name!r}")
        self._order(control.signal, name=name, value=text, rows=rows, by=given_by)
        self._tell(ControlVerb.SIGNAL, by=given_by, reason=name)

    def _answer_for(self, function: Function) -> None:
        """Let the same submission with a corrected function attach to this job, if it attached by what it does."""
        job = self._view.state.job
        if is_derived(job) and function.code.fingerprint:
            point_to(self._repository, job, name=derived_name(replace(job, type=function.type, code=function.code)))

    def pause(
        self, reason: str | None = None, *, resume_after: float | str | None = None, by: str | None = None
    ) -> None:
        """Let workers start no more of the tasks until `resume`, or for `resume_after` (seconds, or such as ``"10m"``).

        Workers learn of it within a second or two. Rows that they have claimed by then, about ten seconds of work, are
        still run. `by`: as in `cancel`. Raise `UsageError` if the job has ended.
        """
        reason, given_by = reason_of(reason), by_of(by)
        self._check_open("pause")
        until = None
        if resume_after is not None:
            until = from_now(resume_after, now=self._repository.now(), what="resume_after")
        self._order(control.pause, reason=reason, until=until, by=given_by)
        self._tell(ControlVerb.PAUSE, by=given_by, reason=reason)

    def resume(self, *, by: str | None = None) -> None:
        """End a pause, and tell the workers of the job once more.

        That helps as well when whoever resumed it before died half-way, or when somebody deleted its marker.
        `by`: as in `cancel`.
        """
        given_by = by_of(by)
        self._order(control.resume, by=given_by)
        self._tell(ControlVerb.RESUME, by=given_by)

    def reprioritize(self, priority: int | str, *, by: str | None = None) -> None:
        """Give what has not been claimed yet another priority: 0 to 255, or a name, such as ``"urgent"`` (see `oq.Options`).

        `by`: as in `cancel`. Raise `UsageError` if the job has ended.
        """
        chosen, given_by = priority_of(priority), by_of(by)
        self._check_open("reprioritize")
        self._order(control.reprioritize, chosen, by=given_by)
        self._tell(ControlVerb.REPRIORITIZE, by=given_by)

    def tag(
        self, tags: Mapping[str, str | None] | None = None, /, *, by: str | None = None, **more: str | None
    ) -> None:
        """Set tags, or remove those that are None: ``job.tag(team="risk", draft=None)``; also of a job that runs or has ended.

        Names that are no keywords go into a dict: ``job.tag({"cost centre": "7"})``. `by`: as in `cancel`. Raise
        `UsageError` for what is no text, and if the job would have more than 20 tags.
        """
        given_by, wanted = by_of(by), {**(tags or {}), **more}
        if not wanted:
            raise UsageError('no tag is given: job.tag(team="risk") sets one, job.tag(team=None) removes it')
        given = tags_of({name: "" if value is None else value for name, value in wanted.items()})
        self._order(control.tag, {name: None if wanted[name] is None else given[name] for name in given}, by=given_by)
        self._tell(ControlVerb.TAG, by=given_by)

    def delete(self, *, cancel: bool = False, by: str | None = None) -> None:
        """Delete the job with its inputs and results. Deleting it twice is fine. `by`: as in `cancel`.

        Raise `UsageError` if tasks have not ended, unless they are to be cancelled (`cancel`). From then on it is `UnknownJob` for
        everybody; jobs that depend on it take it for one that ended as it did. Its name and key are free again. In a versioned
        bucket, earlier versions stay until a lifecycle rule removes them (``oq retention``).
        """
        given_by = by_of(by)
        try:
            if cancel:
                self._order(control.cancel, reason="to be deleted", by=given_by)
            removed = delete_job(self._repository, self.id, by=given_by)
        except JobMissing:
            return
        if removed is None:
            raise UsageError(
                f"job {self.name or self.id!r} has tasks that have not ended, or that cannot be read here: wait for it, or "
                "pass cancel=True to cancel and delete it"
            )

    def _order(self, order: Callable[..., JobObject], *what: object, **more: object) -> None:
        """Give an order of `control`; raise `UnknownJob` if the job was deleted."""
        self._view.adopt(order(self._repository, self.id, *what, **more))

    def _check_open(self, verb: str) -> None:
        """Raise `UsageError` if the job, as the queue has it now, has ended."""
        self._view.reload()
        if self.done():
            raise UsageError(
                f"job {self.name or self.id!r} has ended ({self._view.state.status}): there is nothing to {verb}"
            )

    def _tell(self, verb: ControlVerb, *, by: str, n_tasks: int = 0, reason: str = "") -> None:
        job, now = self._view.state.job, self._repository.now
        self._connection.observers.tell(
            JobOrdered, lambda: JobOrdered(at=now(), job=job, verb=verb, n_tasks=n_tasks, reason=reason, by=by)
        )

    def _new_function(self, fn: Callable[..., object]) -> Function:
        function = function_of(fn, limits=self._repository.limits.task)
        if function.task is not None:
            check_function(self._collector.inputs()[0], Handler(function.task))
        if function.data is not None:
            put_code(self._repository, function.code, function.data)
        return function
