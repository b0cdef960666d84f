"""The verbs of `Queue` that find jobs and tasks, and tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from oqkit.client.connection import Connection
from oqkit.client.handle import Job
from oqkit.client.items_job import handle_of
from oqkit.client.option import parse_time, short_text, tags_of, whole
from oqkit.client.queue_status import QueueStatus, queue_status
from oqkit.client.shown_time import shown_times
from oqkit.client.single import Task
from oqkit.errors import JobMissing, UnknownJob, UsageError, one_of
from oqkit.queue import key as keys
from oqkit.queue.firing import named_slot
from oqkit.queue.history import history
from oqkit.queue.listing import Filter, ListedJob, newest_jobs
from oqkit.queue.submission import JOB_SCOPE, latest
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus, JobView
from oqkit.queue.worker_record import WorkerRecord, workers

JOB_STATUSES = tuple(status.value for status in JobStatus)
JOB_COLUMNS = ("name", "type", "status", "tasks", *(status.value for status in Status), "created")


class QueueFinding(Connection):
    """Finds what is in the queue; changes nothing."""

    def job(self, id_or_name: str | Job | Task) -> Job:
        """Return a job by its id or name (of several of one name the newest), or raise `UnknownJob`.

        The id of a task that is the only one of its job does as well, and so do handles: what takes a job takes such a task.
        """
        if isinstance(id_or_name, str) and keys.is_job_id(id_or_name.rpartition(".")[0]):
            id_or_name = self.get(id_or_name)
        if isinstance(id_or_name, (Job, Task)):
            return id_or_name if isinstance(id_or_name, Job) else id_or_name._only()  # noqa: SLF001 - a half of the handle
        text = short_text(id_or_name, what="id_or_name")
        unknown = UnknownJob(f"no job has the id or name {text!r} in {self.url}; oq.jobs() lists the newest")
        if keys.is_job_id(text):
            try:
                return handle_of(self, self.repository.read_job(text).doc)
            except JobMissing as error:
                unknown = error.named(str(unknown))
        _, found = latest(self.repository, JOB_SCOPE, text)
        found = found or named_slot(self.repository, text)
        if found is None:
            raise unknown
        return handle_of(self, found)

    def get(self, task_id: str) -> Task:
        """Return a task by its id, or raise `UnknownJob`."""
        return Task.of_id(self, task_id)

    def jobs(
        self,
        status: str | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        tags: Mapping[str, str] | None = None,
        since: object = None,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return the newest `limit` jobs that all filters admit, newest first, as a frame.

        In three listings and three reads for each job that is asked for, however many there are. Open jobs of a type, and jobs
        with tags, are found wherever they are; those that ended, and a status, among the newest ``2 * limit`` jobs at
        least. ``frame.attrs["is_complete"]`` says whether older ones may have been left out: a larger `limit` looks further.

        Columns: name, type, status, tasks, the count in each status, created (UTC); the index is the
        job id. `since` is a datetime with a time zone or epoch seconds. Of a job whose objects cannot be
        read the status is ``unreadable: `` and why; what is not known of it is NaN.
        """
        n_most = whole(limit, what="limit", low=1, high=10**6)
        if status is not None and status not in JOB_STATUSES:
            raise UsageError(f"status={status!r} must be {one_of([repr(one) for one in JOB_STATUSES])}")
        after = None if since is None else parse_time(since, what="since")
        wanted = Filter(
            type=None if type is None else keys.check_type(type),
            tags=tags_of(tags or {}),
            since=after,
            status=None if status is None else JobStatus(status),
        )
        listed = newest_jobs(self.repository, limit=n_most, wanted=wanted)
        rows = self.repository.map(self._job_row, listed.jobs)
        frame = pd.DataFrame.from_records([row for _, row in rows], columns=list(JOB_COLUMNS))
        frame.index = pd.Index([job_id for job_id, _ in rows], name="job", dtype=object)
        frame["created"] = shown_times(frame["created"])
        frame.attrs["is_complete"] = listed.is_complete
        return frame

    def _job_row(self, listed: ListedJob) -> tuple[str, tuple[Any, ...]]:
        if listed.job is None:
            unknown = [float("nan")] * len(Status)
            told = f"{JobStatus.UNREADABLE}: {listed.why}"
            return listed.id, ("", "", told, float("nan"), *unknown, listed.created or float("nan"))
        job, state = listed.job, listed.state or JobView(self.repository, listed.job).refresh()
        counts, why = state.counts(), state.why_unreadable
        told = f"{JobStatus.UNREADABLE}: {why}" if why else str(state.status)
        return job.id, (job.name, job.type, told, job.n_tasks, *(counts[s] for s in Status), job.created)

    def workers(self) -> pd.DataFrame:
        """Return one row a worker that ever reported: host, pid, types, rows, requests, started, seen, stopped, python, refusals.

        `refusals` is a list of what it found and leaves alone: the function or job, and why.
        `requests` is a dict of counts by kind; of a record that cannot be read `host` says why. A worker reports when
        it starts and stops, every minute while it has work and every ten minutes while it has none.
        """
        records = [
            {**asdict(one), "refusals": [f"{each.subject}: {each.hurdle} {each.detail}" for each in one.refusals]}
            if isinstance(one, WorkerRecord)
            else {"name": one.name, "host": f"{JobStatus.UNREADABLE}: {one.why}"}
            for one in workers(self.repository)
        ]
        names = [field.name for field in fields(WorkerRecord)]
        names = [name for name in names if name not in {"magic", "every_s"}]
        frame = pd.DataFrame.from_records(records, columns=names).set_index("name")
        for column in ("started", "seen"):
            frame[column] = shown_times(frame[column])
        return frame.rename(columns={"n_rows": "rows", "is_stopped": "stopped"})

    def status(self) -> QueueStatus:
        """Return how the queue is: open jobs by type, what is paused by whom and why, workers, and types that none is there for.

        It shows itself as a few lines. In a number of requests that is bounded, however much there is.
        """
        return queue_status(self.repository)

    def history(self, task_id: str | Task | Job) -> pd.DataFrame:
        """Return what happened to a task, oldest first: at (UTC), status, attempt, worker, note, by.

        `by` is who gave the order that led to it; orders to the whole job, such as a pause, are steps too.

        A job of one task, by its handle, id or name, does as well as the task. Complete where the store keeps versions (a directory, a versioned bucket); elsewhere the last
        transitions of the task's part.
        """
        if isinstance(task_id, str) and keys.is_job_id(task_id.rpartition(".")[0]):
            task_id = self.get(task_id)
        task = task_id if isinstance(task_id, Task) else self._only_task(self.job(task_id))
        steps = history(self.repository, self.repository.read_job(task.job.id).doc, task.row)
        records = [(step.at, step.status.value, step.attempt, step.worker, step.note, step.by) for step in steps]
        frame = pd.DataFrame.from_records(records, columns=["at", "status", "attempt", "worker", "note", "by"])
        frame["at"] = shown_times(frame["at"])
        frame["attempt"] = frame["attempt"].astype("Int64")
        return frame

    def _only_task(self, job: Job) -> Task:
        if len(job) != 1:
            raise UsageError(
                f"job {job.name or job.id!r} has {len(job):,} tasks: give the id of one, such as {keys.task_id(job.id, 0)!r}"
            )
        return self.get(keys.task_id(job.id, 0))
