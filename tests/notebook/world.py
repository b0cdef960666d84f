"""Jobs in memory, in any state, and a screen and a model that count."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pandas as pd

from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.notebook.live import Live
from oqkit.notebook.state import size_bytes
from oqkit.queue.part import Lease
from oqkit.queue.part_log import Event
from oqkit.queue.repository import open_repository
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState, grouped
from oqkit.queue.transition import Status, Verb
from oqkit.store.memory import MemoryStore
from tests.clock import FakeClock


class Screen:
    """Keeps what was saved, with the time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.saved: dict[str, dict] = {}
        self.updates: list[tuple[float, str, int]] = []

    def update(self, display_id, bundle):
        self.saved[display_id] = dict(bundle)
        self.updates.append((self.clock.time_s, display_id, size_bytes(dict(bundle))))


class Model:
    """Keeps what was painted, with the time."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.painted: list[tuple[float, int]] = []
        self.state: dict = {}
        self.is_closed = False

    def paint(self, state):
        self.state = json.loads(json.dumps(state))
        self.painted.append((self.clock.time_s, size_bytes(state)))

    def bundle(self):
        return {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}

    def close(self):
        self.is_closed = True


class World:
    """A queue in memory, and jobs in it whose parts are written by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(clock=self.clock)
        self.queue = Queue(open_repository(self.store), Settings(url="memory://"))
        self.repository = self.queue.repository
        self.screen = Screen(self.clock)
        self.serial = itertools.count()

    def job(self, n_tasks=100, *, part_rows=10, fn="work", name=None, **options):
        frame = pd.DataFrame({"x": range(n_tasks)})
        return self.queue.submit_frame(frame, fn, name=name, part_rows=part_rows, **options)

    def write(self, job, index, statuses, *, attempt=1, worker="w1", outputs=None, output=""):
        """Write a part: `statuses` is a list of (status, rows) from its first row on."""
        document = job._view.state.job
        first, runs = 0, []
        for status, rows in statuses:
            tries = attempt if status != "pending" else 0
            tries = 1 if status == "retrying" else tries
            real = Status.PENDING if status == "retrying" else Status(status)
            lease = "lease" if real is Status.RUNNING else ""
            named = output if status in {"failed", "retrying"} else ""
            task = TaskState(status=real, attempt=tries, lease=lease, output=named)
            runs.append((task, Rows.span(first, first + rows)))
            first += rows
        held = self.repository.read_part(document, index)
        now = self.repository.now()
        leases = (Lease(id="lease", worker=worker, expires=now + 60),) if any(task.lease for task, _ in runs) else ()
        log = (
            Event(at=now, verb=Verb.CLAIM, rows=Rows.span(0, first), n_rows=first, worker=worker),
            *(
                Event(at=now, verb=Verb.COMPLETE, rows=rows, n_rows=len(rows), worker=worker)
                for task, rows in runs
                if task.status is Status.COMPLETED
            ),
        )

        def change(part):
            return replace(
                part, states=grouped(runs), leases=leases, outputs=outputs or {}, log=(*part.log, *log)[-32:]
            )

        self.repository.update_part(
            document, index, change, applied=lambda part: part.states == grouped(runs), held=held
        )

    def finish(self, job, status="completed"):
        document = job._view.state.job
        for index in range(document.n_parts):
            self.write(job, index, [(status, document.part_size(index))])

    def live(self, job, *, model=True, front=True):
        live = Live(job, screen=self.screen)
        if model:
            live.model = self.model = Model(self.clock)
        live.watch.refresh()
        live.open(f"d{next(self.serial)}")
        if front:
            self.clock.sleep(0.01)
            live.hear("front", is_visible=True)
        return live

    def run(self, live, seconds, *, step=0.05, each=lambda: None):
        """Let time pass, and look whenever that is due."""
        end = self.clock.time_s + seconds
        while self.clock.time_s < end:
            each()
            due = live.due()
            if due is not None and due <= self.clock.time_s:
                live.tick()
            self.clock.sleep(step)

    def requests(self):
        return self.store.requests.snapshot()


def snapshot_of(live):
    """Return what a look at a job sees now."""
    live.watch.refresh()
    return live.watch.snapshot()


def failures(rows, *, kind="ValueError", message="bad", traceback="Traceback", worker="w"):
    """Return an inline output: these rows failed."""
    failed = {
        row: {"type": kind, "message": message, "traceback": traceback, "attempt": 1, "worker": worker} for row in rows
    }
    return {"rows": [], "values": [], "failures": failed}
