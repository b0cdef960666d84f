"""What a display knows of its job: the state, the errors, what changed since, and what asking has cost."""

from __future__ import annotations

from oqkit.client.handle import Job
from oqkit.errors import OqError
from oqkit.notebook.find import Finder
from oqkit.notebook.progress import ProgressHistory
from oqkit.notebook.reader import ErrorReader
from oqkit.notebook.snapshot import Snapshot, followed, snapshot_of, uploads_of
from oqkit.queue.view import JobState, JobView

READ_OPEN, READ_FINAL = 8, 32


class JobWatch:
    """Asks the queue about one job, and describes what it said. Threads may share it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.view: JobView = job._view  # noqa: SLF001 - one view for the handle and its displays: they share requests
        self.repository = job._repository  # noqa: SLF001 - the same
        self.codec = job._collector._codec  # noqa: SLF001 - the same
        self.workers = job._workers  # noqa: SLF001 - the same
        self.errors = ErrorReader(self.repository)
        self.finder = Finder(job._collector.index, self.errors)  # noqa: SLF001 - the same
        self.wants_errors = False
        """Whether somebody looks at the errors of a job that still runs."""
        self.trouble = ""
        """Why what is known may be old, or is not all; empty if neither is so."""
        self._history: ProgressHistory | None = None
        self._n_requests = 0
        self._n_uploads = uploads_of(self.state.job)

    @property
    def state(self) -> JobState:
        """The job as last seen."""
        return self.view.state

    def now(self) -> float:
        """Return this machine's monotonic time, in seconds."""
        return self.repository.store.clock.monotonic()

    def refresh(self, *, unless_within_s: float = 0.0, is_seen: bool = True) -> None:
        """Ask the queue what changed, and note what went wrong with that instead of raising.

        While nobody has seen it for long, workers are not asked why nothing happens.
        """
        before = sum(self.repository.store.requests.snapshot().values())
        try:
            state = self.view.refresh(unless_within_s=unless_within_s)
            self.job._reconciler.look(self.state)  # noqa: SLF001 - the same
            self.errors.read(state, most=self._n_readable(state))
            if is_seen:
                self.workers.why(state)
            self.trouble = f"Not all of it is known: {why}" if (why := state.why_unreadable) else ""
        except OqError as error:
            self.trouble = f"What is shown may be old, for the queue did not answer: {error}"
        self._n_requests += sum(self.repository.store.requests.snapshot().values()) - before

    def _n_readable(self, state: JobState) -> int:
        if state.is_final:
            return READ_FINAL
        return READ_OPEN if self.wants_errors else 0

    def snapshot(self) -> Snapshot:
        """Describe the job as last seen; no requests."""
        state = self.state
        self._history = followed(state, self._history)
        groups = self.errors.groups(state)
        return snapshot_of(
            state,
            trace=self._history,
            n_uploads=self._n_uploads,
            groups=groups,
            n_watching=self._n_requests,
            why=self.workers.said(state),
            trouble=self.trouble,
        )
