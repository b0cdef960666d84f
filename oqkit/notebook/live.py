"""A job on display: refreshed once for all its displays, painted at most twice a second, frozen when it has ended.

The truth is in the queue. A `Live` has its `JobWatch` ask for it, hands the views of that to a `Model` (the widget in
the browser, if there is one) and a `Screen` (saved output), and does what its `Lifecycle` says.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping
from typing import Protocol, assert_never

from oqkit.client.handle import Job
from oqkit.notebook.html import to_html
from oqkit.notebook.humanize import facts
from oqkit.notebook.job_watch import JobWatch
from oqkit.notebook.lifecycle import PAINT_S, Lifecycle, Step
from oqkit.notebook.snapshot import Snapshot
from oqkit.notebook.state import to_state
from oqkit.notebook.text import to_text

log = logging.getLogger(__name__)

MAX_DISPLAYS = 50


class Model(Protocol):
    """The live widget in the browser: one for all displays of a job."""

    def paint(self, state: Mapping[str, object]) -> None:
        """Draw a state."""

    def bundle(self) -> Mapping[str, object]:
        """Return what makes a front end show the widget."""

    def close(self) -> None:
        """End it."""


class Screen(Protocol):
    """The saved outputs of the notebook."""

    def update(self, display_id: str, bundle: Mapping[str, object]) -> None:
        """Replace an output."""


class Live:
    """One job on display. All of it may be called from any thread.

    `owner` names the board that it is part of: then it is no output of its own, and is never frozen.
    """

    def __init__(self, job: Job, *, screen: Screen, owner: str = "") -> None:
        self.watch = JobWatch(job)
        self.owner = owner
        self.model: Model | None = None
        self.life = Lifecycle(shortest_s=max(PAINT_S, self.watch.repository.store.poll_s), is_part=bool(owner))
        self._screen = screen
        self._displays: list[str] = []
        self._painted: dict[str, object] = {}
        """The news that the displays show."""
        self._saved: dict[str, object] = {}
        """The news that the saved outputs show."""
        self._lock = threading.RLock()
        self._looking = threading.Lock()

    @property
    def job(self) -> Job:
        """The handle of the job."""
        return self.watch.job

    @property
    def key(self) -> Hashable:
        """What tells it from the displays of other jobs, of other queues and on other boards."""
        return self.watch.repository.store.url, self.job.id, self.owner

    # --- displays --------------------------------------------------------------------------------

    def open(self, display_id: str) -> None:
        """Take in one more display, and look at once."""
        with self._lock:
            self._displays = [*self._displays, display_id][-MAX_DISPLAYS:]
            self.life = self.life.open(self.watch.now(), has_ended=self.watch.state.is_final)
            if self.life.had_ended:
                self._saved = _news(self.watch.snapshot())

    @property
    def is_open(self) -> bool:
        """Whether any display is left that is not frozen."""
        return bool(self._displays)

    def has_display(self, display_id: str) -> bool:
        """Whether that display is live."""
        return display_id in self._displays

    def bundle(self, snapshot: Snapshot, *, note: str) -> dict[str, object]:
        """Return every form of a display: the widget if there is one, HTML and text."""
        twins = {"text/plain": to_text(snapshot), "text/html": to_html(snapshot, note=note)}
        return {**(self.model.bundle() if self.model else {}), **twins}

    # --- words from the browser ------------------------------------------------------------------

    def hear(self, front: str, *, is_visible: bool | None, is_use: bool = False) -> None:
        """Note that a front end spoke; `is_visible` None means that it closed."""
        with self._lock:
            self.life = self.life.hear(front, self.watch.now(), is_visible=is_visible, is_use=is_use)

    def use(self, *, panel: bool, errors: bool) -> None:
        """Note whether a panel is open, and whether it shows errors."""
        with self._lock:
            self.life = self.life.with_panel(is_open=panel)
            self.watch.wants_errors = errors
        self.hurry()

    def hurry(self) -> None:
        """Look again as soon as the rate of updates allows."""
        with self._lock:
            self.life = self.life.hurry(self.watch.now())

    # --- the poller ------------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when to call `tick` next (monotonic seconds), or None while nobody looks or there is nothing to see."""
        with self._lock:
            return self.life.next_step(self.watch.now())

    def tick(self) -> None:
        """Look once, paint what changed, freeze what is over."""
        with self._looking:
            match self.life.step(self.watch.now()):
                case Step.FREEZE:
                    self.freeze()
                case Step.LOOK:
                    self._look()
                case Step.NOTHING:
                    pass
                case never:
                    assert_never(never)

    def _look(self) -> None:
        if (early_s := self.life.painted + PAINT_S - self.watch.now()) > 0:
            self.watch.repository.store.clock.sleep(early_s)
        start = self.watch.now()
        self.watch.refresh(unless_within_s=PAINT_S / 2, is_seen=not self.life.is_silent(start))
        snapshot = self.watch.snapshot()
        with self._lock:
            self.life = self.life.see(is_final=snapshot.is_final)
        is_over = snapshot.is_final and not self.watch.trouble
        freezes = is_over and self._freezes(snapshot)
        if not freezes:  # the frozen form takes its place right away
            self.paint(snapshot)
        with self._lock:
            now = self.watch.now()
            self.life = self.life.rest(now, took_s=now - start)
        if freezes:
            self.freeze()
        elif is_over:
            self._linger(snapshot)

    def begin(self, model: Model | None, snapshot: Snapshot) -> None:
        """Take in the widget, which was made from a snapshot: so that is painted."""
        self.model = model
        if model is not None:
            self._painted = _news(snapshot)
            self.life = self.life.paint(self.watch.now(), has_news=False)

    def paint(self, snapshot: Snapshot) -> None:
        """Bring every display up to date, if there is news."""
        news = _news(snapshot)
        if news == self._painted:
            return
        changed = {key for key in news if news[key] != self._painted.get(key)} - {"facts", "speeds", "topSpeed"}
        self._painted = news
        if self.model is not None:
            self.model.paint(to_state(snapshot))
        else:
            self._show(self.bundle(snapshot, note=how_back(snapshot)))
        with self._lock:  # when it was sent, not when that began: the time between two is what counts
            self.life = self.life.paint(self.watch.now(), has_news=bool(changed))

    def _freezes(self, snapshot: Snapshot) -> bool:
        is_complete = snapshot.counts["completed"] == snapshot.n_tasks
        return self.life.freezes(self.watch.now(), is_complete=is_complete, has_model=self.model is not None)

    def _linger(self, snapshot: Snapshot) -> None:
        """Save the final state, and keep the buttons: somebody may still want one."""
        with self._lock:
            news = _news(snapshot)
            is_saved, self._saved = self._saved == news, news
            self.life = self.life.linger()
        if not is_saved:  # a front end draws an output anew when it is saved anew
            self._show(self.bundle(snapshot, note=how_back(snapshot)))

    def give_up(self, trouble: str) -> None:
        """Freeze every display, saying what went wrong with it."""
        self.watch.trouble = trouble
        try:
            self.freeze()
        except Exception:
            log.debug("the display of %s cannot be frozen", self.job, exc_info=True)
            self._displays = []

    def leave(self) -> None:
        """End it without a trace: it was part of something else."""
        with self._lock:
            self._close()

    def freeze(self, note: str = "") -> None:
        """Turn every display into static HTML, for good."""
        with self._lock:
            model, self.model = self.model, None
            snapshot = self.watch.snapshot()
            self._show(self.bundle(snapshot, note=note or how_back(snapshot)))
            self._close()
        if model is not None:
            model.paint({})  # a front end that saves widgets saves nothing of it
            model.close()

    def _close(self) -> None:
        self.model = None
        self._displays = []
        self._painted = {}
        self.life = self.life.close()

    def _show(self, bundle: Mapping[str, object]) -> None:
        for display_id in self._displays:
            self._screen.update(display_id, bundle)


def _news(snapshot: Snapshot) -> dict[str, object]:
    """Return what a display shows, but for the time and what looking itself has cost."""
    state = to_state(snapshot)
    del state["asOf"]
    return {**state, "facts": [(fact.key, fact.text) for fact in facts(snapshot)]}


def how_back(snapshot: Snapshot) -> str:
    """Say how to see the job again."""
    return f"oq.job({snapshot.label!r}) shows it live."
