"""A trial of a function under the conditions that it will meet: workers die after a call, and replies are lost.

    def test_invoice_is_sent_once():
        trial = oqkit.testing.try_out(send_invoice, orders, n_kills=3)
        assert trial.n_called_again > 0                    # so this proves something
        assert len(mailbox) == len(set(mailbox))           # the function's own promise
        assert list(trial.result["ok"]) == [True] * len(orders)

Nothing is started but threads: the queue is in memory, and the workers are oqkit's own.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Unavailable, UsageError, WaitTimeout
from oqkit.launch.local import Worker
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.task.function import TaskFunction, as_task, is_async

_N_PARTS = 8
_GRACE_S = 0.2
_CHECK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it."""

    #: What `job.result(errors="coerce")` gives: a row for each row of the input, in its order.
    result: Any
    #: What `job.errors()` gives: a row for each task that failed.
    errors: pd.DataFrame
    #: How often the function was called in all, and by how much that is more than without any kill.
    n_calls: int
    n_called_again: int
    n_kills: int
    n_lost_replies: int


def try_out(
    fn: Callable[..., object],
    df: Any,
    *,
    n_kills: int = 3,
    lost_replies: float = 0.05,
    n_workers: int = 2,
    lease_s: float = 1.0,
    seed: int = 0,
    timeout_s: float = 60.0,
    **options: Any,
) -> Trial:
    """Run `fn` over the rows of `df` while workers die and replies are lost, and return what came of it.

    `n_kills` times a worker dies just after a call returned and before its outcome is stored: the worst moment,
    for the call has had its effects and will be made again once the lease has run out, after `lease_s`. A share of
    `lost_replies` of all writes is applied and then reported as unanswered. `seed` chooses the calls and the writes.
    `options` are those of a submission. Raise `WaitTimeout` if it is not over after `timeout_s`.
    """
    task = as_task(fn)
    shared = MemoryStore()
    queue = Queue(open_repository(shared), Settings(url=shared.url))
    part_rows = max(1, -(-len(df) // _N_PARTS))
    n_expected = -(-len(df) // part_rows) if task.batch else len(df)
    if n_kills > n_expected:
        raise UsageError(f"n_kills={n_kills} is more than there are calls, {n_expected}: give more rows, or kill less")
    job = queue.submit_frame(df, task.name, part_rows=part_rows, **options)
    fate = _Fate(n_kills=n_kills, n_calls=n_expected, lost_replies=lost_replies, seed=seed)
    crew = [_Mortal(shared, task, fate, lease_s=lease_s) for _ in range(n_workers)]
    end = time.monotonic() + timeout_s
    try:
        while not job.done():
            if time.monotonic() > end:
                raise WaitTimeout(f"the trial is not over after {timeout_s:g} s: {job!r}")
            crew = [mortal if mortal.is_alive else _Mortal(shared, task, fate, lease_s=lease_s) for mortal in crew]
            time.sleep(_CHECK_EVERY_S)
    finally:
        for mortal in crew:
            mortal.stop()
    return Trial(
        result=job.result(timeout=0, errors="coerce"),
        errors=job.errors(),
        n_calls=fate.n_calls,
        n_called_again=max(0, fate.n_calls - n_expected),
        n_kills=fate.n_kills,
        n_lost_replies=fate.n_lost_replies,
    )


class _Killed(SystemExit):
    """Ends a thread without a word, as `kill -9` ends a process."""


class _Fate:
    """Decides what goes wrong, the same for the same seed and order of calls."""

    def __init__(self, *, n_kills: int, n_calls: int, lost_replies: float, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._lock = threading.Lock()
        self._fatal = set(self._rng.sample(range(n_calls), n_kills))
        self._lost_replies = lost_replies
        self.n_calls = self.n_kills = self.n_lost_replies = 0

    def next_call(self) -> bool:
        """Count a call, and say whether its worker dies after it."""
        with self._lock:
            is_fatal = self.n_calls in self._fatal
            self.n_calls += 1
            self.n_kills += is_fatal
            return is_fatal

    def loses_reply(self) -> bool:
        with self._lock:
            is_lost = self._rng.random() < self._lost_replies
            self.n_lost_replies += is_lost
            return is_lost


class _MortalStore(MemoryStore):
    """A client of `shared` that loses replies, and from whose death on nothing is heard or written."""

    def __init__(self, shared: MemoryStore, fate: _Fate) -> None:
        super().__init__(clock=shared.clock)
        self._content = shared._content  # noqa: SLF001 - a client of the same content
        self._fate = fate
        self.is_dead = False

    def _request(self, kind: str) -> float:
        if self.is_dead:
            raise _Killed
        return super()._request(kind)

    def create(self, key: str, data: bytes) -> str:
        return self._answer(super().create(key, data))

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        return self._answer(super().replace(key, data, etag=etag))

    def overwrite(self, key: str, data: bytes) -> str:
        return self._answer(super().overwrite(key, data))

    def _answer(self, etag: str) -> str:
        if self._fate.loses_reply():
            raise Unavailable("the reply was lost, says the trial")
        return etag


class _Mortal:
    """A worker in a thread, which dies when fate says so."""

    def __init__(self, shared: MemoryStore, task: TaskFunction, fate: _Fate, *, lease_s: float) -> None:
        self._store = _MortalStore(shared, fate)
        self._fate = fate
        doomed = TaskFunction(self._doomed(task.function), name=task.name, batch=task.batch, options=task.options)
        queue = Queue(open_repository(self._store), Settings(url=shared.url))
        # Never in a child process: the trial has to see every call.
        self._worker = Worker(queue, [doomed], lease_s=lease_s, grace_s=_GRACE_S, isolates_after=sys.maxsize)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and not self._store.is_dead

    def stop(self) -> None:
        self._worker.stop()
        self._thread.join(10 * _GRACE_S)

    def _run(self) -> None:
        with contextlib.suppress(_Killed):
            self._worker.run()

    def _doomed(self, function: Callable[..., Any]) -> Callable[..., object]:
        """Wrap the user's function: what is dead calls nothing more, and may die after a call."""
        if is_async(function):

            @functools.wraps(function)
            async def call_async(*arguments: object, **named: object) -> object:
                is_fatal = self._begin()
                value = await function(*arguments, **named)
                return self._end(value, is_fatal=is_fatal)

            return call_async

        @functools.wraps(function)
        def call(*arguments: object, **named: object) -> object:
            is_fatal = self._begin()
            return self._end(function(*arguments, **named), is_fatal=is_fatal)

        return call

    def _begin(self) -> bool:
        if self._store.is_dead:
            raise _Killed
        return self._fate.next_call()

    def _end(self, value: object, *, is_fatal: bool) -> object:
        if is_fatal:
            self._store.is_dead = True
            self._worker.stop()
            raise _Killed
        return value
