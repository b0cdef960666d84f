"""Results as they come: frames of what was committed since the last one, of which one is in memory at a time."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from oqkit.client.result import ResultReader
from oqkit.client.wait import Waiter, interruptible
from oqkit.errors import WaitTimeout
from oqkit.payload.output import Piece
from oqkit.queue.view import JobView


class News(Protocol):
    """What has come of a job, or of all jobs that have items of a call, and was not given yet; as far as was last seen."""

    def is_over(self) -> bool:
        """Whether nothing more will come."""

    def has_more(self) -> bool:
        """Whether there is something to give."""

    def frames(self) -> Iterator[Any]:
        """Read and yield it, of which one frame is in memory at a time."""

    def trouble(self) -> str:
        """Say which results were committed and cannot be read, as far as was tried; empty if there are none."""

    def unfinished(self, timeout: float | None) -> str:
        """Say how far it is, and what may be missing."""


class FreshOutputs:
    """The outputs of one job that were not given yet."""

    def __init__(self, view: JobView, collector: ResultReader) -> None:
        self._view = view
        self._collector = collector
        self._seen: set[tuple[int, str]] = set()

    def are_there(self) -> bool:
        """Whether there are any, as far as was last seen."""
        return bool(self._collector.completed_outputs() - self._seen)

    def take(self) -> Iterator[list[Piece]]:
        """Read them, those of some parts at a time, and leave them out from then on."""
        new = self._collector.completed_outputs()
        for first, stop, pieces in self._collector.chunks(skip=set(self._seen)):
            part_rows = self._view.state.job.part_rows
            self._seen |= {(index, name) for index, name in new if first <= index * part_rows < stop}
            if any(len(rows) for rows, _ in pieces):
                yield pieces


class JobNews:
    """The news of one job."""

    def __init__(self, view: JobView, collector: ResultReader, watch: Waiter) -> None:
        self._view = view
        self._collector = collector
        self._outputs = FreshOutputs(view, collector)
        self.has_more = self._outputs.are_there
        self.unfinished = watch.unfinished

    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self._view.state.has_ended

    def frames(self) -> Iterator[Any]:
        """Yield frames that are aligned with the submitted one."""
        for pieces in self._outputs.take():
            yield self._collector.frame(pieces, missing="drop")

    def trouble(self) -> str:
        """Say what cannot be read, once all has ended."""
        return self._collector.trouble() if self._view.state.is_final else ""


class AsCompleted:
    """Frames of results as they come, by ``for`` or ``async for``."""

    def __init__(self, view: JobView, news: News, watch: Waiter, *, timeout: float | None) -> None:
        self._view = view
        self._news = news
        self._watch = watch
        self._timeout = timeout

    def __iter__(self) -> Iterator[Any]:
        end = self._end()
        while True:
            with self._naming_timeout(), interruptible(self._view):
                self._watch.until(self._has_news, timeout=self._left(end))
            yield from self._frames()
            if self._news.is_over():
                self._view.state.check()
                return

    async def __aiter__(self) -> AsyncIterator[Any]:
        end = self._end()
        while True:
            with self._naming_timeout():
                await self._watch.until_async(self._has_news, limit_s=self._left(end))
            frames = self._frames()
            while (frame := await asyncio.to_thread(next, frames, None)) is not None:
                yield frame
            if self._news.is_over():
                self._view.state.check()
                return

    def _end(self) -> float | None:
        return None if self._timeout is None else self._view.now() + self._timeout

    def _left(self, end: float | None) -> float | None:
        return None if end is None else max(0.0, end - self._view.now())

    @contextmanager
    def _naming_timeout(self) -> Iterator[None]:
        try:
            yield
        except WaitTimeout:
            raise WaitTimeout(self._news.unfinished(self._timeout)) from None

    def _has_news(self) -> bool:
        return self._news.is_over() or self._news.has_more()

    def _frames(self) -> Iterator[Any]:
        yield from self._news.frames()
        if told := self._news.trouble():
            warnings.warn(told, stacklevel=2)
