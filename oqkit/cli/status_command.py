"""``oq status``: how far a job is."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue
from oqkit.printable import printable

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show its counts, and why nothing happens if nothing does."""
    job = queue.job(options.job)
    counts, status, why = job.counts(), job.status, job.why()
    lines = [
        f"{printable(job.name) or job.id}  {job.type}  {status}",
        "  ".join(f"{name} {n:,}" for name, n in counts.items() if n),
        *([why] if why else []),
    ]
    facts = {"id": job.id, "name": job.name, "type": job.type, "status": status, "tasks": len(job), "counts": counts}
    return Said(line="\n".join(lines), facts={**facts, "why": why})
