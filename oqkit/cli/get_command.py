"""``oq get``: what is known of a task."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Facts
from oqkit.cli.argument import add_task
from oqkit.client.queue import Queue

arguments = add_task


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show where it stands, since when, and its last error."""
    task = queue.get(options.task)
    error, progress = task.error() or {}, task.progress
    return Facts(
        now=queue.repository.now(),
        facts={
            "id": task.id,
            "job": task.job.name or task.job.id,
            "row": task.row,
            "type": task.job.type,
            "status": task.status,
            "progress": None if progress is None else str(progress),
            "attempt": task.attempt,
            "reschedules": task.reschedules,
            "created": task.created,
            "started": task.started,
            "completed": task.completed,
            "tags": task.tags,
            "error": f"{error['type']}: {error['message']}" if error else None,
            "traceback": error.get("traceback"),
        },
    )
