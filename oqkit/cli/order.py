"""What an order to several jobs came to, as an answer."""

from __future__ import annotations

from oqkit.cli.answer import Said
from oqkit.client.affected import Affected
from oqkit.printable import printable


def said_of(found: Affected, *, line: str, name: str) -> Said:
    """Return how many tasks an order concerned, of which jobs, and what could not be done: with that the exit code is 1."""
    why = [f"not so job {job}: {printable(error)}" for job, error in found.failures.items()]
    facts = {
        name: int(found),
        "jobs": list(found.jobs),
        "failures": {job: str(error) for job, error in found.failures.items()},
    }
    return Said(line="\n".join([line, *why]), facts=facts, code=1 if why else 0)
