"""Write the stored queue of this version into a folder: ``python -m tests.format.make tests/format/<version>``.

Run it with the oqkit that is to be released, before anything about documents changes. The test beside
it lets every later version read, list and finish what lies in the folders.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import oqkit as oq
from oqkit.store import memory
from tests.format import document, task

MADE = 1_760_000_000.0
"""When it is said to be made, so that it is past for every machine that reads it."""


def main(folder: Path) -> None:
    """Make a queue in memory, stop it in the middle, and write its objects and what must become of them."""
    memory._EPOCH_S = MADE - time.monotonic()
    queue = oq.connect("memory://made")
    store = getattr(queue, "repository", None) or queue.ledger
    expected = fill(queue)
    for page in store.store.list_all(""):
        for entry in page.entries:
            path = folder / entry.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(store.store.read(entry.key).data)
    for name, told in (("expected", expected), ("documents", document.told_of(queue))):
        (folder / f"{name}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    task.go_on.set()


def fill(queue: oq.Queue) -> dict[str, Any]:
    """Bring jobs into every state; return, by name, what the queue shows of each and what it must come to."""
    numbers = pd.DataFrame({"x": np.arange(40)})
    mixed = pd.DataFrame({"x": np.arange(30), "y": [f"t{n}" for n in range(30)]}, index=[f"r{n}" for n in range(30)])
    jobs = {
        "completed": queue.map(task.double, range(25), name="completed", part_rows=10),
        "parquet": queue.submit_frame(numbers, task.picky, name="parquet", part_rows=20),
        "batch": queue.submit_frame(mixed, task.parts, name="batch", part_rows=15),
    }
    limits = {"rate_limit": "1000/s shared", "max_concurrency": 2}
    jobs["limited"] = queue.map(task.double, range(4), name="limited", **limits)
    work_off(queue, task.double, task.picky, task.parts)
    task.is_bad.set()
    jobs["failed"] = queue.submit_frame(numbers, task.picky, name="failed", part_rows=20, tags={"team": "é", "n": "1"})
    jobs["retried"] = queue.submit_frame(numbers, task.picky, name="retried", part_rows=20, on_duplicate="rerun")
    jobs["waits"] = queue.map(task.again, range(6), name="waits", backoff=oq.Backoff(initial_s=3.0, max_s=9.0))
    jobs["expired"] = queue.map(task.double, range(3), name="expired", ttl=0.01)
    time.sleep(0.05)
    work_off(queue, task.double, task.picky, until=lambda: jobs["expired"].done() and jobs["retried"].done())
    work_off(queue, task.again, until=lambda: jobs["waits"].tasks()["attempt"].min() > 0)
    task.is_bad.clear()
    jobs["retried"].retry("failed")
    jobs["untouched"] = queue.submit_frame(numbers, task.double, name="untouched", part_rows=7, priority=200)
    jobs["untouched"].reprioritize("urgent", by="somebody")
    jobs["untouched"].tag(team="é", by="somebody")
    queue.pause("until it is there", resume_after="1h", type="nobody", by="somebody")
    queue.publish_schema("nobody", {"input": {"type": "object", "required": ["é"]}}, by="somebody")
    jobs["cancelled"] = queue.map(task.double, range(12), name="cancelled", part_rows=5)
    jobs["cancelled"].cancel(reason="nobody wants it")
    jobs["scattered"] = queue.submit_frame(numbers, task.double, name="scattered", part_rows=40, on_duplicate="rerun")
    jobs["scattered"].cancel(numbers["x"].to_numpy() % 2 == 0, reason="odd only")
    jobs["scattered"].retry([4, 5, 6])
    jobs["paused"] = queue.map(task.double, range(8), name="paused", timeout="5m")
    jobs["paused"].pause(reason="until the price list is there")
    jobs["resumed"] = queue.map(task.double, range(9), name="resumed", retries=0)
    jobs["resumed"].pause(resume_after="1h")
    jobs["resumed"].resume()
    jobs["running"] = queue.map(task.hold, range(10), name="running", part_rows=10)
    hold_on(queue, jobs["running"])
    single = queue.submit(task.double, {"x": 21}, key="single", max_reschedules=4)
    told = {name: told_of(job) for name, job in jobs.items()}
    return {**told, "single": {**told_of(single.job), "task": single.id}}


def told_of(job: oq.Job) -> dict[str, Any]:
    """Return what this version says of a job."""
    tasks = job.tasks()
    return {
        "id": job.id,
        "status": job.status,
        "counts": job.counts(),
        "statuses": [str(status) for status in tasks["status"]],
        "attempts": [int(n) for n in tasks["attempt"]],
        "errors": [str(text) for text in job.errors()["message"]],
    }


def work_off(queue: oq.Queue, *functions: Any, until: Callable[[], bool] | None = None) -> None:
    """Run a worker until it finds nothing more, or until something is so."""
    worker = oq.Worker(queue, functions, name="maker", grace_s=1.0)
    if until is None:
        worker.run(until_idle=True)
        return
    thread = threading.Thread(target=worker.run)
    thread.start()
    while not until():
        time.sleep(0.01)
    worker.stop()
    thread.join()


def hold_on(queue: oq.Queue, job: oq.Job) -> None:
    """Leave a lease behind that runs, with results that are committed and some that are not."""
    worker = oq.Worker(queue, [task.hold], name="holder", grace_s=0.1, lease_s=3.0)
    threading.Thread(target=worker.run, daemon=True).start()
    task.held.wait()
    while job.counts()["completed"] < 5:
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
