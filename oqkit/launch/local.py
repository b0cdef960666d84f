"""Workers: `Worker` in this process, `local_workers` in processes of this machine."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from oqkit.client.connect import default_queue
from oqkit.client.queue import Queue
from oqkit.client.signing import own_environment, verifier
from oqkit.client.wait import tell
from oqkit.config import to_environment
from oqkit.errors import UsageError
from oqkit.observe.observer import Listener, Observer
from oqkit.payload.codec import ParquetCodec
from oqkit.task.function import as_task
from oqkit.worker.worker import GRACE_S, LEASE_S, ExecutorName, WorkerLoop

Trust = Literal["own", "everyone"]

RESTART_EVERY_S = 1.0
RESTART_SLOWLY_S = 30.0
QUICK_DEATHS = 3
QUICK_S = 10.0
EXIT_OUTDATED = 4
"""What a worker exits with that has loaded a module whose source has changed since."""


class Worker(WorkerLoop):
    """Runs tasks of a queue in this process: `run` blocks until `stop`, which any thread may call.

    `functions` are what it can run; with `trust_code` also functions that were submitted by value,
    which means running whatever is stored in the queue, and reading whatever files it names; without, files outside
    of the queue are read from its bucket and from `data_roots` alone (see `oq.connect`). `concurrency` leases are worked off at once,
    each in a thread or, with ``executor="process"``, in a child process that is killed and replaced
    when a call runs past its time-out. A lease lasts `lease_s` seconds and is renewed while work
    goes on; on `stop`, calls in progress have `grace_s` seconds to end. Rows whose leases ran out
    `isolates_after` times in a row run in a child process in any case: they may kill what runs them.
    `observers` are told what it does (see `oqkit.observe.event`), as those of the queue are.
    """

    def __init__(
        self,
        queue: Queue | None = None,
        functions: Iterable[Callable[..., Any]] = (),
        *,
        concurrency: int = 1,
        executor: ExecutorName = "thread",
        trust_code: bool = False,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
        isolates_after: int = 2,
        name: str | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        queue = queue or default_queue()
        if trust_code:
            refuse_trust(queue)
        keys = verifier(queue.settings, url=queue.url)
        repository = queue.repository if keys is None else queue.repository.verifying(keys)
        super().__init__(
            repository,
            ParquetCodec(repository, queue.access.everywhere() if trust_code else queue.access),
            [as_task(function) for function in functions],
            concurrency=concurrency,
            executor=executor,
            trust_code=trust_code,
            lease_s=lease_s,
            grace_s=grace_s,
            isolates_after=isolates_after,
            name=name,
            listeners=[*queue.observers.listeners, *map(Listener, observers)],
        )

    def __repr__(self) -> str:
        return f"<oqkit worker {self.name}>"


def refuse_trust(queue: Queue) -> None:
    """Raise `UsageError` if other users of this machine can write the queue: then its code is not to be trusted."""
    who = queue.repository.store.written_by_others()
    if who:
        raise UsageError(
            f"code in {queue.url} cannot be trusted: {who}. Or start workers that run functions of their own only: "
            "`oq worker MODULE`, without --trust-code"
        )


class LocalWorkers:
    """Worker processes of this machine; use it in a ``with`` block, or call `stop`.

    A process that dies is replaced, and so is one that has loaded a module which was edited since, once a job needs the
    new version. All end when this process does.
    """

    def __init__(self, n: int, *, queue: Queue, arguments: list[str], trust: Trust = "own") -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"n={n!r} must be the number of processes, 1 or more")
        if queue.url.startswith("memory://"):
            raise UsageError("a memory:// queue exists in this process alone; use a directory, or run oq.Worker here")
        refuse_trust(queue)
        if trust not in {"own", "everyone"}:
            raise UsageError(f"trust={trust!r} must be 'own' or 'everyone'")
        if trust == "everyone" and verifier(queue.settings, url=queue.url) is not None:
            raise UsageError(
                "trust='everyone' contradicts the signing key that is configured (OQ_SIGNING_KEY, OQ_SIGNING_KEY_FILE): "
                "workers that have one run signed jobs only"
            )
        self._command = [sys.executable, "-P", "-m", "oqkit", "worker", "--exit-with", str(os.getpid()), *arguments]
        self._environment = {
            **os.environ,
            **to_environment(replace(queue.settings, url=queue.url)),
            **(own_environment(queue.settings, url=queue.url) if trust == "own" else {}),
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }
        with tempfile.NamedTemporaryFile(prefix="oqkit-workers-", suffix=".log", delete=False) as file:
            self.log_path = Path(file.name)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._processes = [self._start() for _ in range(n)]
        self._born = [time.monotonic()] * n
        self._guard = threading.Thread(target=self._watch, name="oqkit-local-workers", daemon=True)
        self._guard.start()
        atexit.register(self.stop)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        with self._lock:
            return [process.pid for process in self._processes if process.poll() is None]

    def __len__(self) -> int:
        return len(self._processes)

    def __repr__(self) -> str:
        return f"<{len(self.pids)} oqkit worker processes, log in {self.log_path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Let the processes hand back what they have not started, and end them; kill those that take too long."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.stop)
        self._guard.join()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log_path.unlink(missing_ok=True)

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for the waiting, not for the workers
            )

    def _watch(self) -> None:
        deaths, pause_s = 0, RESTART_EVERY_S
        while not self._stopping.wait(pause_s):
            dead = [place for place, process in enumerate(self._processes) if process.poll() is not None]
            deaths = self._quick_deaths(deaths, dead)
            if not deaths:
                pause_s = RESTART_EVERY_S
            elif deaths > QUICK_DEATHS * len(self) and pause_s < RESTART_SLOWLY_S:
                pause_s = RESTART_SLOWLY_S
                every = f"they are tried again every {pause_s:g} s"
                tell(f"Local workers cannot start: {self._last_words()} (see {self.log_path}; {every})")
            for place in dead:
                with self._lock:
                    self._processes[place] = self._start()
                    self._born[place] = time.monotonic()

    def _quick_deaths(self, before: int, dead: list[int]) -> int:
        """Count processes in a row that ended by themselves soon after their start: something is wrong with all."""
        now = time.monotonic()
        if any(now - born > QUICK_S for born in self._born):
            return 0
        codes = [self._processes[place].returncode or 0 for place in dead]
        return before + len([code for code in codes if code > 0 and code != EXIT_OUTDATED])

    def _last_words(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._processes[0].returncode}"


def local_workers(
    n: int | None = None,
    functions: Iterable[str] = (),
    *,
    queue: Queue | None = None,
    lease_s: float = LEASE_S,
    executor: ExecutorName = "thread",
    trust: Trust = "own",
) -> LocalWorkers:
    """Start `n` worker processes on this machine (None: one a processor) for the default queue, or `queue`.

    They run the code that you submitted, so that functions typed into a notebook run. Of a queue in a bucket, which
    others may write, they run no job but those that you signed: submissions are signed with a key of yours, kept in
    ``~/.oqkit``, or with the one that is configured (``OQ_SIGNING_KEY_FILE``). With ``trust="everyone"`` they run
    whatever is stored there. `functions` names more to run, as ``module:name``, for jobs that were submitted by the
    name of a task type.
    """
    arguments = ["--trust-code", "--lease", f"{lease_s:g}", "--executor", executor, *functions]
    return LocalWorkers(
        n if n is not None else os.cpu_count() or 1,
        queue=queue or default_queue(),
        arguments=arguments,
        trust=trust,
    )
