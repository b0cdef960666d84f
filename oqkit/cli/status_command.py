"""``oq status``: how far a job is, or how the queue is."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

from oqkit.cli.answer import Answer, Said
from oqkit.client.handle import Job
from oqkit.client.queue import Queue
from oqkit.printable import printable

SHOWN = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job; none is the whole queue."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="its name or id (default: the whole queue)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show what there is to know first."""
    return _job(queue.job(options.job)) if options.job else _queue(queue)


def _queue(queue: Queue) -> Answer:
    status = queue.status()
    return Said(line=str(status), facts={name: value for name, value in asdict(status).items() if name != "text"})


def _job(job: Job) -> Answer:
    """Show its counts, what the tasks say that run, and why nothing happens if nothing does."""
    counts, status, why, told = job.counts(), job.status, job.why(), _told(job)
    lines = [
        f"{printable(job.name) or job.id}  {job.type}  {status}",
        "  ".join(f"{name} {n:,}" for name, n in counts.items() if n),
        *(_line(one) for one in told[:SHOWN]),
        *(
            [f"... and {len(told) - SHOWN:,} more of which oq tasks shows how far they are"]
            if len(told) > SHOWN
            else []
        ),
        *([why] if why else []),
    ]
    facts = {"id": job.id, "name": job.name, "type": job.type, "status": status, "tasks": len(job), "counts": counts}
    return Said(line="\n".join(lines), facts={**facts, "running": told, "why": why})


def _told(job: Job) -> list[dict[str, Any]]:
    """Return what running tasks say of themselves, a dict for each of those that do."""
    found = job.tasks("running")
    said = found[found["progress"].notna() | (found["message"] != "")]
    return [
        {"row": int(row), "progress": None if math.isnan(share) else float(share), "message": message}
        for row, share, message in zip(said["row"], said["progress"], said["message"], strict=True)
    ]


def _line(told: dict[str, Any]) -> str:
    share = "" if told["progress"] is None else f"  {told['progress']:.0%}"
    return f"  row {told['row']}{share}  {printable(told['message'])}".rstrip()
