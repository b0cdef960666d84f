"""What the inputs of a job are: one of a closed set of kinds, made from the document that the queue keeps for them.

A kind is a frozen class in a file of its own. It says what a job holds of the inputs (`to_json`, `from_json`), which
columns a row function can name, and how the results go with it (`backend`, `index`, `joinable`); and it reads the rows
of a part. Another kind is another such file, with a name in `Kind`, a place in `Input` and a case in `input_of`; what submits it
makes a `JobSpec` of it (`oqkit.client.spec`), in `client/NAME_spec.py`.
"""

from __future__ import annotations

from typing import assert_never

from oqkit.errors import FormatError
from oqkit.payload.dataset_input import DatasetInput
from oqkit.payload.frame_input import FrameInput
from oqkit.payload.groups_input import GroupsInput
from oqkit.payload.guard import readable
from oqkit.payload.kind import Kind
from oqkit.payload.results_input import ResultsInput
from oqkit.payload.values_input import ValuesInput
from oqkit.queue.job import Job
from oqkit.task.handler import Handler

Input = ValuesInput | FrameInput | GroupsInput | DatasetInput | ResultsInput


def input_of(job: Job) -> Input:
    """Return what a job's document says of its inputs; raise `FormatError` if this oqkit cannot read that."""
    doc = job.input
    with readable(f"the inputs of job {job.id} are"):
        match _kind(job):
            case Kind.VALUES | Kind.TAGGED | Kind.JSON as kind:
                return ValuesInput.from_json(kind, doc)
            case Kind.FRAME:
                return FrameInput.from_json(doc)
            case Kind.GROUPS:
                return GroupsInput.from_json(doc)
            case Kind.DATASET:
                return DatasetInput.from_json(doc)
            case Kind.RESULTS:
                return ResultsInput.from_json(doc)
            case Kind.POINTER:  # seen only if the job that the name led to was deleted: then it has no task
                return ValuesInput(kind=Kind.VALUES, items=())
            case never:
                assert_never(never)


def check_function(stored: Input, handler: Handler) -> None:
    """Raise `SchemaError` if a function cannot be called with these inputs, as far as can be seen."""
    if stored.mode == "group":
        handler.for_group()
    elif stored.columns is not None and not handler.is_batch:
        handler.for_rows(stored.columns)


def _kind(job: Job) -> Kind:
    name = job.input.get("kind")
    try:
        return Kind(str(name))
    except ValueError:
        raise FormatError(
            f"job {job.id} has inputs of kind {name!r:.80}, which this oqkit does not know: upgrade it here"
        ) from None
