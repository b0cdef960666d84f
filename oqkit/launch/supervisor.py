"""Keeping workers running: who dies is replaced, and ever more slowly where something is wrong with all of them."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Mapping, Sequence
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
        self._is_over = False
        self._lock = threading.Lock()
        try:
            self._workers = list(launcher.start(command, n))
        except BaseException:
            launcher.close()
            raise
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
        """Let the workers hand back what they have not started, and end them; kill those that take too long.

        All have `grace_s` seconds together. Who interrupts the waiting has them killed at once.
        """
        if self._is_over:
            return
        self._stopping.set()
        self._guard.join()
        end = time.monotonic() + grace_s
        try:
            for worker in self._workers:
                worker.stop()
            for worker in self._workers:
                if not worker.wait(max(0.0, end - time.monotonic())):
                    worker.kill()
        except BaseException:
            for worker in self.running():
                worker.kill()
            raise
        finally:
            self._is_over = True
            self._launcher.close()
            atexit.unregister(self.stop)

    def _watch(self) -> None:
        limits, launcher = self._limits, self._launcher
        n_quick, trouble, is_slow = 0, "", False
        while not self._stopping.wait(limits.restart_slowly_s if is_slow else limits.restart_every_s):
            was_slow = is_slow
            try:
                ended = self._ended()
                n_quick = self._quick_deaths(n_quick, ended)
                is_slow = n_quick > limits.quick_deaths * len(self)
                if is_slow and not was_slow:
                    trouble = launcher.last_words() or f"exit code {max(ended.values(), default=0)}"
                self._replace(list(ended))
            except Exception as error:  # noqa: BLE001 - of the place: its workers are looked after for as long as this process lives
                is_slow, trouble = True, f"{type(error).__name__}: {error}"
            if is_slow and not was_slow:
                again = f"they are tried again every {limits.restart_slowly_s:g} s"
                tell(f"{launcher.name} cannot start: {trouble} (see {launcher.log}; {again})")

    def _ended(self) -> dict[int, int]:
        """Return the places of the workers that have ended, with their exit codes."""
        codes = enumerate(worker.exit_code() for worker in self._workers)
        return {place: code for place, code in codes if code is not None}

    def _quick_deaths(self, before: int, ended: Mapping[int, int]) -> int:
        """Count workers in a row that ended by themselves soon after their start: something is wrong with all."""
        now, quick_s = time.monotonic(), self._limits.quick_s
        if any(now - born > quick_s for place, born in enumerate(self._born) if place not in ended):
            return 0
        return before + len([code for code in ended.values() if code > 0 and code != EXIT_OUTDATED])

    def _replace(self, places: Sequence[int]) -> None:
        if not places:
            return
        with self._lock:
            for place, worker in zip(places, self._launcher.start(self._command, len(places)), strict=True):
                self._workers[place], self._born[place] = worker, time.monotonic()
