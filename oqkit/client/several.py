"""Waiting for several jobs or tasks at once: for all of them, for the first one, or for each as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TypeVar

from oqkit.client.handle import Job
from oqkit.client.pace import Pace
from oqkit.client.single import Task
from oqkit.client.wait import limit_s
from oqkit.errors import Unavailable, UsageError, WaitTimeout
from oqkit.printable import printable

# ruff: noqa: SLF001 - what waits for handles is a part of them

H = TypeVar("H", Job, Task)


def wait_all(jobs: Iterable[H], timeout: float | str | None = None) -> list[H]:
    """Wait until all of some jobs or tasks have ended, however they ended, and return them in the order given.

    Raise `WaitTimeout` after `timeout` seconds, which names those that have not. Nobody stops working because of it.
    """
    handles = list(jobs)
    for _ in as_completed(handles, timeout):
        pass
    return handles


def wait_any(jobs: Iterable[H], timeout: float | str | None = None) -> H:
    """Wait until one of some jobs or tasks has ended, and return it; of several, the first in the order given.

    Raise `WaitTimeout` after `timeout` seconds, and `UsageError` if there is none to wait for.
    """
    for handle in as_completed(jobs, timeout):
        return handle
    raise UsageError("wait_any([]): there is nothing to wait for")


def as_completed(jobs: Iterable[H], timeout: float | str | None = None) -> EndedJobs[H]:
    """Iterate jobs or tasks as they end, each once, by ``for`` or ``async for``; raise `WaitTimeout` as `wait_all` does."""
    return EndedJobs(jobs, timeout)


class EndedJobs(Iterable[H]):
    """Handles of jobs or tasks, as they end."""

    def __init__(self, jobs: Iterable[H], timeout: float | str | None) -> None:
        self._handles: list[H] = list(jobs)
        strange = next((one for one in self._handles if not isinstance(one, (Job, Task))), None)
        if strange is not None:
            raise UsageError(f"{strange!r:.80} is no job or task: give what submit, map or oq.job returned")
        self._limit = limit_s(timeout)

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[H]:
        left = dict(enumerate(self._handles))
        if not left:
            return
        pace = Pace(_job_of(left[0])._repository)
        for pause_s in pace.pauses(self._limit):
            for place in _ended(left):
                yield left.pop(place)
            if not left:
                return
            pace.sleep(pause_s)
        raise WaitTimeout(self._unfinished(left))

    async def __aiter__(self) -> AsyncIterator[H]:
        left = dict(enumerate(self._handles))
        if not left:
            return
        pace = Pace(_job_of(left[0])._repository)
        for pause_s in pace.pauses(self._limit):
            for place in await asyncio.to_thread(_ended, left):
                yield left.pop(place)
            if not left:
                return
            await pace.sleep_async(pause_s)
        raise WaitTimeout(self._unfinished(left))

    def _unfinished(self, left: Mapping[int, H]) -> str:
        names = [printable(getattr(one, "name", "")) or one.id for one in left.values()]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        told = ", ".join(names[:SHOWN])
        return f"{len(left):,} of {len(self._handles):,} have not ended after {self._limit:g} s: {told}{more}. They go on; wait again later."


SHOWN = 5


def _ended(left: Mapping[int, H]) -> list[int]:
    """Return the places of those that have ended. Asks the queue; a store that is away for a while ends no waiting."""
    try:
        ended = _job_of(next(iter(left.values())))._repository.map(_has_ended, left.values())
    except Unavailable:
        return []
    return [place for place, has_ended in zip(left, ended, strict=True) if has_ended]


def _has_ended(handle: Job | Task) -> bool:
    if not isinstance(handle, Task):
        return handle._has_ended()
    handle.job._refresh()
    return handle._is_final()


def _job_of(handle: Job | Task) -> Job:
    return handle.job if isinstance(handle, Task) else handle
