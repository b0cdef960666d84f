"""From the results of other jobs to a job of one call that can be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from oqkit.client.spec import JobSpec, function_of
from oqkit.limits import Limits
from oqkit.payload.results_input import Gathered, ResultsInput


def spec_of_results(gathered: Sequence[Gathered], function: Any, *, limits: Limits) -> JobSpec:
    """Describe a job of one call on what these jobs and tasks returned."""
    stored = ResultsInput(gathered=tuple(gathered))
    return JobSpec(
        function=function_of(function, limits=limits.task),
        n_tasks=1,
        part_rows=1,
        content=hashlib.sha256(repr(stored.to_json()).encode()).hexdigest()[:32],
        input=stored,
    )
