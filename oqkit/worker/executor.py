"""Where the user's function runs: in a thread of this process, or (see `process`) in a child process."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from oqkit.worker.run import Work, run
from oqkit.worker.tray import Tray

log = logging.getLogger(__name__)


class Execution(Protocol):
    """Work that is being run onto a tray."""

    finished: threading.Event
    """Set when nothing more will come onto the tray."""

    @property
    def crash(self) -> str:
        """Return why the running ended before its time (how the process died), or an empty string."""

    def abandon(self) -> None:
        """Give the work up at once: whatever is still running must leave no trace."""


class Executor(Protocol):
    """Starts work; one for each slot of a worker."""

    def start(self, work: Work, tray: Tray) -> Execution:
        """Begin to run `work` in the background."""

    def close(self) -> None:
        """Free what the executor holds."""


class ThreadExecution:
    """Work in a daemon thread. It cannot be killed: abandoned, it ends with its present call, unheard."""

    def __init__(self, work: Work, tray: Tray) -> None:
        self.crash = ""
        self.finished = threading.Event()
        self._tray = tray
        threading.Thread(target=self._run, args=(work,), name="oqkit-run", daemon=True).start()

    def _run(self, work: Work) -> None:
        try:
            run(work, self._tray)
        except Exception as error:  # not the user's function, but a thread has nobody to raise to
            log.exception("running job %s broke", work.job_id)
            self.crash = f"{type(error).__name__}: {error}"
        finally:
            self.finished.set()

    def abandon(self) -> None:
        """Start no further call."""
        self._tray.limit = 0


class ThreadExecutor:
    """Runs work in threads of this process."""

    def start(self, work: Work, tray: Tray) -> ThreadExecution:
        """Begin to run `work` in a new thread."""
        return ThreadExecution(work, tray)

    def close(self) -> None:
        """Hold nothing."""
