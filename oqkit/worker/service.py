"""What a worker does for a function while it runs: `CallService` is the end that the function holds, `LeaseService` answers.

Both are in one process, or a child process passes on what is asked and what is answered (see `child` and `process`).
What the function only tells is laid on its buffer, and picked up with the results.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, assert_never

from oqkit.claim.lease import HeldLease
from oqkit.errors import LeaseLost, Unavailable, UsageError
from oqkit.limits import TaskLimits
from oqkit.queue.gate import NEVER
from oqkit.queue.job import Job
from oqkit.queue.key import task_id
from oqkit.queue.progress import said
from oqkit.queue.rows import Rows
from oqkit.queue.signal import Wait, known_wait
from oqkit.task.code import code_of
from oqkit.task.request import ExtendLease, Request, Signal, Spawn, StartCall, TakeSignal
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.interface import Codec, Spawner


def nobody(_rows: Rows, _request: Request) -> object:
    """Answer where there is no worker: nothing can be asked."""
    raise UsageError("there is no worker here to ask")


def spawns_nothing(_request: Spawn, _task_id: str, _job: Job) -> str:
    """Submit nothing, where nobody has said how."""
    raise UsageError("this worker was made by hand and cannot submit calls: make it with oq.Worker")


@dataclass(frozen=True, slots=True)
class CallService:
    """The worker as the call of some rows sees it; used in the thread of the call, or in those that it starts."""

    answer: Callable[[Rows, Request], Any]
    rows: Rows
    buffer: ResultBuffer
    lease: str

    @property
    def is_cancelled(self) -> bool:
        """Whether the outcome of the call is not wanted any more, or the worker is stopping."""
        return self.buffer.limit <= 0 or self._is_unwanted()

    def check(self) -> None:
        """Raise `LeaseLost` if the outcome of the call will not be used."""
        if self._is_unwanted():
            raise LeaseLost(self.lease)

    def tell(self, current: float, total: float | None, message: str) -> None:
        """Note how far the call is, and return at once."""
        self.check()
        self.buffer.notes[self.rows.first] = said(self.rows, current, total, message)

    def ask(self, request: Request) -> Any:
        """Return the answer, or raise what it raises."""
        self.check()
        return self.answer(self.rows, _sendable(request))

    def _is_unwanted(self) -> bool:
        unwanted = self.buffer.unwanted
        return bool(unwanted) and not self.rows - unwanted


@dataclass(frozen=True, slots=True)
class CoroutineService(CallService):
    """The same of a coroutine, which must not keep others waiting: an answer is a future."""

    limit: asyncio.Timeout

    def ask(self, request: Request) -> asyncio.Future[Any]:
        """Ask in another thread, and return the answer to come."""
        self.check()
        loop = asyncio.get_running_loop()
        if isinstance(request, ExtendLease):
            self._put_off(loop.time() + request.seconds)
        return loop.run_in_executor(None, lambda: self.answer(self.rows, _sendable(request)))

    def _put_off(self, end: float) -> None:
        """Let the time-out be no sooner than the moment `end` of the event loop."""
        due = self.limit.when()
        if due is not None and due < end:
            self.limit.reschedule(end)


def _sendable(request: Request) -> Request:
    """Return a request that says what function it means in a way that other processes understand."""
    if isinstance(request, Spawn) and request.function is not None:
        code, data = code_of(request.function, limits=TaskLimits())
        return replace(request, function=None, code=code, data=data)
    return request


class LeaseService:
    """Answers what the calls of one lease ask: the one place where each kind of request is known."""

    def __init__(
        self, lease: HeldLease, *, extend: Callable[[Rows, float], None], spawn: Spawner, codec: Codec
    ) -> None:
        self._lease = lease
        self._extend = extend
        self._spawn = spawn
        self._codec = codec

    def answer(self, rows: Rows, request: Request) -> object:
        """Do what the call of `rows` asks, in the thread that asks; the error of a refusal is raised there."""
        answer: object = None
        match request:
            case ExtendLease():
                self._extend(rows, request.seconds)
            case Spawn():
                answer = self._spawn(request, self._task_id(rows), self._lease.job)
            case TakeSignal():
                answer = self._signal(request, rows.first)
            case StartCall():
                return self._start(insists=request.insists)
            case _:
                assert_never(request)
        if not rows & self._lease.rows:
            raise LeaseLost(self._lease.id)
        return answer

    def _start(self, *, insists: bool) -> float | None:
        lease, ticket = self._lease, self._lease.ticket
        if ticket is None:
            return 0.0
        wait_s = ticket.take(lease.now())
        if wait_s == math.inf:
            wait_s = max(ticket.refill(), lease.limits.worker.start_again_s) if insists else None
        if wait_s:
            lease.sleep(min(wait_s, lease.limits.worker.start_wait_s))
        return wait_s

    def _signal(self, wanted: TakeSignal, row: int) -> Signal:
        """Look for a signal in the job as it was claimed, and only then in the job as it is now."""
        lease, job = self._lease, self._lease.job
        number, state = lease.index * job.part_rows + row, lease.part.state_at(row)
        sent = lease.signals(job, wanted.name, number, since=state.signals_from)
        if len(sent) <= wanted.number:
            with suppress(Unavailable):  # then it waits, and the commit notices a signal that has come since the claim
                job = lease.read_job()
            sent = lease.signals(job, wanted.name, number, since=state.signals_from)
        if len(sent) > wanted.number:
            return Signal(has_come=True, value=self._codec.value(sent[wanted.number]))
        until = NEVER if wanted.timeout_s is None else lease.now() + wanted.timeout_s
        wait = Wait(name=wanted.name, number=wanted.number, until=min(until, NEVER))
        wait = known_wait(state.waits, wait)
        now = max(lease.now(), lease.part.at)  # the row may have been claimed as due by a clock that was set back since
        return Signal(has_come=False, wait=wait if now < wait.until else None, gen=job.gen)

    def _task_id(self, rows: Rows) -> str:
        job = self._lease.job
        return task_id(job.id, self._lease.index * job.part_rows + rows.first)
