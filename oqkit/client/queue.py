"""`Queue`: what a person or program does with a queue. All verbs but `workers` also exist as ``oq.<name>``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal

import pandas as pd

from oqkit.client.duplicate import input_digest
from oqkit.client.handle import Job
from oqkit.client.single import Task
from oqkit.client.spec import (
    JobSpec,
    parse_time,
    spec_of_dataset,
    spec_of_frame,
    spec_of_values,
    whole,
)
from oqkit.client.submit import Submitter
from oqkit.config import Settings
from oqkit.errors import Missing, UnknownJob, UsageError, one_of
from oqkit.observe.observer import Listener, Observer, Observers
from oqkit.payload.access import Access
from oqkit.payload.codec import ParquetCodec
from oqkit.queue import key as keys
from oqkit.queue.history import history
from oqkit.queue.job import Job as JobObject
from oqkit.queue.listing import ListedJob, newest_jobs
from oqkit.queue.repository import Repository
from oqkit.queue.submission import JOB_SCOPE, latest
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus, JobView
from oqkit.queue.worker_record import WorkerRecord, workers
from oqkit.task.function import Options, options_of
from oqkit.task.timer import RowTimer

OnDuplicate = Literal["attach", "rerun", "raise"]

JOB_STATUSES = tuple(status.value for status in JobStatus)
JOB_COLUMNS = ("name", "type", "status", "tasks", *(status.value for status in Status), "created")


class Queue:
    """One queue, in a bucket or a directory. Get one from `oq.connect`."""

    def __init__(self, repository: Repository, settings: Settings, *, observers: Iterable[Observer] = ()) -> None:
        self.repository = repository
        self.settings = settings
        self.access = Access.of(settings)
        """What this process may read outside of the queue, for jobs that ask for it."""
        self._codec = ParquetCodec(repository, self.access)
        self._timer = RowTimer(repository.limits.task)
        self.observers = Observers(map(Listener, observers))
        """Who is told what this process does with the queue."""
        self._submitter = Submitter(repository, self.observers)

    @property
    def url(self) -> str:
        """Where the queue is."""
        return self.repository.store.url

    def __repr__(self) -> str:
        return f"<oqkit queue {self.url}>"

    # --- submitting ------------------------------------------------------------------------------

    def submit(
        self,
        fn: Callable[..., object] | str,
        input: object = None,  # noqa: A002 - the word of the contract
        *,
        key: str | None = None,
        retries: int | None = None,
        timeout: float | str | None = None,
        **options: object,
    ) -> Task:
        """Submit one call, and return its `Task` once it is stored for good.

        `fn` is a function, or the name of a task type. `input` is a value of Python's own types, or of numpy's: a dict whose keys are
        the parameters is passed by keyword, anything else as the only argument. With `key` the same
        call is submitted once however often this runs, whatever becomes of the function's code and the
        options; the same key with another input raises `DuplicateJob`, which names what differs. An input
        that does not fit the function raises `SchemaError`. Options: see `oq.Options`.
        """
        chosen = options_of({"retries": retries, "timeout": timeout, **options})
        spec = spec_of_values([input], fn, part_rows=1, timer=self._timer, limits=self.repository.limits)
        if key is not None:
            spec = replace(spec, content=input_digest(input))
        job = self._submitter.submit_single(spec, chosen, key=None if key is None else _text(key, "key"))
        return Task(self.repository, job, codec=self._codec, observers=self.observers)

    def map(
        self,
        fn: Callable[..., object] | str,
        inputs: Iterable[object],
        *,
        name: str | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        **options: object,
    ) -> Job:
        """Submit one call for each of `inputs` (as in `submit`) as one job."""
        spec = spec_of_values(_many(inputs), fn, part_rows=part_rows, timer=self._timer, limits=self.repository.limits)
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    submit_many = map

    def submit_frame(
        self,
        df: object,
        fn: Callable[..., object] | str,
        *,
        name: str | None = None,
        columns: Sequence[object] | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        **options: object,
    ) -> Job:
        """Submit one task for each row of `df`, and return the job once it is stored for good.

        `df` is a pandas or polars frame, or anything with the Arrow C stream interface. A row function
        takes columns by parameter name; a batch function takes slices of the frame (of `columns`, or
        all). Submitting the same function, content and options again attaches to the job that is there,
        whether it runs or has ended; ``on_duplicate="rerun"`` runs it once more, ``"raise"`` raises
        `DuplicateJob`, and so does a `name` that is taken by other work, or by what cannot be compared. `part_rows` is how many
        tasks share a state object, `max_tasks` a limit against mistakes. Options: see `oq.Options`.
        """
        spec = spec_of_frame(
            df, fn, columns=columns, part_rows=part_rows, timer=self._timer, limits=self.repository.limits
        )
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    def submit_dataset(
        self,
        paths: str | Sequence[str],
        fn: Callable[..., object] | str,
        *,
        name: str | None = None,
        columns: Sequence[str] | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        storage_options: Mapping[str, object] | None = None,
        **options: object,
    ) -> Job:
        """Submit one task for each row of Parquet files, whose rows do not pass through this process.

        `paths` is a path, glob or folder, or a list of them, wherever `fsspec` reaches: ``s3://``, local,
        ``gs://``, ... All files have the same columns. Workers read the files themselves, as
        `pandas.read_parquet` gives them, so they must reach them under the same paths; a file that has been
        written anew since is refused. How files are reached is for each machine's own configuration to say: in S3
        with the endpoint, region and profile of its queue, elsewhere with what its `data_roots` say. Workers that
        do not trust code from the queue read the bucket of the queue and their data roots, and nothing else.
        `storage_options` are stored in the job; they may be ``anon`` and ``requester_pays``. Results are indexed
        by the row number over all files. The rest is as in `submit_frame`.

        All slices of a batch function have the same dtypes: of an int or bool column those of the whole, or Int64 or
        boolean where the files do not say whether it has nulls; a categorical column comes as its values.
        """
        spec = spec_of_dataset(
            paths,
            fn,
            columns=columns,
            part_rows=part_rows,
            timer=self._timer,
            limits=self.repository.limits,
            storage_options=storage_options or {},
            access=self.access,
        )
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    def _submit(
        self, spec: JobSpec, options: Options, *, name: str | None, on_duplicate: str, max_tasks: int | None
    ) -> Job:
        if on_duplicate not in {"attach", "rerun", "raise"}:
            raise UsageError(f"on_duplicate={on_duplicate!r} must be 'attach', 'rerun' or 'raise'")
        if max_tasks is not None and spec.n_tasks > whole(max_tasks, what="max_tasks", low=0, high=10**18):
            raise UsageError(f"{spec.n_tasks:,} tasks are more than max_tasks={max_tasks:,}; raise it if you mean it")
        job = self._submitter.submit_job(
            spec, options, name=None if name is None else _text(name, "name"), on_duplicate=on_duplicate
        )
        return self._handle(job, spec)

    def _handle(self, job: JobObject, spec: JobSpec | None = None) -> Job:
        return Job(
            self.repository,
            job,
            index=None if spec is None else spec.index,
            source=None if spec is None else spec.source,
            codec=self._codec,
            timer=self._timer,
            observers=self.observers,
        )

    # --- finding ---------------------------------------------------------------------------------

    def job(self, id_or_name: str) -> Job:
        """Return a job by its id or name (of several of one name the newest), or raise `UnknownJob`."""
        text = _text(id_or_name, "id_or_name")
        if keys.is_job_id(text):
            try:
                return self._handle(self.repository.read_job(text).doc)
            except Missing:
                pass
        _, found = latest(self.repository, JOB_SCOPE, text)
        if found is None:
            raise UnknownJob(f"no job has the id or name {text!r} in {self.url}; oq.jobs() lists the newest")
        return self._handle(found)

    def get(self, task_id: str) -> Task:
        """Return a task by its id, or raise `UnknownJob`."""
        job_id, row = keys.parse_task_id(task_id)
        try:
            job = self.repository.read_job(job_id).doc
        except Missing:
            raise UnknownJob(f"no task has the id {task_id!r} in {self.url}") from None
        return Task(self.repository, job, row, codec=self._codec, observers=self.observers)

    def jobs(
        self,
        status: str | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        tags: Mapping[str, str] | None = None,
        since: object = None,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return the newest `limit` jobs, newest first, as a frame; the filters choose among those.

        Columns: name, type, status, tasks, the count in each status, created (UTC); the index is the
        job id. `since` is a datetime with a time zone or epoch seconds. Of a job whose objects cannot be
        read the status is ``unreadable: `` and why; what is not known of it is NaN.
        """
        whole(limit, what="limit", low=1, high=10**6)
        if status is not None and status not in JOB_STATUSES:
            raise UsageError(f"status={status!r} must be {one_of([repr(one) for one in JOB_STATUSES])}")
        after = None if since is None else parse_time(since, what="since")
        jobs = newest_jobs(self.repository, limit=limit)
        wanted = [job for job in jobs if _matches(job, type=type, tags=tags or {}, since=after)]
        rows = [self._job_row(job) for job in wanted]
        frame = pd.DataFrame.from_records([row for _, row in rows], columns=list(JOB_COLUMNS))
        frame.index = pd.Index([job_id for job_id, _ in rows], name="job", dtype=object)
        frame["created"] = pd.to_datetime(frame["created"].astype("float64"), unit="s", utc=True).dt.floor("ms")
        return frame if status is None else frame[frame["status"].str.partition(":")[0] == status]

    def _job_row(self, listed: ListedJob) -> tuple[str, tuple[Any, ...]]:
        if listed.job is None:
            unknown = [float("nan")] * len(Status)
            told = f"{JobStatus.UNREADABLE}: {listed.why}"
            return listed.id, ("", "", told, float("nan"), *unknown, listed.created or float("nan"))
        job, state = listed.job, JobView(self.repository, listed.job).refresh()
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
            frame[column] = pd.to_datetime(frame[column].astype("float64"), unit="s", utc=True).dt.floor("ms")
        return frame.rename(columns={"n_rows": "rows", "is_stopped": "stopped"})

    def history(self, task_id: str) -> pd.DataFrame:
        """Return what happened to a task, oldest first: at (UTC), status, attempt, worker, note.

        Complete where the store keeps versions (a directory, a versioned bucket); elsewhere the last
        transitions of the task's part.
        """
        task = self.get(task_id)
        steps = history(self.repository, self.repository.read_job(task.job.id).doc, task.row)
        records = [(step.at, step.status.value, step.attempt, step.worker, step.note) for step in steps]
        frame = pd.DataFrame.from_records(records, columns=["at", "status", "attempt", "worker", "note"])
        frame["at"] = pd.to_datetime(frame["at"], unit="s", utc=True).dt.floor("ms")
        frame["attempt"] = frame["attempt"].astype("Int64")
        return frame


def _many(inputs: object) -> Iterable[Any]:
    """Return `inputs`, unless iterating over them would give something else than one input for each task."""
    if hasattr(inputs, "columns"):
        raise UsageError(f"a {type(inputs).__name__} goes to submit_frame(df, fn)")
    if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise UsageError(
            f"a {type(inputs).__name__} is not a list of inputs: map wants one for each task, submit takes a single one"
        )
    return inputs


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 512:  # noqa: PLR2004
        raise UsageError(f"{what}={value!r:.80} must be text of 1 to 512 characters")
    return value


def _matches(listed: ListedJob, *, type: str | None, tags: Mapping[str, str], since: Any) -> bool:  # noqa: A002
    """Whether a job is wanted; one that cannot be read may be of any type and have any tags."""
    job = listed.job
    if since is not None and listed.created < since:
        return False
    if job is None:
        return True
    if type is not None and job.type != type:
        return False
    return all(job.tags.get(name) == value for name, value in tags.items())
