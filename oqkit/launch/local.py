"""Workers: `Worker` in this process, `local_workers` in processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from oqkit.client.connect import default_queue
from oqkit.client.queue import Queue
from oqkit.client.signing import verifier
from oqkit.client.spawn import QueueSpawner
from oqkit.errors import UsageError
from oqkit.launch.command import Trust, WorkerCommand, refuse_trust, worker_command
from oqkit.launch.supervisor import Supervisor
from oqkit.launch.termination import ended_by_sigterm
from oqkit.limits import LaunchLimits
from oqkit.observe.observer import Listener, Observer
from oqkit.payload.codec import ParquetCodec
from oqkit.plain import plain
from oqkit.task.function import as_task, seconds
from oqkit.worker.worker import GRACE_S, LEASE_S, ExecutorName, WorkerLoop


class Worker(WorkerLoop):
    """Runs tasks of a queue in this process: `run` blocks until `stop`, which any thread may call.

    `functions` are what it can run; with `trust_code` also functions that were submitted by value,
    which means running whatever is stored in the queue, and reading whatever files it names; without, files outside
    of the queue are read from its bucket and from `data_roots` alone (see `oq.connect`). `concurrency` leases are worked off at once,
    each in a thread or, with ``executor="process"``, in a child process that is killed and replaced
    when a call runs past its time-out. A lease lasts `lease_s` seconds and is renewed while work
    goes on; on `stop`, calls in progress have `grace_s` seconds to end. Rows whose leases ran out
    `isolates_after` times in a row run in a child process in any case: they may kill what runs them.
    With `aging` (seconds, or such as ``"10m"``) a job that is due gains one priority each time so long has passed, so that
    none waits for ever behind more urgent ones; None: priorities are strict.
    With `shard_leases`, workers that run the same divide the shards of the queue among them where there are thousands of open jobs,
    and each lists its own.
    `observers` are told what it does (see `oqkit.observe.event`), as those of the queue are.
    """

    def __init__(
        self,
        queue: Queue | None = None,
        functions: Iterable[Callable[..., object]] = (),
        *,
        concurrency: int = 1,
        executor: ExecutorName = "thread",
        trust_code: bool = False,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
        isolates_after: int = 2,
        aging: float | str | None = None,
        shard_leases: bool = False,
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
            aging_s=None if aging is None else _aging_s(aging),
            shard_leases=shard_leases,
            name=name,
            spawn=QueueSpawner(queue),
            listeners=[*queue.observers.listeners, *map(Listener, observers)],
        )

    def __repr__(self) -> str:
        return f"<oqkit worker {self.name}>"

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`; with `until_idle` also stop once no open job has anything for this worker.

        Ctrl-C and SIGTERM stop it as `stop` does: rows not started are handed back, calls in progress get the grace period
        to end. SIGTERM then ends the program, unless that handles the signal itself.
        """
        with ended_by_sigterm(self.stop):
            super().run(until_idle=until_idle)


def _aging_s(aging: float | str) -> float:
    if (aging_s := seconds(aging, what="aging")) <= 0:
        raise UsageError(f"aging={aging!r} must be more than 0 seconds; None: priorities are strict")
    return aging_s


class LocalProcess:
    """A worker process of this machine."""

    def __init__(self, arguments: Iterable[str], environment: Mapping[str, str], log_path: Path) -> None:
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "oqkit", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for the waiting, not for the workers
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class LocalLauncher:
    """Starts processes of this machine, which find the modules that this one does, end with it, and write into one file."""

    name = "Local workers"

    def __init__(self) -> None:
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        with tempfile.NamedTemporaryFile(prefix="oqkit-workers-", suffix=".log", delete=False) as file:
            self.log_path = Path(file.name)

    @property
    def log(self) -> str:
        return str(self.log_path)

    def start(self, command: WorkerCommand, n: int) -> list[LocalProcess]:
        arguments = [*command.arguments, "--exit-with", str(os.getpid())]
        environment = {**self._environment, **command.environment}
        started: list[LocalProcess] = []
        try:
            for _ in range(n):
                started.append(LocalProcess(arguments, environment, self.log_path))  # noqa: PERF401 - see below
        except BaseException:  # nobody would know of those that were started
            for process in started:
                process.kill()
            raise
        return started

    def last_words(self) -> str:
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:  # somebody tidied up the folder for temporary files
            return ""
        return lines[-1] if lines else ""

    def close(self) -> None:
        self.log_path.unlink(missing_ok=True)


class LocalWorkers:
    """Worker processes of this machine; use it in a ``with`` block, or call `stop`.

    A process that dies is replaced, and so is one that has loaded a module which was edited since, once a job needs the
    new version. All end when this process does.
    """

    def __init__(self, command: WorkerCommand, *, n: int, limits: LaunchLimits) -> None:
        n = plain(n)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"n={n!r} must be the number of processes, 1 or more")
        launcher = LocalLauncher()
        self.log_path = launcher.log_path
        self._supervisor = Supervisor(launcher, command, n=n, limits=limits)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [process.pid for process in self._supervisor.running()]

    def __len__(self) -> int:
        return len(self._supervisor)

    def __repr__(self) -> str:
        return f"<{len(self.pids)} oqkit worker processes, log in {self.log_path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Let the processes hand back what they have not started, and end them; kill those that take too long."""
        self._supervisor.stop(grace_s=grace_s)


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
    queue = queue or default_queue()
    command = worker_command(queue, functions, lease_s=lease_s, executor=executor, trust=trust)
    return LocalWorkers(command, n=n if n is not None else os.cpu_count() or 1, limits=queue.repository.limits.launch)
