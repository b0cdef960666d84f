"""Showing a job in a notebook: the live widget where there can be one, HTML that follows along elsewhere."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping

from oqkit.client.connect import default_queue
from oqkit.client.handle import Job
from oqkit.client.option import whole
from oqkit.client.queue import Queue
from oqkit.client.wait import Drawing, is_notebook, register_bar
from oqkit.clock import new_id, system_random
from oqkit.notebook.bar import HINT, HtmlBar, Update
from oqkit.notebook.board import BoardSnapshot, Jobs, board_html, board_text
from oqkit.notebook.display_manager import DisplayManager
from oqkit.notebook.live import Live, Model, how_back
from oqkit.notebook.message import MessageHandler
from oqkit.notebook.snapshot import Snapshot
from oqkit.notebook.state import to_state
from oqkit.queue.view import JobState, JobView

FIRST_LOOK_S = 0.4
LAST_LOOK_S = 2.0
MODE = "OQ_NOTEBOOK"
"""Environment variable: ``static`` shows no widget, for front ends that cannot load one."""


class NotebookScreen:
    """A `Screen` of IPython."""

    def update(self, display_id: str, bundle: Mapping[str, object]) -> None:
        put(bundle, display_id, is_new=False)


displays = DisplayManager(NotebookScreen())
_places: dict[str, tuple[int, str]] = {}
"""Where a job was shown last: the number of the cell's execution, and the display."""
_hinted: list[str] = []
_browser: list[bool] = []
"""Not empty once a widget has spoken: until then there may be nobody who could press a button."""


def show(job: Job) -> None:
    """Display a job, live until it has ended; once a cell, however often the cell asks for it."""
    live = displays.live(job)
    place = _place(job)
    if place is not None and live.has_display(place):
        live.hurry()
        displays.wake()
        return
    look(live)
    snapshot = live.watch.snapshot()
    is_complete = snapshot.counts["completed"] == snapshot.n_tasks
    if place is not None and is_complete:
        return  # the display that this cell has shows it, and is frozen
    is_seen = bool(_browser) or not _places
    display_id = place or _new_place(job)
    if snapshot.is_final and not is_seen:
        put(live.bundle(snapshot, note=how_back(snapshot)), display_id, is_new=place is None)
        return
    if live.model is None:
        live.begin(_model(live, snapshot), snapshot)
    put(live.bundle(snapshot, note=how_back(snapshot)), display_id, is_new=place is None)
    displays.open(live, display_id)


def bar(job: Job, *, view: JobView, why: Callable[[JobState], str], blocks: bool) -> Drawing:
    """Return what a wait shows: the live display where the kernel stays free, else HTML that follows along."""
    if not blocks:
        return _LiveBar(job, view)
    note = "" if _hinted else HINT
    _hinted.append(note)
    return HtmlBar(view, begin=lambda bundle: _begin(job, bundle), note=note, why=why)


class _LiveBar:
    """The live display of a job, shown only if it is not on display yet and its wait takes time."""

    def __init__(self, job: Job, view: JobView) -> None:
        self._job = job
        self._view = view

    def update(self) -> None:
        if not self._view.state.is_final and not displays.live(self._job).is_open:
            show(self._job)

    def close(self) -> None:
        """Show where a job ended, so that what the next cell does cannot overtake the display."""
        live = displays.live(self._job)
        if live.is_open and self._view.state.is_final:  # an interrupt is quick
            thread = threading.Thread(target=_look_last, args=(live,), name="oqkit-look", daemon=True)
            thread.start()
            thread.join(LAST_LOOK_S)


def _look_last(live: Live) -> None:
    live.watch.refresh()  # what it saw a moment ago was not the end yet
    displays.tick(live)


def _begin(job: Job, bundle: Mapping[str, object]) -> Update:
    display_id = _new_place(job)
    put(bundle, display_id, is_new=True)
    return lambda later: put(later, display_id, is_new=False)


def put(bundle: Mapping[str, object], display_id: str, *, is_new: bool) -> None:
    """Write an output, or replace one."""
    from IPython.display import display  # there is an IPython wherever this is called

    display(dict(bundle), raw=True, display_id=display_id, update=not is_new)  # type: ignore[no-untyped-call]


def _place(job: Job) -> str | None:
    """Return the display of this job in the cell that runs now, if there is one."""
    number, display_id = _places.get(job.id, (-1, ""))
    return display_id if number == _cell() else None


def _new_place(job: Job) -> str:
    display_id = f"oqkit-{new_id(system_random())}"
    _places[job.id] = _cell(), display_id
    return display_id


def _cell() -> int:
    return int(sys.modules["IPython"].get_ipython().execution_count)


def look(live: Live) -> None:
    """Look once, but do not wait longer than a reader would notice: the poller brings the rest."""
    thread = threading.Thread(
        target=live.watch.refresh, kwargs={"unless_within_s": 1.0}, name="oqkit-look", daemon=True
    )
    thread.start()
    thread.join(FIRST_LOOK_S)


def _model(live: Live, snapshot: Snapshot) -> Model | None:
    if os.environ.get(MODE) == "static":
        return None
    try:
        from oqkit.notebook.widget import WidgetModel  # half a second, and optional
    except ImportError:
        return None
    return WidgetModel(to_state(snapshot), MessageHandler(live, wake=_hear))


def _hear() -> None:
    _browser[:] = [True]
    displays.wake()


class Board:
    """The newest jobs of a queue, each of which opens to its display; `look` asks the queue again."""

    def __init__(self, queue: Queue, *, limit: int) -> None:
        self._queue = queue
        self._jobs = Jobs(queue.repository, limit=limit)
        self.snapshot = self._jobs.look()

    def look(self) -> BoardSnapshot:
        """Ask the queue, and return what there is now."""
        self.snapshot = self._jobs.look()
        return self.snapshot

    def __repr__(self) -> str:
        return board_text(self.snapshot)

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        note = "oq.board() shows it live."
        bundle: dict[str, object] = {"text/plain": repr(self), "text/html": board_html(self.snapshot, note=note)}
        return {**_panel(self, self._queue), **bundle} if is_notebook() else bundle


def _panel(board: Board, queue: Queue) -> Mapping[str, object]:
    if os.environ.get(MODE) == "static":
        return {}
    try:
        from oqkit.notebook.board_widget import BoardWidget  # half a second, and optional
    except ImportError:
        return {}
    return BoardWidget(queue, look=board.look, board=board.snapshot, displays=displays).bundle()


def board(*, limit: int = 20) -> Board:
    """Show the newest `limit` jobs of the default queue, each of which opens to its display."""
    return Board(default_queue(), limit=whole(limit, what="limit", low=1, high=200))


def register() -> None:
    """Make a notebook show jobs with `show`; anywhere else do nothing."""
    if not is_notebook():
        return
    shell = sys.modules["IPython"].get_ipython()
    shell.display_formatter.ipython_display_formatter.for_type(Job, show)
    register_bar(bar)
    atexit.register(_close)
    threading.Thread(target=_warm_up, name="oqkit-warm-up", daemon=True).start()


def _warm_up() -> None:
    """Import the widget before it is wanted."""
    try:
        import oqkit.notebook.widget  # noqa: F401 - for the import's own sake
    except ImportError:
        return


def _close() -> None:
    displays.close(lambda live: f"This kernel has ended, the job goes on. {how_back(live.watch.snapshot())}")
