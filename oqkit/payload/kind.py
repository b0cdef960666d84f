"""The kinds of inputs, as the documents of jobs name them."""

from __future__ import annotations

from enum import StrEnum

from oqkit.queue import submission


class Kind(StrEnum):
    """What stands under ``kind`` in the input of a job."""

    VALUES = "values"
    """Plain JSON values in the job itself."""
    TAGGED = "tagged"
    """Texts of `tagged_json`, in the job itself or in files."""
    JSON = "json"
    """Texts of plain JSON in files, by an earlier oqkit."""
    FRAME = "frame"
    GROUPS = "groups"
    """The groups of a frame, one a task."""
    DATASET = "dataset"
    RESULTS = "results"
    """What other jobs and tasks returned."""
    POINTER = submission.POINTER
    """No input: a name that leads to another job, which the queue itself follows."""
