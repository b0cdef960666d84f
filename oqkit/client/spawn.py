"""What a running function submits: `ctx.spawn`, as its worker carries it out."""

from __future__ import annotations

from dataclasses import replace

from oqkit.client.connection import Connection
from oqkit.client.duplicate import input_digest
from oqkit.client.keyed import SubmissionKey
from oqkit.client.spec import Function
from oqkit.client.values_spec import spec_of_values
from oqkit.queue.job import Job
from oqkit.queue.key import task_id
from oqkit.task.request import Spawn


class QueueSpawner:
    """Submits calls to a queue on behalf of running tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, request: Spawn, parent: str, job: Job) -> str:
        """Submit a call for the task `parent` of a job, or find it submitted; return the id of its task."""
        function = Function(type=request.type, code=request.code, data=request.data)
        limits, timer = self._connection.repository.limits, self._connection.timer
        spec = spec_of_values([request.input], function, part_rows=1, timer=timer, limits=limits)
        spec = replace(spec, content=input_digest(request.input))
        key = SubmissionKey(text=request.key, scope=request.scope, ttl_s=None)
        root = job.root or job.id
        stored = self._connection.submitter.submit_single(spec, request.options, key=key, parent=parent, root=root)
        return task_id(stored.id, 0)
