"""What ``df.oq`` gives of a frame of pandas or polars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oqkit.client.connect import default_queue
from oqkit.client.handle import Job
from oqkit.client.job_collect import Errors
from oqkit.client.queue import Queue


class FrameAccessor:
    """Puts a frame to work in a queue."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def submit(self, fn: Callable[..., object] | str, *, queue: Queue | None = None, **options: Any) -> Job:
        """Submit the frame as `Queue.submit_frame` does, to the default queue or `queue`, and return the job."""
        return (queue or default_queue()).submit_frame(self._frame, fn, **options)

    def apply(
        self,
        fn: Callable[..., object] | str,
        *,
        queue: Queue | None = None,
        errors: Errors = "raise",
        join: bool = False,
        **options: Any,
    ) -> Any:
        """Submit the frame, wait, and return what `Job.result` does: a frame of the results, or with ``join=True`` the columns with them.

        Running this again attaches to the job that is there, as `submit_frame` does.
        """
        return self.submit(fn, queue=queue, **options).result(errors=errors, join=join)
