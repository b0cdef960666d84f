"""Showing a job in a notebook: the live widget where there can be one, HTML that follows along elsewhere."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from oqkit.clock import new_id, system_random
from oqkit.frame.job import Job
from oqkit.frame.watch import is_notebook
from oqkit.notebook.desk import Desk
from oqkit.notebook.hub import Hub
from oqkit.notebook.live import Live, how_back
from oqkit.notebook.snapshot import Snapshot
from oqkit.notebook.state import to_state

FIRST_LOOK_S = 0.4
MODE = "OQ_NOTEBOOK"
"""Environment variable: ``static`` shows no widget, for front ends that cannot load one."""


class NotebookScreen:
    """A `Screen` of IPython."""

    def update(self, display_id: str, bundle: Mapping[str, Any]) -> None:
        from IPython.display import display  # there is an IPython wherever this is called

        display(dict(bundle), raw=True, display_id=display_id, update=True)


_hub = Hub(NotebookScreen())


def show(job: Job) -> None:
    """Display a job in the notebook, live until it has ended."""
    from IPython.display import display  # there is an IPython wherever this is called

    live = _hub.live(job)
    look(live)
    snapshot = live.snapshot()
    if live.model is None:
        live.model = _model(live, snapshot)
    display_id = f"oqkit-{new_id(system_random())}"
    display(live.bundle(snapshot, note=how_back(snapshot)), raw=True, display_id=display_id)
    _hub.open(live, display_id)


def look(live: Live) -> None:
    """Look once, but do not wait longer than a reader would notice: the poller brings the rest."""
    thread = threading.Thread(target=live.refresh, kwargs={"unless_within_s": 1.0}, name="oqkit-look", daemon=True)
    thread.start()
    thread.join(FIRST_LOOK_S)


def _model(live: Live, snapshot: Snapshot) -> Any:
    if os.environ.get(MODE) == "static":
        return None
    try:
        from oqkit.notebook.widget import WidgetModel  # half a second, and optional
    except ImportError:
        return None
    return WidgetModel(to_state(snapshot), Desk(live, wake=_hub.wake))


def register() -> None:
    """Make a notebook show jobs with `show`; anywhere else do nothing."""
    if not is_notebook():
        return
    shell = sys.modules["IPython"].get_ipython()
    shell.display_formatter.ipython_display_formatter.for_type(Job, show)
    atexit.register(_close)
    threading.Thread(target=_warm_up, name="oqkit-warm-up", daemon=True).start()


def _warm_up() -> None:
    """Import the widget before it is wanted."""
    try:
        import oqkit.notebook.widget  # noqa: F401 - for the import's own sake
    except ImportError:
        return


def _close() -> None:
    _hub.close(lambda live: f"This kernel has ended, the job goes on. {how_back(live.snapshot())}")
