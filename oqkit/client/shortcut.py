"""The verbs of `Queue` on the default queue: ``oq.submit_frame(df, score)``. A line for each; a test names a missing one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from oqkit.client.connect import default_queue
from oqkit.client.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")


def _on_default(verb: Callable[[Queue], Callable[P, R]]) -> Callable[P, R]:
    @functools.wraps(verb(cast("Queue", Queue)))  # asked of the class, it is the function with its name and docstring
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return verb(default_queue())(*args, **kwargs)

    return call


# submitting
submit = _on_default(lambda queue: queue.submit)
map = _on_default(lambda queue: queue.map)  # noqa: A001 - the word of the contract
submit_many = _on_default(lambda queue: queue.submit_many)
submit_frame = _on_default(lambda queue: queue.submit_frame)
submit_dataset = _on_default(lambda queue: queue.submit_dataset)
gather = _on_default(lambda queue: queue.gather)

outbox = _on_default(lambda queue: queue.outbox)
outbox_setup = _on_default(lambda queue: queue.outbox_setup)
outbox_relay = _on_default(lambda queue: queue.outbox_relay)

# steering
cancel = _on_default(lambda queue: queue.cancel)
retry = _on_default(lambda queue: queue.retry)
reprioritize = _on_default(lambda queue: queue.reprioritize)
pause = _on_default(lambda queue: queue.pause)
resume = _on_default(lambda queue: queue.resume)

# finding
get = _on_default(lambda queue: queue.get)
job = _on_default(lambda queue: queue.job)
jobs = _on_default(lambda queue: queue.jobs)
history = _on_default(lambda queue: queue.history)
status = _on_default(lambda queue: queue.status)
workers = _on_default(lambda queue: queue.workers)
trace = _on_default(lambda queue: queue.trace)

# scheduling
schedule = _on_default(lambda queue: queue.schedule)
schedules = _on_default(lambda queue: queue.schedules)
get_schedule = _on_default(lambda queue: queue.get_schedule)
unschedule = _on_default(lambda queue: queue.unschedule)
trigger = _on_default(lambda queue: queue.trigger)
pause_schedule = _on_default(lambda queue: queue.pause_schedule)
resume_schedule = _on_default(lambda queue: queue.resume_schedule)

# keeping
reshard = _on_default(lambda queue: queue.reshard)
gc = _on_default(lambda queue: queue.gc)
retention = _on_default(lambda queue: queue.retention)

# schemas
publish_schema = _on_default(lambda queue: queue.publish_schema)
get_schema = _on_default(lambda queue: queue.get_schema)
schemas = _on_default(lambda queue: queue.schemas)
delete_schema = _on_default(lambda queue: queue.delete_schema)
validate = _on_default(lambda queue: queue.validate)

# hooks
on_submit = _on_default(lambda queue: queue.on_submit)
on_attach = _on_default(lambda queue: queue.on_attach)
on_order = _on_default(lambda queue: queue.on_order)
