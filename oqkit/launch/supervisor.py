"""Keeping workers running: who dies is replaced, and ever more slowly where something is wrong with all of them."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from oqkit.client.wait import tell
from oqkit.launch.command import WorkerCommand
from oqkit.launch.launcher import EXIT_OUTDATED, Launcher, StartedWorker
from oqkit.limits import LaunchLimits
from oqkit.worker.worker import GRACE_S

W = TypeVar("W", bound=StartedWorker)


class Supervisor(Generic[W]):
    """Keeps `n` workers of one place running until `stop`, or the end of this process."""

    def __init__(self, launcher: Launcher[W], command: WorkerCommand, *, n: int, limits: LaunchLimits) -> None:
        self._launcher = launcher
        self._limits = limits
        self._command = command
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._workers = list(launcher.start(command, n))
        self._born = [time.monotonic()] * n
        self._guard = threading.Thread(target=self._watch, name="oqkit-supervisor", daemon=True)
        self._guard.start()
        atexit.register(self.stop)

    def __len__(self) -> int:
        return len(self._workers)

    def running(self) -> list[W]:
        """Return the workers that run now."""
        with self._lock:
            return [worker for worker in self._workers if worker.exit_code() is None]

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Let the workers hand back what they have not started, and end them; kill those that take too long."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        atexit.unregister(self.stop)
        self._guard.join()
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            if not worker.wait(grace_s):
                worker.kill()
        self._launcher.close()

    def _watch(self) -> None:
        limits = self._limits
        n_quick, pause_s = 0, limits.restart_every_s
        while not self._stopping.wait(pause_s):
            ended = {
                place: code for place, worker in enumerate(self._workers) if (code := worker.exit_code()) is not None
            }
            n_quick = self._quick_deaths(n_quick, ended.values())
            if not n_quick:
                pause_s = limits.restart_every_s
            elif n_quick > limits.quick_deaths * len(self) and pause_s < limits.restart_slowly_s:
                pause_s = limits.restart_slowly_s
                self._tell_trouble(pause_s)
            self._replace(list(ended))

    def _quick_deaths(self, before: int, codes: Iterable[int]) -> int:
        """Count workers in a row that ended by themselves soon after their start: something is wrong with all."""
        now = time.monotonic()
        if any(now - born > self._limits.quick_s for born in self._born):
            return 0
        return before + len([code for code in codes if code > 0 and code != EXIT_OUTDATED])

    def _tell_trouble(self, pause_s: float) -> None:
        launcher = self._launcher
        words = launcher.last_words() or f"exit code {self._workers[0].exit_code()}"
        tell(f"{launcher.name} cannot start: {words} (see {launcher.log}; they are tried again every {pause_s:g} s)")

    def _replace(self, places: Sequence[int]) -> None:
        if not places:
            return
        with self._lock:
            for place, worker in zip(places, self._launcher.start(self._command, len(places)), strict=True):
                self._workers[place], self._born[place] = worker, time.monotonic()
