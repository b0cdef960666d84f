"""The threads of a worker, behind a seam: a simulation runs the same code in one thread, in an order it chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Event(Protocol):
    """What this package uses of a `threading.Event`."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Thread(Protocol):
    """What this package uses of a `threading.Thread` that was started."""

    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


class Future(Protocol):
    """What this package uses of a `concurrent.futures.Future`."""

    def done(self) -> bool: ...
    def result(self) -> Any: ...


class Queue(Protocol):
    """Calls that one thread makes one after the other: what this package uses of a pool of one thread."""

    def submit(self, call: Callable[..., Any], /, *args: Any) -> Future: ...
    def shutdown(self) -> None: ...


class Threads(Protocol):
    """Where locks, events and threads come from."""

    def lock(self) -> AbstractContextManager[Any]:
        """Return a new lock."""

    def event(self) -> Event:
        """Return a new event."""

    def start(self, call: Callable[[], None], *, name: str) -> Thread:
        """Run `call` in a new daemon thread."""

    def queue(self, *, name: str) -> Queue:
        """Return a thread that makes the calls it is handed, in order."""


class SystemThreads:
    """The threads of this process."""

    def lock(self) -> AbstractContextManager[Any]:
        return threading.Lock()

    def event(self) -> Event:
        return threading.Event()

    def start(self, call: Callable[[], None], *, name: str) -> Thread:
        thread = threading.Thread(target=call, name=name, daemon=True)
        thread.start()
        return thread

    def queue(self, *, name: str) -> Queue:
        return ThreadPoolExecutor(1, thread_name_prefix=name)
