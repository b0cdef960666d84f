"""The bar of a blocking wait: static HTML that follows along, since no button could work meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from oqkit.notebook.html import to_html
from oqkit.notebook.progress import ProgressHistory
from oqkit.notebook.snapshot import Snapshot, followed, snapshot_of, uploads_of
from oqkit.notebook.text import to_text
from oqkit.queue.view import JobState, JobView

PAINT_S = 0.5
HINT = "While this cell blocks, no button of a job's display can work: 'await job' waits and keeps them alive."

Update = Callable[[Mapping[str, object]], None]


class HtmlBar:
    """Draws a view with `update`, at most twice a second; the first time it is drawn by `begin`."""

    def __init__(
        self,
        view: JobView,
        *,
        begin: Callable[[Mapping[str, object]], Update],
        note: str,
        why: Callable[[JobState], str] = lambda _: "",
    ) -> None:
        self._view = view
        self._why = why
        self._begin = begin
        self._update: Update | None = None
        self._note = note
        self._trace: ProgressHistory | None = None
        self._painted = float("-inf")
        self._n_uploads = uploads_of(view.state.job)

    def update(self) -> None:
        """Draw, unless it was drawn just now; of a job that was over from the start, nothing."""
        if self._update is None and self._view.state.is_final:
            return
        now = self._view.now()
        if now - self._painted < PAINT_S and not self._view.state.is_final:
            return
        self._painted = now
        self._draw(self._note)

    def close(self) -> None:
        """Draw the last state."""
        if self._update is not None:
            job = self._view.state.job
            self._draw(
                ""
                if self._view.state.is_final
                else f"Nobody waits here any more: oq.job({job.name or job.id!r}) shows it live."
            )

    def _draw(self, note: str) -> None:
        snapshot = self._snapshot()
        bundle = {"text/plain": to_text(snapshot), "text/html": to_html(snapshot, note=note)}
        if self._update is None:
            self._update = self._begin(bundle)
        else:
            self._update(bundle)

    def _snapshot(self) -> Snapshot:
        self._trace = followed(self._view.state, self._trace)
        return snapshot_of(
            self._view.state, trace=self._trace, n_uploads=self._n_uploads, why=self._why(self._view.state)
        )
