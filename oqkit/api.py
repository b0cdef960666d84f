"""The public names, in groups; each is a name of ``oqkit``, which imports this at the first use of one."""

from __future__ import annotations

# the queue
from oqkit.client.connect import connect, default_queue

# handles
from oqkit.client.handle import Job
from oqkit.client.queue import Queue
from oqkit.client.queue_trace import Trace
from oqkit.client.several import as_completed, wait_all, wait_any

# on the default queue
from oqkit.client.shortcut import (
    cancel,
    delete_schema,
    gather,
    gc,
    get,
    get_schedule,
    get_schema,
    history,
    job,
    jobs,
    map,  # noqa: A004 - the word of the contract
    on_attach,
    on_order,
    on_submit,
    outbox,
    outbox_relay,
    outbox_setup,
    pause,
    pause_schedule,
    publish_schema,
    reprioritize,
    reshard,
    resume,
    resume_schedule,
    retention,
    retry,
    schedule,
    schedules,
    schemas,
    status,
    submit,
    submit_dataset,
    submit_frame,
    submit_many,
    trace,
    trigger,
    unschedule,
    validate,
    workers,
)
from oqkit.client.single import Task
from oqkit.client.stream import AsCompleted

# familiar doors
from oqkit.door.progress_bar import progress
from oqkit.door.task_executor import Executor
from oqkit.door.task_future import TaskFuture

# errors
from oqkit.errors import (
    Denied,
    DuplicateJob,
    FormatError,
    IllegalTransition,
    JobFailed,
    LeaseLost,
    Missing,
    OqError,
    PartlySubmitted,
    PermanentError,
    QueueFull,
    Reschedule,
    SchemaError,
    Skip,
    StoreError,
    TaskError,
    Unavailable,
    UnknownJob,
    UnknownQueue,
    UnknownTask,
    Unsupported,
    UsageError,
    WaitTimeout,
)

# work
from oqkit.launch.local import LocalWorkers, Worker, local_workers

# the notebook
from oqkit.notebook.display import board
from oqkit.notebook.magic import load_ipython_extension
from oqkit.queue.policy import Backoff

# functions
from oqkit.task.content import content_of
from oqkit.task.context import Context
from oqkit.task.function import Options, task

__all__ = [
    "AsCompleted",
    "Backoff",
    "Context",
    "Denied",
    "DuplicateJob",
    "Executor",
    "FormatError",
    "IllegalTransition",
    "Job",
    "JobFailed",
    "LeaseLost",
    "LocalWorkers",
    "Missing",
    "Options",
    "OqError",
    "PartlySubmitted",
    "PermanentError",
    "Queue",
    "QueueFull",
    "Reschedule",
    "SchemaError",
    "Skip",
    "StoreError",
    "Task",
    "TaskError",
    "TaskFuture",
    "Trace",
    "Unavailable",
    "UnknownJob",
    "UnknownQueue",
    "UnknownTask",
    "Unsupported",
    "UsageError",
    "WaitTimeout",
    "Worker",
    "as_completed",
    "board",
    "cancel",
    "connect",
    "content_of",
    "default_queue",
    "delete_schema",
    "gather",
    "gc",
    "get",
    "get_schedule",
    "get_schema",
    "history",
    "job",
    "jobs",
    "load_ipython_extension",
    "local_workers",
    "map",
    "on_attach",
    "on_order",
    "on_submit",
    "outbox",
    "outbox_relay",
    "outbox_setup",
    "pause",
    "pause_schedule",
    "progress",
    "publish_schema",
    "reprioritize",
    "reshard",
    "resume",
    "resume_schedule",
    "retention",
    "retry",
    "schedule",
    "schedules",
    "schemas",
    "status",
    "submit",
    "submit_dataset",
    "submit_frame",
    "submit_many",
    "task",
    "trace",
    "trigger",
    "unschedule",
    "validate",
    "wait_all",
    "wait_any",
    "workers",
]
