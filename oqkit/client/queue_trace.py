"""The verb of `Queue` that shows a pipeline: a job, those that it depends on or was spawned by, and those after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oqkit.client.connection import Connection
from oqkit.client.dependency import find_job
from oqkit.errors import FormatError, Missing
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.transition import Status
from oqkit.queue.view import JobView

MAX_INDENT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedJob:
    """One job of a pipeline."""

    id: str
    name: str
    type: str
    status: str
    tasks: int
    counts: Mapping[str, int]
    """How many tasks are in each status; those in which none is are left out."""
    depends_on: Sequence[str]
    """Ids of the jobs that it waited for."""
    parent: str
    """The id of the task that spawned it; empty if none did."""
    children: Sequence[str] = field(default=())
    """Ids of the jobs that depend on it, or that its tasks spawned."""

    def __str__(self) -> str:
        counts = ", ".join(f"{n:,} {status}" for status, n in self.counts.items())
        told = f"{printable(self.name) or self.type}  {self.id}  {self.status}"
        return f"{told} ({counts})" if self.tasks > 1 else told

    @property
    def before(self) -> list[str]:
        """The ids of the jobs that it came of."""
        spawner = [keys.parse_task_id(self.parent)[0]] if self.parent else []
        return [*spawner, *self.depends_on]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The pipeline that a job belongs to. ``print(trace)`` draws it, `to_json` and `jobs` are for programs."""

    job: str
    """The id of the job that was asked for."""
    root: str
    """The id of the job that the pipeline begins with."""
    jobs: Mapping[str, TracedJob]
    """Its jobs by id, each after those that it depends on."""

    def __str__(self) -> str:
        lines, shown = list[str](), set[str]()
        first = [job for job in self.jobs.values() if not any(one in self.jobs for one in job.before)]
        left = [(job, "", "") for job in reversed(first)]
        while left:
            job, lead, below = left.pop()
            shown.add(job.id)
            lines.append(f"{lead}{job}{'  <- this' if job.id == self.job else ''}")
            after = [self.jobs[one] for one in job.children if self._is_ready(one, shown)]
            for n, child in reversed(list(enumerate(after, 1))):
                branch, trunk = ("└─ ", "   ") if n == len(after) else ("├─ ", "│  ")
                left.append((child, f"{below}{branch}", f"{below}{trunk}"[:MAX_INDENT]))
        return "\n".join(lines)

    __repr__ = __str__

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        jobs = [
            {
                "id": job.id,
                "name": job.name,
                "type": job.type,
                "status": job.status,
                "tasks": job.tasks,
                "counts": dict(job.counts),
                "depends_on": list(job.depends_on),
                "parent": job.parent or None,
                "children": list(job.children),
            }
            for job in self.jobs.values()
        ]
        return {"job": self.job, "root": self.root, "jobs": jobs}

    def _is_ready(self, job_id: str, shown: set[str]) -> bool:
        """Whether a job is to be drawn now: one that comes after several is drawn below the last of them."""
        return all(one in shown for one in self.jobs[job_id].before if one in self.jobs)


class QueueTracing(Connection):
    """Shows what came of what."""

    def trace(self, job: object) -> Trace:
        """Return the pipeline of a job or task (a handle, an id or a name): all that it began with, and all that came of that.

        Costs a LIST, and some GETs for each job. Jobs that were deleted are left out. Raise `UnknownJob`.
        """
        text = job if isinstance(job, str) else str(getattr(job, "id", job))
        asked = find_job(self.repository, text)
        root = asked.root or asked.id
        pages = self.repository.store.list_all(keys.tree_prefix(root))
        ids = dict.fromkeys(
            [root, asked.id, *(entry.key.rpartition("/")[2] for page in pages for entry in page.entries)]
        )
        found = {one.id: one for one in self._read(filter(keys.is_job_id, ids))}
        others = {parent.job for one in found.values() for parent in one.depends_on} - found.keys()
        found |= {one.id: one for one in self._read(sorted(others))}
        traced = self.repository.map(self._traced, found.values())
        return Trace(job=asked.id, root=root, jobs=_in_order(traced))

    def _read(self, ids: Iterable[str]) -> list[Job]:
        def read(job_id: str) -> Job | None:
            try:
                return self.repository.read_job(job_id).doc
            except (Missing, FormatError):
                return None

        return [one for one in self.repository.map(read, list(ids)) if one is not None]

    def _traced(self, job: Job) -> TracedJob:
        state = JobView(self.repository, job).refresh()
        counts = {
            ("blocked" if state.is_blocked and status is Status.PENDING else str(status)): n
            for status, n in state.counts().items()
            if n
        }
        return TracedJob(
            id=job.id,
            name=job.name,
            type=job.type,
            status=str(state.status),
            tasks=job.n_tasks,
            counts=counts,
            depends_on=tuple(parent.job for parent in job.depends_on),
            parent=job.parent,
        )


def _in_order(jobs: Iterable[TracedJob]) -> dict[str, TracedJob]:
    """Return jobs by id, each after those before it, with what comes after each."""
    left = {job.id: job for job in jobs}
    children: dict[str, list[str]] = {job_id: [] for job_id in left}
    for job in left.values():
        for one in dict.fromkeys(job.before):
            if one in children:
                children[one].append(job.id)
    open_parents = {job.id: sum(one in left for one in dict.fromkeys(job.before)) for job in left.values()}
    ready = [job_id for job_id, n in open_parents.items() if not n]
    order: dict[str, TracedJob] = {}
    while ready:
        job_id = ready.pop()
        order[job_id] = replace(left[job_id], children=tuple(children[job_id]))
        for child in children[job_id]:
            open_parents[child] -= 1
            if not open_parents[child]:
                ready.append(child)
    return order
