"""The threads of a worker, behind a seam: a simulation runs the same code in one thread, in an order it chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import AbstractContextManager
from functools import partial
from queue import SimpleQueue
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
    def result(self) -> object: ...


class Queue(Protocol):
    """Calls that one daemon thread makes one after the other; `shutdown` lets it end, and does not wait."""

    def submit(self, call: Callable[..., object], /, *args: object) -> Future: ...
    def shutdown(self) -> None: ...


class Threads(Protocol):
    """Where locks, events and threads come from."""

    def lock(self) -> AbstractContextManager[object]:
        """Return a new lock."""

    def event(self) -> Event:
        """Return a new event."""

    def start(self, call: Callable[[], None], *, name: str) -> Thread:
        """Run `call` in a new daemon thread."""

    def queue(self, *, name: str) -> Queue:
        """Return a thread that makes the calls it is handed, in order."""


class SystemThreads:
    """The threads of this process."""

    def lock(self) -> AbstractContextManager[object]:
        return threading.Lock()

    def event(self) -> Event:
        return threading.Event()

    def start(self, call: Callable[[], None], *, name: str) -> Thread:
        return SystemThread(call, name)

    def queue(self, *, name: str) -> Queue:
        return SystemQueue(name)


class SystemThread:
    """A daemon thread.

    Ctrl-C may interrupt who waits for it, which must not pass for its end, as it does with `threading.Thread.join`.
    """

    def __init__(self, call: Callable[[], None], name: str) -> None:
        # Python 3.11 and 3.12: a join that is interrupted marks the thread as ended (_wait_for_tstate_lock, bpo-45274).
        self._has_ended = threading.Event()
        self._call = call
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._call()
        finally:
            self._has_ended.set()

    def is_alive(self) -> bool:
        return not self._has_ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._has_ended.wait(timeout)


class SystemQueue:
    """A daemon thread that makes calls in order.

    Not a pool of `concurrent.futures`: the interpreter waits for the threads of those when it ends, and a
    call that never returns would keep the process for ever.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[futures.Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[..., object], /, *args: object) -> futures.Future[object]:
        future: futures.Future[Any] = futures.Future()
        self._calls.put((future, partial(call, *args)))
        return future

    def shutdown(self) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (one := self._calls.get()) is not None:
            future, call = one
            try:
                value = call()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks for the result
                future.set_exception(error)
            else:
                future.set_result(value)
