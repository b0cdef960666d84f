"""What a browser may ask of a job, and the answers: pages, errors, one task, cancel, retry, pause, resume.

Questions come from a web page, so nothing in them is trusted: unknown ones get an error, numbers are
checked, and answers are cut to a size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oqkit.errors import OqError
from oqkit.notebook.humanize import first_line, group_title, moment, plural
from oqkit.notebook.live import Live
from oqkit.notebook.page import Table, TaskRow, row_of
from oqkit.notebook.reader import failure_at, input_at, result_at
from oqkit.notebook.snapshot import SEGMENTS
from oqkit.notebook.state import fitted
from oqkit.task.failure import cut

PAGE_ROWS = 25
GROUP_ROWS = 40
READ_ALL = 1_000
MAX_TRACEBACK = 5_000
MAX_MESSAGE = 1_500
MAX_REPLY_BYTES = 9_500


@dataclass(frozen=True, slots=True)
class Question:
    """A message from a browser, of which nothing is trusted."""

    content: Mapping[str, object]

    @property
    def front(self) -> str:
        """Which front end asks."""
        return self.text("view", limit=40)

    @property
    def head(self) -> dict[str, object]:
        """What an answer repeats, so that the asker knows its own."""
        return {name: self.content.get(name) for name in ("view", "id", "op")}

    def text(self, name: str, *, limit: int) -> str:
        """Return a text, cut; empty if there is none."""
        return str(self.content.get(name, ""))[:limit]

    def whole(self, name: str, *, default: int | None = None) -> int:
        """Return a whole number, or raise `ValueError`."""
        value = self.content.get(name, default)
        if not isinstance(value, int | float | str):
            raise ValueError(f"{name} is no number")  # noqa: TRY004 - what cannot be asked is one kind of error
        return int(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return whether something is so."""
        return bool(self.content.get(name, default))


class MessageHandler:
    """Answers for one job. `answer` may take a while, so it is not for the kernel's main thread; `hear` is."""

    def __init__(self, live: Live, *, wake: Callable[[], None]) -> None:
        self._live = live
        self._wake = wake
        self._table = Table()
        self._answers: dict[str, Callable[[Question], dict[str, object]]] = {
            "page": self._page,
            "group": self._group,
            "task": self._task,
            "errors": self._errors,
            "cancel": self._cancel,
            "retry": self._retry,
            "pause": self._pause,
            "resume": self._resume,
        }

    def hear(self, message: Mapping[str, object]) -> bool:
        """Take in what needs no answer; return whether it was that."""
        question = Question(message)
        match question.text("op", limit=40):
            case "hello" | "visible" | "beat":
                self._live.hear(question.front, is_visible=question.flag("visible", default=True))
            case "bye":
                self._live.hear(question.front, is_visible=None)
            case "panels":
                self._live.hear(question.front, is_visible=True, is_use=True)
                shows_errors = question.flag("errors")
                self._live.use(panel=shows_errors or question.flag("tasks"), errors=shows_errors)
            case _:
                return False
        self._wake()
        return True

    def answer(self, message: Mapping[str, object]) -> dict[str, object]:
        """Return the answer to a question; a refusal is an answer too."""
        question = Question(message)
        self._live.hear(question.front, is_visible=True, is_use=True)
        op = question.text("op", limit=40)
        act = self._answers.get(op)
        try:
            body = act(question) if act else {"refused": f"This display does not know {op!r}."}
        except OqError as error:
            body = {"refused": first_line(f"{type(error).__name__}: {error}", 600)}
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            body = {"refused": f"That cannot be asked: {type(error).__name__}: {first_line(str(error))}"}
        return {**question.head, **fitted(body, MAX_REPLY_BYTES)}

    # --- looking ---------------------------------------------------------------------------------

    def _page(self, question: Question) -> dict[str, object]:
        watch, state = self._live.watch, self._live.watch.state
        status = question.text("status", limit=40)
        if status and status not in SEGMENTS:
            raise ValueError(f"no status {status!r}")
        query = question.text("query", limit=200).strip()
        rows = watch.finder.rows(state, query) if query else None
        if group := question.text("group", limit=200):
            members = watch.errors.rows(state, group)
            rows = members if rows is None else sorted(set(members) & set(rows))
        page = self._table.page(
            state, status=status, offset=question.whole("offset", default=0), limit=PAGE_ROWS, rows=rows
        )
        failing = {(task.part, task.output) for task in page.rows if task.output}
        watch.errors.read(state, most=PAGE_ROWS, only=failing)
        return {
            "offset": page.offset,
            "limit": PAGE_ROWS,
            "found": page.n_found,
            "rows": [self._row(task) for task in page.rows],
        }

    def _row(self, task: TaskRow) -> list[object]:
        group = self._live.watch.errors.group_at(task, self._live.watch.state.job.part_rows)
        has_error = group is not None and task.status in {"failed", "retrying"}
        note = (
            f"{group.type}: {first_line(group.message, 100)}"
            if group is not None and has_error
            else first_line(task.progress, 100) or task.worker
        )
        return [task.row, self._live.watch.finder.label(task.row), task.status, task.attempt, note]

    def _errors(self, _: Question) -> dict[str, object]:
        watch = self._live.watch
        watch.errors.read(watch.state, most=READ_ALL)
        self._live.hurry()
        self._wake()
        return {"text": f"{plural(len(watch.errors.groups(watch.state)), 'kind')} of error"}

    def _group(self, question: Question) -> dict[str, object]:
        watch, state = self._live.watch, self._live.watch.state
        key = question.text("key", limit=200)
        group = next((each for each in watch.errors.groups(state) if each.key == key), None)
        if group is None:
            return {"refused": "No task has this error any more."}
        rows = watch.errors.rows(state, key)
        return {
            "key": key,
            "title": group_title(group),
            "place": first_line(group.place, 300),
            "message": cut(group.message, MAX_MESSAGE),
            "traceback": cut(group.traceback, MAX_TRACEBACK),
            "rows": [[row, watch.finder.label(row)] for row in rows[:GROUP_ROWS]],
            "found": len(rows),
            "retrying": group.n_retrying,
        }

    def _task(self, question: Question) -> dict[str, object]:
        watch, state = self._live.watch, self._live.watch.state
        row = question.whole("row")
        if not 0 <= row < state.job.n_tasks:
            raise ValueError(f"no row {row}")
        task = row_of(state, row)
        failure = failure_at(watch.repository, state, task) if task.status in {"failed", "retrying"} else None
        told = [("status", task.status), ("attempts", f"{task.attempt}"), ("task", f"{state.job.id}.{row}")]
        told += [("worker", worker)] if (worker := task.worker or (failure.worker if failure else "")) else []
        told += [("progress", first_line(task.progress, 300))] if task.progress else []
        told += [("runs again", moment(task.due))] if task.due else []
        return {
            "row": row,
            "label": watch.finder.label(row),
            "facts": told,
            "input": input_at(watch.codec, state, task),
            "result": result_at(watch.repository, state, task),
            "error": f"{failure.type}: {cut(failure.message, MAX_MESSAGE)}" if failure else "",
            "traceback": cut(failure.traceback, MAX_TRACEBACK) if failure else "",
        }

    # --- steering --------------------------------------------------------------------------------

    def _cancel(self, _: Question) -> dict[str, object]:
        n = self._live.job.cancel(reason="cancelled in the notebook")
        return self._done(f"Cancelled {plural(n, 'task')}.")

    def _retry(self, _: Question) -> dict[str, object]:
        n = self._live.job.retry("failed")
        return self._done(f"{plural(n, 'failed task')} will run again." if n else "No task has failed.")

    def _pause(self, _: Question) -> dict[str, object]:
        self._live.job.pause(reason="paused in the notebook")
        return self._done("Paused: what workers hold by now is still run.")

    def _resume(self, _: Question) -> dict[str, object]:
        self._live.job.resume()
        return self._done("Resumed.")

    def _done(self, text: str) -> dict[str, object]:
        self._live.watch.refresh()
        self._live.hurry()
        self._wake()
        return {"text": text}
