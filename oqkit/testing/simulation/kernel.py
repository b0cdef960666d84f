"""Virtual time and its order of events: greenlets that each believe to be a thread of some machine.

The code under test is ordinary blocking code. Wherever it would block (a request, a sleep, a lock,
an event, a join) its greenlet parks here, and the earliest event in the heap decides who goes on.
Nothing else decides anything, so a seed replays exactly.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

try:
    import greenlet  # type: ignore[import-untyped]
except ModuleNotFoundError:
    needs = "oqkit.testing.simulation needs greenlet, which is not installed: pip install 'oqkit[testing]'"
    raise ModuleNotFoundError(needs, name="greenlet") from None


class Killed(greenlet.GreenletExit):  # type: ignore[misc]
    """The process dies here: nothing may catch it, and no request leaves it any more."""


class Stuck(AssertionError):
    """The code did more than it can have to do: it goes round in circles."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A task that waits for something, and the ticket it had when it began to.

    Not a tuple: while a greenlet is suspended the garbage collector takes it for no container of its own, and stops
    tracking tuples of such things for good. A cycle through one of them was never freed.
    """

    task: Task
    ticket: int

    def wake(self, *, value: object = None) -> None:
        """Let it go on, unless it has already."""
        self.task.wake(self.ticket, value=value)


class Kernel:
    """The heap of events. Times are seconds since the beginning of the schedule."""

    def __init__(self, seed: object, *, max_steps: int = 400_000) -> None:
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.rng = random.Random(f"{seed}/kernel")  # noqa: S311 - a seed must replay
        self.steps = 0
        self.is_over = False
        self._max_steps = max_steps
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    def at(self, when: float, action: Callable[..., None], *args: object) -> None:
        """Do something at a time, or now if that is past."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._numbers), action, args))

    def after(self, seconds: float, action: Callable[..., None], *args: object) -> None:
        """Do something in a while."""
        self.at(self.now + seconds, action, *args)

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until then, or until `stop` says so."""
        while self._heap and self._heap[0][0] <= until and not self.is_over:
            when, _, action, args = heapq.heappop(self._heap)
            self.now = when
            action(*args)
            self.steps += 1
            if self.steps > self._max_steps:
                raise Stuck(f"{self.steps} events within {self.now:.0f} s")
            if stop():
                return
        if not self.is_over:
            self.now = max(self.now, until)

    def jitter_s(self) -> float:
        """Return a moment, so that what happens at once happens in any order."""
        return self.rng.random() * 1e-4


class Task(greenlet.greenlet):  # type: ignore[misc]
    """One thread of a `Node`."""

    def __init__(self, node: Node, call: Callable[[], object], name: str) -> None:
        super().__init__(self._main, parent=node.kernel.hub)
        self.node = node
        self.name = name
        self.ticket = 0
        self.has_ended = False
        self.context: Any = None
        self.n_requests = 0
        self.n_troubles = 0
        """How many of its requests did not simply succeed."""
        self._call = call
        self._joining: list[Waiter] = []

    def __repr__(self) -> str:
        return f"<{self.node.name}:{self.name}>"

    def _main(self, _: object = None) -> None:
        try:
            self._call()
        except greenlet.GreenletExit:
            pass
        except BaseException as error:  # noqa: BLE001 - the node decides what it means
            self.node.broke(self, error)
        finally:
            self.has_ended = True
            for waiter in self._joining:
                waiter.wake(value=True)

    # --- as a thread -----------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self.has_ended

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        if not self.has_ended:
            me = current()
            self._joining.append(me.waiter())
            me.park(timeout)

    def waiter(self) -> Waiter:
        """Return this task as one that waits, from now on."""
        return Waiter(self, self.ticket)

    # --- parking ---------------------------------------------------------------------------------

    def park(self, timeout: float | None = None) -> Any:
        """Give up control until somebody wakes this task with a value; None after `timeout` seconds."""
        self.node.check()
        if timeout is not None:
            self.wake(self.ticket, after_s=max(0.0, timeout))
        value = self.node.kernel.hub.switch()
        self.node.check()
        return value

    def wake(self, ticket: int, *, value: object = None, after_s: float = 0.0) -> None:
        """Let the task go on in a moment, unless it has gone on since it drew `ticket`."""
        kernel = self.node.kernel
        kernel.after(after_s + kernel.jitter_s(), self._resume, ticket, value)

    def _resume(self, ticket: int, value: object) -> None:
        if ticket != self.ticket or self.has_ended or self.node.is_dead:
            return
        if self.node.paused_until > self.node.kernel.now:
            self.node.kernel.at(self.node.paused_until, self._resume, ticket, value)
            return
        self.ticket += 1
        self.switch(value)

    def end(self) -> None:
        """Let the code of a dead node unwind; called from the hub."""
        if not self.has_ended:
            self.ticket += 1
            self.throw(Killed)
            assert self.dead, "code of a dead node waits for something"


def current() -> Task:
    """Return the task that runs now."""
    task = greenlet.getcurrent()
    assert isinstance(task, Task), "only simulated code waits"
    return task


class Node:
    """One process on one machine: its clock, its threads, and whether it still lives."""

    def __init__(self, kernel: Kernel, name: str, *, skew_s: float = 0.0, drift: float = 0.0) -> None:
        self.kernel = kernel
        self.name = name
        self.is_dead = False
        self.paused_until = 0.0
        self.tasks: list[Task] = []
        self.errors: list[BaseException] = []
        self.clock = NodeClock(self, skew_s=skew_s, rate=1.0 + drift)
        self.when_dead: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    def spawn(self, call: Callable[[], object], *, name: str) -> Task:
        """Start a thread."""
        self.check()
        self.tasks = [task for task in self.tasks if not task.has_ended]
        task = Task(self, call, name)
        self.tasks.append(task)
        task.wake(task.ticket)
        return task

    def check(self) -> None:
        """Raise `Killed` if the process is dead."""
        if self.is_dead:
            raise Killed

    def pause(self, seconds: float) -> None:
        """Stop every thread for a while, as SIGSTOP does."""
        self.paused_until = max(self.paused_until, self.kernel.now + seconds)

    def kill(self) -> None:
        """End the process where it stands; safe to call from one of its own threads."""
        if not self.is_dead:
            self.is_dead = True
            self.kernel.after(0.0, self.unwind)
            self.when_dead()

    def unwind(self) -> None:
        """Let the code of a dead process end; called from the hub."""
        for task in self.tasks:
            task.end()
        self.tasks = []

    def broke(self, task: Task, error: BaseException) -> None:
        """Note an exception that left a thread."""
        if not self.is_dead:
            error.add_note(f"in {task!r} at {self.kernel.now:.3f} s")
            self.errors.append(error)


class NodeClock:
    """The monotonic clock of one machine: off, and at its own pace."""

    def __init__(self, node: Node, *, skew_s: float, rate: float) -> None:
        self._node = node
        self.skew_s = skew_s
        self._rate = rate

    def monotonic(self) -> float:
        return self._node.kernel.now * self._rate + 10_000.0 + self.skew_s

    def sleep(self, seconds: float) -> None:
        current().park(seconds / self._rate)
