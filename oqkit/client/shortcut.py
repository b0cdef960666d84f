"""The verbs of `Queue` on the default queue: ``oq.submit_frame(df, score)``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from oqkit.client.connect import default_queue
from oqkit.client.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")


def _on_default(method: Callable[[Queue], Callable[P, R]], name: str) -> Callable[P, R]:
    @functools.wraps(getattr(Queue, name))
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(default_queue())(*args, **kwargs)

    return call


submit = _on_default(lambda queue: queue.submit, "submit")
map = _on_default(lambda queue: queue.map, "map")  # noqa: A001 - the word of the contract
submit_many = _on_default(lambda queue: queue.submit_many, "submit_many")
submit_frame = _on_default(lambda queue: queue.submit_frame, "submit_frame")
submit_dataset = _on_default(lambda queue: queue.submit_dataset, "submit_dataset")
get = _on_default(lambda queue: queue.get, "get")
job = _on_default(lambda queue: queue.job, "job")
jobs = _on_default(lambda queue: queue.jobs, "jobs")
history = _on_default(lambda queue: queue.history, "history")


__all__ = ["get", "history", "job", "jobs", "map", "submit", "submit_dataset", "submit_frame", "submit_many"]
