"""What must hold of signals: a task that was put back by hand waits for one that was sent after that."""

from __future__ import annotations

from typing import Any

from oqkit.arrow import tagged_json
from oqkit.queue.job import ControlVerb
from oqkit.testing.simulation.fact import Attempt, rows_of
from oqkit.testing.simulation.oracle import Oracle


def check_signal(oracle: Oracle, job_id: str, row: int, value: Any, *, attempt: Attempt | None) -> None:
    """Judge the value that the call of a row was given, unless somebody else has the row by now."""
    job = oracle.jobs[job_id]
    index, place = divmod(row, job.part_rows)
    state = rows_of(oracle.parts_of(job)[index])[place]
    if attempt is None or state.lease != attempt.lease:
        return
    told = [it for it in job.controls if it.rows is None or row in it.rows]
    retried = [number for number, it in enumerate(told) if it.verb is ControlVerb.RETRY]
    since = retried[0] if retried and state.is_reopened else 0
    sent = [tagged_json.loads(it.value) for it in told[since:] if it.verb is ControlVerb.SIGNAL]
    oracle.expect(value in sent, "signal from before the retry", f"{job_id}.{row}: {value}, sent were {sent}")
