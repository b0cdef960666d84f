"""Results as they come: frames of what was committed since the last one, of which one is in memory at a time."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from oqkit.client.result import ResultReader
from oqkit.client.wait import Waiter, interruptible
from oqkit.errors import WaitTimeout
from oqkit.queue.view import JobView


class AsCompleted:
    """Frames of results as they come, by ``for`` or ``async for``."""

    def __init__(self, view: JobView, collector: ResultReader, watch: Waiter, *, timeout: float | None) -> None:
        self._view = view
        self._collector = collector
        self._watch = watch
        self._timeout = timeout
        self._seen: set[tuple[int, str]] = set()

    def __iter__(self) -> Iterator[Any]:
        end = self._end()
        while True:
            with self._naming_timeout(), interruptible(self._view):
                self._watch.until(self._has_news, timeout=self._left(end))
            yield from self._news()
            if self._view.state.has_ended:
                self._view.state.check()
                return

    async def __aiter__(self) -> AsyncIterator[Any]:
        end = self._end()
        while True:
            with self._naming_timeout():
                await self._watch.until_async(self._has_news, limit_s=self._left(end))
            news = self._news()
            while (frame := await asyncio.to_thread(next, news, None)) is not None:
                yield frame
            if self._view.state.has_ended:
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
            raise WaitTimeout(self._watch.unfinished(self._timeout)) from None

    def _has_news(self) -> bool:
        return self._view.state.has_ended or bool(self._collector.completed_outputs() - self._seen)

    def _news(self) -> Iterator[Any]:
        new = self._collector.completed_outputs()
        for first, stop, pieces in self._collector.chunks(skip=set(self._seen)):
            part_rows = self._view.state.job.part_rows
            self._seen |= {(index, name) for index, name in new if first <= index * part_rows < stop}
            if any(len(rows) for rows, _ in pieces):
                yield self._collector.frame(pieces, missing="drop")
        if self._view.state.is_final and (told := self._collector.trouble()):
            warnings.warn(told, stacklevel=2)
