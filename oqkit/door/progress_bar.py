"""`progress`: a bar for what is waited for, in the manner of tqdm."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from oqkit.client.handle import Job
from oqkit.client.several import as_completed
from oqkit.client.single import Task
from oqkit.client.stream import AsCompleted
from oqkit.client.wait import limit_s
from oqkit.errors import UsageError

# ruff: noqa: SLF001 - a bar shows what a handle knows

T = TypeVar("T")
One = TypeVar("One", Job, Task, "Future[Any]")


@overload
def progress(what: One, *, timeout: float | str | None = None, **bar: Any) -> One: ...
@overload
def progress(what: Iterable[T], *, timeout: float | str | None = None, **bar: Any) -> Iterator[T]: ...
def progress(what: Any, *, timeout: float | str | None = None, **bar: Any) -> Any:
    """Show a bar, as `tqdm.auto.tqdm` does, whose options `bar` are (``desc``, ``unit``, ``total``, ``disable``, …).

    ``for job in oq.progress(jobs)`` takes a list of jobs, tasks or futures, and gives each of them once it has ended, in their
    order; the bar shows how many have ended, the first ones or not. ``oq.progress(oq.as_completed(jobs))`` gives them as they end,
    ``oq.progress(job.as_completed())`` the frames of a job, with a bar of its tasks. Any other iterable is what it is to tqdm.

    ``oq.progress(job)`` waits for one job, task or future, and returns it; the bar of a job is that of `Job.wait`.
    Raise `TimeoutError` if a wait takes more than `timeout` seconds.
    """
    if isinstance(what, Job):
        if bar:
            raise UsageError(
                f"a job has a bar of its own: leave out {', '.join(bar)}, or pass a list, oq.progress([job])"
            )
        return what.wait(limit_s(timeout), progress=True)
    if isinstance(what, (Task, Future)):
        return next(_in_order([what], timeout, bar))
    if isinstance(what, AsCompleted):
        return _frames(what, bar)
    items = list(what) if isinstance(what, Collection) else []
    if items and all(isinstance(one, (Job, Task, Future)) for one in items):
        return _in_order(items, timeout, bar)
    if timeout is not None:
        raise UsageError("timeout= is for lists of jobs, tasks or futures: give it to what you iterate")
    return iter(_drawn(what, **bar))


def _in_order(items: Sequence[Any], timeout: float | str | None, bar: dict[str, Any]) -> Iterator[Any]:
    distinct, ended, place = list(dict.fromkeys(items)), set[Any](), 0
    with _drawn(total=len(distinct), **bar) as drawn:
        for one in _as_ended(distinct, timeout):
            drawn.update()
            ended.add(one)
            while place < len(items) and items[place] in ended:
                yield items[place]
                place += 1


def _as_ended(items: Sequence[Any], timeout: float | str | None) -> Iterable[Any]:
    if all(isinstance(one, Future) for one in items):
        return concurrent.futures.as_completed(items, limit_s(timeout))
    return as_completed(items, timeout)


def _frames(frames: AsCompleted, bar: dict[str, Any]) -> Iterator[Any]:
    with _drawn(**{"total": frames._view.state.job.n_tasks, "unit": " tasks", **bar}) as drawn:
        for frame in frames:
            drawn.update(len(frame))
            yield frame


def _drawn(*iterable: Any, **options: Any) -> Any:
    from tqdm.auto import tqdm  # 0.1 s at import, only needed where somebody looks

    return tqdm(*iterable, **{"dynamic_ncols": True, **options})
