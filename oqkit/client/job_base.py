"""What all verbs of a job's handle stand on: which job it is, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Self

from oqkit.client.connection import Connection
from oqkit.client.diagnosis import WorkerWatch
from oqkit.client.join import Submitted
from oqkit.client.option import options_in, utc
from oqkit.client.result import ResultReader
from oqkit.errors import JobMissing, Missing
from oqkit.queue.job import Job as JobObject
from oqkit.queue.reconcile import Reconciler
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus, JobView
from oqkit.task.function import Options, TaskFunction
from oqkit.worker.interface import Inputs


class JobBase:
    """A job's identity and state; the queue is the truth."""

    def __init__(
        self,
        connection: Connection,
        job: JobObject,
        *,
        index: object = None,
        source: Submitted | None = None,
        function: TaskFunction | None = None,
    ) -> None:
        self._connection = connection
        self._repository = connection.repository
        self._view = JobView(self._repository, job)
        self._workers = WorkerWatch(self._repository)
        self._reconciler = Reconciler(self._repository)
        self._source = source
        self._function = function
        """What it was submitted with, here; None if it was submitted elsewhere, or by the name of its type."""
        self._collector = ResultReader(self._repository, connection.codec, self._view, index=index)

    @classmethod
    def of_id(cls, connection: Connection, job_id: str) -> Self:
        """Return the handle of a job, or raise `UnknownJob`."""
        try:
            return cls(connection, connection.repository.read_job(job_id).doc)
        except JobMissing as error:
            raise error.named(f"no job has the id {job_id!r} in {connection.url}") from None

    def __eq__(self, other: object) -> bool:
        """Whether both are handles of one job, however old what they know of it is."""
        if not isinstance(other, JobBase):
            return NotImplemented
        return self.id == other.id and self._connection == other._connection

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Connection, str]]:
        return type(self).of_id, (self._connection, self.id)

    @property
    def id(self) -> str:
        """The job's id in its queue."""
        return self._view.state.job.id

    @property
    def name(self) -> str:
        """The name it was given, or got from its function and content; empty for a single task."""
        return self._view.state.job.name

    @property
    def type(self) -> str:
        """The task type."""
        return self._view.state.job.type

    @property
    def tags(self) -> dict[str, str]:
        """The tags that it has."""
        return dict(self._view.state.job.tags)

    @property
    def options(self) -> Options:
        """The options that hold for its tasks, with those of the task type and the defaults; durations in seconds.

        `at` is the moment before which none starts, whether it was given as `at` or as `delay`.
        """
        return options_in(self._view.state.job)

    @property
    def created(self) -> datetime:
        """When it was submitted, in UTC by the store's clock."""
        return utc(self._view.state.job.created)

    def __len__(self) -> int:
        return self._view.state.job.n_tasks

    def __repr__(self) -> str:
        told = ", ".join(f"{n:,} {status}" for status, n in self._known_counts().items() if n)
        why = f"; {said}" if (said := self._workers.said(self._view.state)) else ""
        return f"<oqkit job {self.name or self.id!r}: {len(self):,} {self.type!r} tasks, {told or 'none'}{why}>"

    @property
    def status(self) -> str:
        """One of `oqkit.client.queue.JOB_STATUSES`: unreadable if the state of some tasks is. Asks the queue."""
        self._refresh()
        return str(self._view.state.status)

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in each status, "blocked" or "unreadable"; sums to ``len(job)``. Asks the queue.

        Of a job of ``map(key=)`` the items of its call are counted, also those that are tasks of other jobs.
        """
        return self._own_counts()

    def _own_counts(self) -> dict[str, int]:
        """Return how many of its own tasks are in each status."""
        self._refresh()
        return self._known_counts()

    def _inputs(self, part: int) -> Inputs:
        """Read the inputs of a part; raise `UnknownJob` if the job was deleted, and what `Codec.open` raises."""
        try:
            return self._connection.codec.open(self._view.state.job, part)
        except Missing:
            self._view.check_there(after_s=0.0)
            raise

    def _refresh(self) -> None:
        """Ask the queue what changed, and do what the job needs so that it is not stuck."""
        self._view.refresh()
        if self._reconciler.look(self._view.state):
            self._view.refresh()

    def _known_counts(self) -> dict[str, int]:
        state = self._view.state
        known = {status.value: n for status, n in state.counts().items()}
        if state.is_blocked:
            known |= {JobStatus.BLOCKED.value: known[Status.PENDING], Status.PENDING.value: 0}
        return {**known, JobStatus.UNREADABLE.value: state.n_unreadable} if state.n_unreadable else known

    def _has_ended(self) -> bool:
        """Whether there is nothing more to wait for, for all that can be read here. Asks the queue."""
        self._refresh()
        return self._view.state.has_ended

    def done(self) -> bool:
        """Whether every task has ended. Asks the queue."""
        self._refresh()
        return self._view.state.is_final

    def why(self) -> str:
        """Return why nothing happens to the job, and what to do about it; empty while tasks run. Asks the queue.

        What workers say that are there and leave it alone comes first: that they run another Python, may not load the
        function, have another version of it, cannot read the inputs.
        """
        state = self._view.refresh()
        return self._workers.why(state) or self._workers.why(state, patience_s=0.0, has_refused=True)
