"""`Executor`: a queue behind the interface of `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import functools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

from oqkit.client.connect import default_queue
from oqkit.client.keyed import SubmissionKey
from oqkit.client.option import short_text, whole
from oqkit.client.queue import Queue
from oqkit.client.signing import is_shared
from oqkit.client.single import Task
from oqkit.client.spec import Function, function_of
from oqkit.client.wait import tell
from oqkit.door.future_watch import Calls, FutureWatch
from oqkit.door.pickled_call import PREFIX, Chunk, dump_arguments, task_of
from oqkit.door.pickled_result import load_result, result_keys
from oqkit.door.remote_error import remote_error
from oqkit.door.task_future import TaskFuture
from oqkit.errors import UsageError
from oqkit.launch.command import Trust, refuse_trust
from oqkit.task.fingerprint import fingerprint, unknown_part
from oqkit.task.function import options_of

# ruff: noqa: SLF001 - a future is a handle of a task in another form

_MOST_LETTERS: Final = 400


class Executor(concurrent.futures.Executor):
    """Runs calls as tasks of a queue (None: the default one), wherever its workers are: a `concurrent.futures.Executor`.

    Functions, arguments and results travel pickled, so workers have to trust code from the queue, as `oq.local_workers` and
    ``oq worker --trust-code`` do. Results that are no plain values, and come through a bucket, are loaded only if they were sealed with the
    key that this machine signs jobs with, as local workers and workers with ``OQ_SIGNING_KEY_FILE`` do; ``trust="everyone"`` loads
    whatever is there. A directory that others can write is refused.

    An exception of the function is raised by the future, and not tried again unless the `options`, those of `oq.Options`, say so; the death
    of a worker is no error, as everywhere in oqkit. With a `name` the same calls are the same tasks, also in another process
    later: the first ``submit(f, 1)`` of an executor of that name finds the task of the first one before, the second that of the second one.
    Another function or other arguments make other tasks.
    """

    def __init__(
        self, queue: Queue | None = None, *, name: str | None = None, trust: Trust = "own", **options: object
    ) -> None:
        if trust not in {"own", "everyone"}:
            raise UsageError(f"trust={trust!r} must be 'own' or 'everyone'")
        self.queue = queue or default_queue()
        refuse_trust(self.queue)
        self.name = None if name is None else short_text(name, what="name")[:_MOST_LETTERS]
        self._options = options_of(options)
        self._seals = trust == "own" and is_shared(self.queue.url)
        self._watch = FutureWatch(self.queue, outcome=self._outcome, error_of=remote_error)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._is_shut = False

    def __repr__(self) -> str:
        return (
            f"<oqkit executor {self.name!r} of {self.queue.url}>"
            if self.name
            else f"<oqkit executor of {self.queue.url}>"
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Call ``fn(*args, **kwargs)`` in a worker, and return the future of it.

        It is stored right after this returns, together with others of the same function that came meanwhile as one job;
        `TaskFuture.task` waits for that. Raise `UsageError` for what cannot be pickled, `RuntimeError` after `shutdown`.
        """
        function = self._function(fn, is_chunk=False)
        arguments = dump_arguments(args, kwargs, what=function.type)
        future = TaskFuture(self._watch)
        key, content = self._known_as(functools.partial(fn, *args, **kwargs), function)
        self._add(function, [arguments], [future], key=key, content=content)
        return future

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Return an iterator of ``fn(*each)`` for each of ``zip(*iterables)``, in order; all are submitted at once, as one job.

        `chunksize` calls are one task, of which one error fails all. The iterator raises the exception of a call where its result would
        be, and `TimeoutError` once `timeout` seconds have passed since `map` was called. What is left then goes on: nothing is cancelled, unlike in
        the standard library.
        """
        n = whole(chunksize, what="chunksize", low=1, high=10**9)
        end = None if timeout is None else time.monotonic() + timeout
        calls = list(zip(*iterables, strict=False))
        chunks = [tuple(calls[first : first + n]) for first in range(0, len(calls), n)]
        if not chunks:
            return iter(())
        function = self._function(fn, is_chunk=True)
        arguments = [dump_arguments(chunk, {}, what=function.type) for chunk in chunks]
        futures = [TaskFuture(self._watch) for _ in chunks]
        key, content = self._known_as(functools.partial(Chunk(fn), *chunks), function)
        self._add(function, arguments, futures, key=key, content=content)
        return _results(futures, end)

    def future(self, task: Task | str) -> TaskFuture:
        """Return a future of a task, or its id, that an executor submitted, here or elsewhere, now or long ago.

        Raise `UnknownJob`, and `UsageError` for any other task. A task of `map` gives the list of results of its chunk.
        """
        found = task if isinstance(task, Task) else self.queue.get(task)
        if not found.type.startswith(PREFIX):
            raise UsageError(
                f"task {found.id} is no call of an executor, but {found.type!r}: use the handle, task.result()"
            )
        self._check_open()
        return self._watch.follow(found)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base class
        """Take no more calls; wait for those that there are, unless `wait` is False, and cancel those that nobody has begun, if asked to.

        Without waiting, all is stored when this returns, and goes on.
        """
        with self._lock:
            self._is_shut = True
        if cancel_futures:
            self._watch.cancel_pending()
        self._watch.flush()
        if wait:
            concurrent.futures.wait(self._watch.futures())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Shut down; an exception, such as that of Ctrl-C, does not wait for the calls, which go on in the queue."""
        self.shutdown(wait=error is None)

    # --- how a call is made ----------------------------------------------------------------------

    def _function(self, fn: Callable[..., Any], *, is_chunk: bool) -> Function:
        self._check_open()
        return function_of(task_of(fn, is_chunk=is_chunk, seals=self._seals), limits=self.queue.repository.limits.task)

    def _check_open(self) -> None:
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")  # in the words of the standard library

    def _add(
        self,
        function: Function,
        arguments: Sequence[bytes],
        futures: Sequence[TaskFuture],
        *,
        key: SubmissionKey | None,
        content: str,
    ) -> None:
        self._watch.add(
            Calls(
                function=function, arguments=arguments, futures=futures, options=self._options, key=key, content=content
            )
        )

    def _known_as(self, call: Callable[..., Any], function: Function) -> tuple[SubmissionKey | None, str]:
        """Return what a call is known by in an executor with a name, and a digest of it; `call` is the function with its arguments."""
        if self.name is None:
            return None, ""
        identity = fingerprint(call)
        if identity is None:
            tell(f"{function.type} will run again each time it is submitted: {unknown_part(call)}. See oq.content_of.")
            identity = secrets.token_hex(20)
        with self._lock:
            self._seen[identity] += 1
            number = self._seen[identity]
        text = f"{identity}-{number}"
        return SubmissionKey(text=text, scope=f"executor {self.name}", ttl_s=None), identity.rpartition("-")[2][:32]

    def _outcome(self, task: Task) -> Any:
        keys = result_keys(self.queue.settings) if self._seals else None
        return load_result(task._outcome(), keys=keys, what=f"task {task.id}")


def _results(futures: Sequence[TaskFuture], end: float | None) -> Iterator[Any]:
    left = list(reversed(futures))
    while left:
        future = left.pop()  # so that its result is not held any longer
        yield from future.result(None if end is None else max(0.0, end - time.monotonic()))
