"""The widget of the board: the table of jobs, and in it the displays of those that are open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping

import traitlets

from oqkit.client.queue import Queue
from oqkit.errors import OqError
from oqkit.notebook.board import BoardSnapshot, board_state
from oqkit.notebook.display_manager import DisplayManager
from oqkit.notebook.live import Live
from oqkit.notebook.message import MessageHandler, Question
from oqkit.notebook.state import fitted, to_state
from oqkit.notebook.widget import FrontView, bundle_of

MAX_OPEN = 5
MAX_STATES_BYTES = 9_500


class BoardView(FrontView):
    """What the browser draws: the jobs, and the state of each job that is open."""

    board = traitlets.Dict().tag(sync=True)
    states = traitlets.Dict().tag(sync=True)


class BoardWidget:
    """A board in a browser."""

    def __init__(
        self, queue: Queue, *, look: Callable[[], BoardSnapshot], board: BoardSnapshot, displays: DisplayManager
    ) -> None:
        self._queue = queue
        self._look = look
        self._displays = displays
        self._view = BoardView(board=board_state(board), states={})
        self._open: dict[str, tuple[Live, MessageHandler]] = {}
        self._lock = threading.Lock()
        self._view.on_msg(self._on_message)

    def bundle(self) -> Mapping[str, object]:
        """Return what makes a front end show it."""
        return bundle_of(self._view)

    def _on_message(self, _: object, message: object, __: object) -> None:
        if not isinstance(message, Mapping):
            return
        opened = self._open.get(str(message.get("job", "")))
        if opened is not None and opened[1].hear(message):
            return
        threading.Thread(target=self._answer, args=(dict(message), opened), name="oqkit-answer", daemon=True).start()

    def _answer(self, message: Mapping[str, object], opened: tuple[Live, MessageHandler] | None) -> None:
        head = Question(message).head
        try:
            answer = self._act(message, opened)
        except OqError as error:
            answer = {**head, "refused": f"{type(error).__name__}: {str(error)[:500]}"}
        except Exception as error:  # noqa: BLE001 - a thread must not print; the asker is told
            answer = {**head, "refused": f"The answer failed: {type(error).__name__}: {str(error)[:300]}"}
        with contextlib.suppress(AttributeError):  # closed meanwhile: there is no comm any more
            self._view.send({**head, **answer})

    def _act(self, message: Mapping[str, object], opened: tuple[Live, MessageHandler] | None) -> dict[str, object]:
        match message.get("op"):
            case "refresh":
                self._view.board = board_state(self._look())
                return {}
            case "open":
                self._show(str(message.get("job", "")))
                return {}
            case "close":
                self._close(str(message.get("job", "")))
                return {}
            case _ if opened is not None:
                return opened[1].answer(message)
            case _:
                return {"refused": "That job is not open on this board."}

    # --- the jobs that are open --------------------------------------------------------------------

    def _show(self, job_id: str) -> None:
        live = self._displays.live(self._queue.job(job_id), owner=str(id(self)))
        live.watch.refresh(unless_within_s=1.0)
        live.model = _Slot(self, job_id)
        with self._lock:
            while len(self._open) >= MAX_OPEN:
                self._drop(next(iter(self._open)))
            self._open[job_id] = live, MessageHandler(live, wake=self._displays.wake)
        self._put(job_id, to_state(live.watch.snapshot()))
        self._displays.open(live, f"board-{job_id}")

    def _close(self, job_id: str) -> None:
        with self._lock:
            self._drop(job_id)
        self._put(job_id, None)

    def _drop(self, job_id: str) -> None:
        live, _ = self._open.pop(job_id, (None, None))
        if live is not None:
            live.leave()

    def _put(self, job_id: str, state: Mapping[str, object] | None) -> None:
        with self._lock:
            states = {key: value for key, value in self._view.states.items() if key in self._open and key != job_id}
            if state and job_id in self._open:
                states[job_id] = dict(state)
            self._view.states = fitted(states, MAX_STATES_BYTES)


class _Slot:
    """The `Model` of one job on a board."""

    def __init__(self, panel: BoardWidget, job_id: str) -> None:
        self._panel = panel
        self._job_id = job_id

    def paint(self, state: Mapping[str, object]) -> None:
        self._panel._put(self._job_id, state)  # noqa: SLF001 - two halves of one widget

    def bundle(self) -> Mapping[str, object]:
        return {}

    def close(self) -> None:
        """Nothing: the board goes on."""
