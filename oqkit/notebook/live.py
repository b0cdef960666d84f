"""A job on display: refreshed once for all its displays, painted at most twice a second, frozen when it has ended.

The truth is in the queue. A `Live` asks for it, turns it into a `Snapshot`, and hands the views of
that to a `Model` (the widget in the browser, if there is one) and a `Screen` (saved output).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from oqkit.client.handle import Job
from oqkit.errors import OqError
from oqkit.notebook.find import Finder
from oqkit.notebook.html import to_html
from oqkit.notebook.progress import ProgressHistory
from oqkit.notebook.reader import ErrorReader
from oqkit.notebook.snapshot import Snapshot, followed, snapshot_of
from oqkit.notebook.state import to_state
from oqkit.notebook.text import to_text
from oqkit.queue.view import JobView

log = logging.getLogger(__name__)

PAINT_S = 0.5
"""No two updates of one display are nearer than this."""
LONGEST_S = 5.0
GROWTH = 1.3
LINGER_S, IN_USE_S = 60.0, 600.0
"""How long an ended job keeps its buttons after their last use: without and with a panel open."""
HELLO_S = 60.0
GRACE_S = 20.0
"""How long a browser may take to draw the display of a job that had ended before."""
SILENT_S, SILENT_POLL_S = 120.0, 10.0
GONE_S, GONE_POLL_S = 900.0, 60.0
READ_OPEN, READ_FINAL = 8, 32
MAX_DISPLAYS = 50


class Model(Protocol):
    """The live widget in the browser: one for all displays of a job."""

    def paint(self, state: Mapping[str, Any]) -> None:
        """Draw a state."""

    def bundle(self) -> Mapping[str, Any]:
        """Return what makes a front end show the widget."""

    def close(self) -> None:
        """End it."""


class Screen(Protocol):
    """The saved outputs of the notebook."""

    def update(self, display_id: str, bundle: Mapping[str, Any]) -> None:
        """Replace an output."""


@dataclass(slots=True)
class Front:
    """One place in a browser where the widget is drawn."""

    is_visible: bool = True


class Live:
    """One job on display. All of it may be called from any thread.

    `owner` names the board that it is part of: then it is no output of its own, and is never frozen.
    """

    def __init__(self, job: Job, *, screen: Screen, owner: str = "") -> None:
        self.job = job
        self.owner = owner
        self.view: JobView = job._view  # noqa: SLF001 - one view for the handle and its displays: they share requests
        self.repository = job._repository  # noqa: SLF001 - the same
        self.codec = job._collector._codec  # noqa: SLF001 - the same
        self.errors = ErrorReader(self.repository)
        self.finder = Finder(job._collector.index, self.errors)  # noqa: SLF001 - the same
        self.model: Model | None = None
        self.fronts: dict[str, Front] = {}
        self.wants_errors = False
        self.is_in_use = False
        self._screen = screen
        self._displays: list[str] = []
        self._trace: ProgressHistory | None = None
        self._trouble = ""
        self._n_requests = 0
        self._lock = threading.RLock()
        self._looking = threading.Lock()
        self._is_settled = False
        self._opened_ended = False
        self._saved: dict[str, Any] = {}
        now = self._now()
        self._opened = self._word = self._used = now
        self._painted = -PAINT_S
        self._pause_s = self._shortest_s
        self._due = now
        self._last: dict[str, Any] = {}

    def _now(self) -> float:
        return self.repository.store.clock.monotonic()

    @property
    def _shortest_s(self) -> float:
        return max(PAINT_S, self.repository.store.poll_s)

    @property
    def key(self) -> Hashable:
        """What tells it from the displays of other jobs, of other queues and on other boards."""
        return self.repository.store.url, self.job.id, self.owner

    # --- looking ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Describe the job as last seen; no requests."""
        state = self.view.state
        self._trace = followed(state, self._trace)
        groups = self.errors.groups(state)
        return snapshot_of(state, trace=self._trace, groups=groups, n_watching=self._n_requests, trouble=self._trouble)

    def refresh(self, *, unless_within_s: float = 0.0) -> None:
        """Ask the queue what changed, and note what went wrong with that instead of raising."""
        before = sum(self.repository.store.requests.snapshot().values())
        try:
            state = self.view.refresh(unless_within_s=unless_within_s)
            self.errors.read(state, most=self._n_readable())
            self._trouble = ""
        except OqError as error:
            self._trouble = f"What is shown may be old, for the queue did not answer: {error}"
        self._n_requests += sum(self.repository.store.requests.snapshot().values()) - before

    def _n_readable(self) -> int:
        if self.view.state.is_final:
            return READ_FINAL
        return READ_OPEN if self.wants_errors else 0

    # --- displays --------------------------------------------------------------------------------

    def open(self, display_id: str) -> None:
        """Take in one more display, and look at once."""
        with self._lock:
            self._displays = [*self._displays, display_id][-MAX_DISPLAYS:]
            self._opened = self._word = self._used = self._now()
            self.hurry()
            self._opened_ended = self.view.state.is_final
            if self._opened_ended:
                self._saved = _news(self.snapshot())

    @property
    def is_open(self) -> bool:
        """Whether any display is left that is not frozen."""
        return bool(self._displays)

    def has_display(self, display_id: str) -> bool:
        """Whether that display is live."""
        return display_id in self._displays

    def bundle(self, snapshot: Snapshot, *, note: str) -> dict[str, Any]:
        """Return every form of a display: the widget if there is one, HTML and text."""
        twins = {"text/plain": to_text(snapshot), "text/html": to_html(snapshot, note=note)}
        return {**(self.model.bundle() if self.model else {}), **twins}

    # --- words from the browser ------------------------------------------------------------------

    def hear(self, front: str, *, is_visible: bool | None, is_use: bool = False) -> None:
        """Note that a front end spoke; `is_visible` None means that it closed."""
        with self._lock:
            self._word = self._now()
            if is_use:
                self._used = self._word
            was_watched = self.is_watched
            if is_visible is None:
                self.fronts.pop(front, None)
            else:
                self.fronts[front] = Front(is_visible)
            if self.is_watched and not was_watched:
                self.hurry()

    @property
    def is_watched(self) -> bool:
        """Whether somebody may be looking: a visible front, or a display that has not had time to say hello."""
        if any(front.is_visible for front in self.fronts.values()):
            return True
        return self._word <= self._opened or (not self.fronts and self._now() - self._opened < HELLO_S)

    def hurry(self) -> None:
        """Look again as soon as the rate of updates allows."""
        with self._lock:
            self._pause_s = self._shortest_s
            self._due = min(self._due, max(self._now(), self._painted + PAINT_S))
            self._is_settled = False

    # --- the poller ------------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when to call `tick` next (monotonic seconds), or None while nobody looks or there is nothing to see."""
        with self._lock:
            if not self._displays:
                return None
            if self._is_settled:
                if self.owner:
                    return None
                if not self.fronts:
                    return self._opened + GRACE_S
                return self._used + (IN_USE_S if self.is_in_use else LINGER_S)
            return self._due if self.is_watched else None

    def tick(self) -> None:
        """Look once, paint what changed, freeze what is over."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        if self._is_settled:
            if self.due() is not None and self._now() >= (self.due() or 0.0):
                self.freeze()
            return
        if (early_s := self._painted + PAINT_S - self._now()) > 0:
            self.repository.store.clock.sleep(early_s)
        start = self._now()
        self.refresh(unless_within_s=PAINT_S / 2)
        snapshot = self.snapshot()
        self._opened_ended = self._opened_ended and snapshot.is_final
        is_over = snapshot.is_final and not self._trouble
        if not (is_over and self._freezes(snapshot)):  # the frozen form takes its place right away
            self.paint(snapshot)
        with self._lock:
            took_s = self._now() - start
            self._due = self._now() + max(self._pause_s, 3 * took_s, self._silence_s())
            self._pause_s = min(self._pause_s * GROWTH, LONGEST_S)
        if is_over:
            self._settle(snapshot)

    def _silence_s(self) -> float:
        """Return how long to wait at least, when no front end has spoken for long: it may be gone for good."""
        silent_s = self._now() - self._word
        if silent_s > GONE_S:
            return GONE_POLL_S
        return SILENT_POLL_S if silent_s > SILENT_S else 0.0

    def begin(self, model: Model | None, snapshot: Snapshot) -> None:
        """Take in the widget, which was made from a snapshot: so that is painted."""
        self.model = model
        if model is not None:
            self._last = _news(snapshot)
            self._painted = self._now()

    def paint(self, snapshot: Snapshot) -> None:
        """Bring every display up to date, if there is news."""
        news = _news(snapshot)
        if news == self._last:
            return
        changed = {key for key in news if news[key] != self._last.get(key)} - {"facts", "speeds", "topSpeed"}
        self._last = news
        if self.model is not None:
            self.model.paint(to_state(snapshot))
        else:
            self._show(self.bundle(snapshot, note=how_back(snapshot)))
        with self._lock:
            self._painted = self._now()  # when it was sent, not when that began: the time between two is what counts
            if changed:
                self._pause_s = self._shortest_s

    def _freezes(self, snapshot: Snapshot) -> bool:
        """Whether an ended job is frozen at once: nobody can or wants to press a button any more."""
        if self.owner:
            return False
        is_done_here = snapshot.counts["completed"] == snapshot.n_tasks and not self._opened_ended
        is_alone = not self.fronts and not (self._opened_ended and self._now() - self._opened < GRACE_S)
        return self.model is None or is_alone or (is_done_here and not self.is_in_use)

    def _settle(self, snapshot: Snapshot) -> None:
        """Save the final state, and freeze unless somebody may still want a button."""
        if self._freezes(snapshot):
            self.freeze()
            return
        with self._lock:
            news = _news(snapshot)
            is_saved, self._saved = self._saved == news, news
            self._is_settled = True
        if not is_saved:  # a front end draws an output anew when it is saved anew
            self._show(self.bundle(snapshot, note=how_back(snapshot)))

    def give_up(self, trouble: str) -> None:
        """Freeze every display, saying what went wrong with it."""
        self._trouble = trouble
        try:
            self.freeze()
        except Exception:
            log.debug("the display of %s cannot be frozen", self.job, exc_info=True)
            self._displays = []

    def leave(self) -> None:
        """End it without a trace: it was part of something else."""
        with self._lock:
            self.model = None
            self._displays = []
            self.fronts = {}

    def freeze(self, note: str = "") -> None:
        """Turn every display into static HTML, for good."""
        with self._lock:
            model, self.model = self.model, None
            snapshot = self.snapshot()
            self._show(self.bundle(snapshot, note=note or how_back(snapshot)))
            self._displays = []
            self.fronts = {}
            self._last = {}
        if model is not None:
            model.paint({})  # a front end that saves widgets saves nothing of it
            model.close()

    def _show(self, bundle: Mapping[str, Any]) -> None:
        for display_id in self._displays:
            self._screen.update(display_id, bundle)


def _news(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a display shows, but for the time and what looking itself has cost."""
    state = to_state(snapshot)
    del state["asOf"]
    return {**state, "facts": [fact[:2] for fact in state["facts"]]}


def how_back(snapshot: Snapshot) -> str:
    """Say how to see the job again."""
    return f"oq.job({snapshot.label!r}) shows it live."
