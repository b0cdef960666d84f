"""One thread that looks after all displays of this kernel, and ends when there is nothing to look at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable

from oqkit.client.handle import Job
from oqkit.notebook.live import Live, Screen

log = logging.getLogger(__name__)


class DisplayManager:
    """The displays of a kernel, one `Live` a job."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._lives: dict[Hashable, Live] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def live(self, job: Job, *, owner: str = "") -> Live:
        """Return what displays a job, the same for every handle of it; `open` it before it counts."""
        with self._condition:
            new = Live(job, screen=self._screen, owner=owner)
            known = self._lives.get(new.key)
            if known is None and owner:  # the view of a display that is there: so the two share requests
                own = self._lives.get(Live(job, screen=self._screen).key)
                return Live(own.job, screen=self._screen, owner=owner) if own else new
            return known or new

    def open(self, live: Live, display_id: str) -> None:
        """Look after one more display."""
        with self._condition:
            self._lives[live.key] = live
            live.open(display_id)
        self.wake()

    def lives(self) -> list[Live]:
        """Return what is on display."""
        with self._condition:
            return list(self._lives.values())

    def wake(self) -> None:
        """Have the thread look what is due now, starting it if there is none."""
        with self._condition:
            if self._thread is None and any(live.due() is not None for live in self._lives.values()):
                self._thread = threading.Thread(target=self._run, name="oqkit-display", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def close(self, note: Callable[[Live], str]) -> None:
        """Freeze every display."""
        for live in self.lives():
            if live.is_open and not live.owner:
                live.freeze(note(live))

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._condition:
                pause_s = self.pause_s()
                if pause_s is None:
                    self._thread = None
                    return
                if pause_s > 0:
                    self._condition.wait(pause_s)
                    continue
            self.step()

    def pause_s(self) -> float | None:
        """Return how long nothing is due, or None if nothing ever will be by itself."""
        waits = [due - live.watch.now() for live in self._lives.values() if (due := live.due()) is not None]
        return max(0.0, min(waits)) if waits else None

    def step(self) -> None:
        """Look after everything that is due."""
        for live in self.lives():
            due = live.due()
            if due is not None and due <= live.watch.now():
                self.tick(live)
        with self._condition:
            self._lives = {key: live for key, live in self._lives.items() if live.is_open}

    def tick(self, live: Live) -> None:
        """Look after one display; whatever goes wrong there is shown there."""
        try:
            live.tick()
        except Exception as error:
            log.debug("the display of %s failed", live.job, exc_info=True)
            live.give_up(f"The display stopped: {type(error).__name__}: {error}")
