"""`Threads` of a simulated process (see `oqkit.worker.thread`): locks, events and threads on the kernel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from oqkit.testing.simulation.kernel import Node, Task, Waiter, current

#: A worker's main thread only looks after its slots; that it looks less often saves half of all events.
JOIN_STRETCH = 20.0
LONG_S = 0.5


class SimThreads:
    """The threads of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def lock(self) -> SimLock:
        return SimLock(self._node)

    def event(self) -> SimEvent:
        return SimEvent()

    def start(self, call: Callable[[], None], *, name: str) -> SimThread:
        return SimThread(self._node.spawn(call, name=name))

    def queue(self, *, name: str) -> SimQueue:
        return SimQueue(self._node, name)


class SimThread:
    """A started thread."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def is_alive(self) -> bool:
        return self.task.is_alive()

    def join(self, timeout: float | None = None) -> None:
        is_short = timeout is not None and timeout < LONG_S
        self.task.join(timeout * JOIN_STRETCH if timeout and is_short else timeout)


class SimLock:
    """A lock that is handed on in any order."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._is_held = False
        self._waiting: list[Waiter] = []

    def __enter__(self) -> None:
        while self._is_held:
            me = current()
            self._waiting.append(me.waiter())
            me.park()
        self._is_held = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_held = False
        waiting, self._waiting = self._waiting, []
        if not self._node.is_dead:
            for waiter in waiting:
                waiter.wake()


class SimEvent:
    """A flag to wait for."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[Waiter] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.wake(value=True)

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set and timeout != 0:
            me = current()
            self._waiting = [one for one in self._waiting if one.task is not me]
            self._waiting.append(me.waiter())
            me.park(timeout)
        return self._is_set


class SimFuture:
    """The outcome of a call on a `SimQueue`."""

    def __init__(self, call: Callable[..., object], args: tuple[object, ...]) -> None:
        self._call = call
        self._args = args
        self._event = SimEvent()
        self._error: BaseException | None = None
        self._value: Any = None

    def run(self) -> None:
        """Make the call."""
        try:
            self._value = self._call(*self._args)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            self._error = error
        self._event.set()

    def done(self) -> bool:
        return self._event.is_set()

    def result(self) -> object:
        self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value


class SimQueue:
    """One thread that makes calls in order; it exists while there are any."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name
        self._calls: deque[SimFuture] = deque()
        self._task: Task | None = None

    def submit(self, call: Callable[..., object], /, *args: object) -> SimFuture:
        future = SimFuture(call, args)
        self._calls.append(future)
        if self._task is None or self._task.has_ended:
            self._task = self._node.spawn(self._work, name=self._name)
        return future

    def _work(self) -> None:
        while self._calls:
            self._calls.popleft().run()

    def shutdown(self) -> None:
        if self._task is not None and not self._node.is_dead:
            self._task.join()
