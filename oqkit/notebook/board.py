"""The board: the newest jobs of a queue as a table, each of which opens to its own display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from oqkit.notebook.html import base_css, read_front
from oqkit.notebook.humanize import first_line, moment, plural
from oqkit.notebook.snapshot import SEGMENTS, segments
from oqkit.notebook.state import fitted
from oqkit.printable import printable
from oqkit.queue.listing import ListedJob, newest_jobs
from oqkit.queue.repository import Repository
from oqkit.queue.view import JobState, JobStatus, JobView

MAX_BYTES = 9_500


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job of the board."""

    id: str
    label: str
    type: str
    status: JobStatus
    n_tasks: int
    counts: Mapping[str, int]
    """By `SEGMENTS`."""
    created: float
    trouble: str = ""
    """Why it cannot be read, or not in full."""

    @property
    def told(self) -> str:
        """The counts in words."""
        if self.trouble:
            return f"cannot be read: {self.trouble}"
        return ", ".join(f"{self.counts[name]:,} {name}" for name in SEGMENTS if self.counts[name]) or "no tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSnapshot:
    """The newest jobs, newest first."""

    url: str
    lines: tuple[JobLine, ...]
    now: float


class Jobs:
    """The newest jobs of a queue; of what has ended, nothing is read twice."""

    def __init__(self, repository: Repository, *, limit: int) -> None:
        self._repository = repository
        self._limit = limit
        self._views: dict[str, JobView] = {}

    def look(self) -> BoardSnapshot:
        """Ask the queue which jobs there are, and how far each is."""
        known, self._views = self._views, {}
        lines: list[JobLine] = []
        for listed in newest_jobs(self._repository, limit=self._limit).jobs:
            job = listed.job
            if job is None:
                lines.append(_unreadable_line(listed))
                continue
            view = known.get(job.id)
            if view is None or view.state.job.rev != job.rev or not view.state.status.is_final:
                view = view or JobView(self._repository, job)
                view.adopt(job)
                view.refresh()
            self._views[job.id] = view
            lines.append(_line(view.state))
        return BoardSnapshot(url=self._repository.store.url, lines=tuple(lines), now=self._repository.now())


def _line(state: JobState) -> JobLine:
    job = state.job
    return JobLine(
        id=job.id,
        label=job.name or job.id,
        type=job.type,
        status=state.status,
        n_tasks=job.n_tasks,
        counts=segments(
            job.n_tasks, ((task, len(rows)) for part in state.touched() for task, rows in part.states.items())
        ),
        created=job.created,
        trouble=state.why_unreadable,
    )


def _unreadable_line(listed: ListedJob) -> JobLine:
    return JobLine(
        id=listed.id,
        label=listed.id,
        type="",
        status=JobStatus.UNREADABLE,
        n_tasks=0,
        counts=dict.fromkeys(SEGMENTS, 0),
        created=listed.created,
        trouble=listed.why,
    )


def board_state(board: BoardSnapshot) -> dict[str, object]:
    """Return what the widget draws."""
    lines = [
        [
            line.id,
            first_line(line.label, 80),
            line.status.value,
            first_line(line.type, 64),
            f"{line.n_tasks:,}",
            [[name, round(line.counts[name] / max(line.n_tasks, 1), 4)] for name in SEGMENTS if line.counts[name]],
            line.told,
            moment(line.created),
        ]
        for line in board.lines
    ]
    return fitted({"url": first_line(board.url, 200), "lines": lines, "asOf": moment(board.now)}, MAX_BYTES)


def board_text(board: BoardSnapshot) -> str:
    """Return the board as plain text."""
    rows = [(line.label, line.status.value, line.type, line.told) for line in board.lines]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(3)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    clean = [printable(line) for line in lines]
    return "\n".join([f"{plural(len(rows), 'job')} in {board.url}", *clean])


def board_html(board: BoardSnapshot, *, note: str = "") -> Markup:
    """Return the board as static HTML."""
    heads = ("job", "status", "type", "tasks", "", "submitted")
    return _TABLE.format(
        css=Markup(base_css() + read_front("table.css")),  # noqa: S704 - our own files
        title=plural(len(board.lines), "job"),
        url=board.url,
        head=Markup().join(Markup('<th scope="col">{}</th>').format(name) for name in heads),
        rows=Markup().join(_row(line) for line in board.lines),
        at=moment(board.now),
        note=note,
    )


_TABLE = Markup(
    '<style>{css}</style><div class="oqkit oqkit-static oqkit-board" role="group" aria-label="Jobs">'
    '<p class="oqkit-head"><b class="oqkit-name">{title}</b> <span class="oqkit-what">{url}</span></p>'
    '<table class="oqkit-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    '<p class="oqkit-foot">As of {at}. {note}</p></div>'
)


def _row(line: JobLine) -> Markup:
    return Markup(
        '<tr><td><b>{label}</b></td><td><span class="oqkit-status oqkit-is-{status}">{status}</span></td>'
        "<td>{type}</td><td>{n_tasks:,}</td><td>{told}</td><td>{created}</td></tr>"
    ).format(
        label=line.label,
        status=line.status,
        type=line.type,
        n_tasks=line.n_tasks,
        told=line.told,
        created=moment(line.created),
    )
