"""From a call of `submit`, `map` or `submit_frame` to a job that can be stored; all checks come before any write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oqkit.client.dependency import on_failure_of, parents_of
from oqkit.client.input_schema import check_inputs, schema_in_force
from oqkit.client.join import Submitted
from oqkit.client.option import limits_of, options_digest, policy_of, tags_of
from oqkit.clock import new_id
from oqkit.errors import UsageError
from oqkit.limits import TaskLimits
from oqkit.payload.input import Input
from oqkit.payload.parquet import PayloadFile, encode_payload
from oqkit.payload.row_filter import PickedRows
from oqkit.queue import key as keys
from oqkit.queue.dependency import FEATURE as DEPENDENCIES
from oqkit.queue.job import LAYOUTS, SCHEMAS, Code, Job
from oqkit.queue.limit import FEATURE as LIMITS
from oqkit.queue.priority import priority_of
from oqkit.queue.repository import Repository
from oqkit.task.code import code_of
from oqkit.task.fingerprint import unknown_part
from oqkit.task.function import DEFAULTS, Options, TaskFunction, as_task, seconds
from oqkit.task.json_schema import text_of_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What is to run: a function and how it travels, or just the name of a task type."""

    type: str
    task: TaskFunction | None = None
    code: Code = Code()  # noqa: RUF009 - frozen
    data: bytes | None = None
    """The function by value; None if it travels by name."""
    unknown: str = ""
    """What keeps the function's fingerprint from being known; empty if nothing."""

    @property
    def options(self) -> Options:
        """The options of the task type."""
        return self.task.options if self.task else Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job that is ready to be stored, but for its identity and its uploaded inputs."""

    function: Function
    n_tasks: int
    part_rows: int
    content: str
    """A digest of the inputs."""
    input: Input
    """What the job holds of them, but for where they are uploaded."""
    picked: PickedRows | None = None
    """Which rows of a dataset are meant; None: all."""
    table: Any = None
    """The input table; None if `input` holds everything."""
    index: Any = None
    """The pandas index of the frame, to align results without reading it back; None if there is none."""
    source: Submitted | None = None
    """The frame itself; None if it is none that can be kept, such as a reader."""
    requires: tuple[str, ...] = ()
    """Features that whoever runs it must know, for the kind of its inputs."""
    given: Any = None
    """What a schema of the inputs looks at: the frame, or the list of values; None if they do not pass through this process."""

    @property
    def has_uploads(self) -> bool:
        """Whether there are input files."""
        return self.table is not None or self.picked is not None

    def files(self, *, max_bytes: int) -> Iterator[PayloadFile]:
        """Yield the input files; one ends with the part that takes it past `max_bytes`."""
        if self.table is not None:
            yield from encode_payload(self.table, part_rows=self.part_rows, max_file_bytes=max_bytes)
        if self.picked is not None:
            yield from self.picked.files(part_rows=self.part_rows, max_bytes=max_bytes)


def function_of(function: Any, *, limits: TaskLimits) -> Function:
    """Describe a function, a `@oq.task`, or the name of a task type; what is described already stays as it is."""
    if isinstance(function, Function):
        return function
    if isinstance(function, str):
        return Function(type=keys.check_type(function))
    task = as_task(function)
    code, data = code_of(task, limits=limits)
    unknown = "" if code.fingerprint else unknown_part(task)
    return Function(type=task.name, task=task, code=code, data=data, unknown=unknown)


def job_of(spec: JobSpec, repository: Repository, *, name: str, options: Options) -> Job:
    """Make the job object of a spec, with the id of a job that has no key; raise `SchemaError` if the inputs do not fit."""
    now = repository.now()
    chosen = options.over(spec.function.options).over(DEFAULTS)
    parents = parents_of(repository, chosen.depends_on)
    schema = schema_in_force(repository, spec.function.type, spec.function.task, options)
    check_inputs(schema.input, spec.given, is_frame=spec.input.mode != "value")
    own_output = None if spec.function.task is None else spec.function.task.schema.output
    if spec.input.mode == "explode" and (schema.output or own_output) is not None:
        raise UsageError("explode=True: a schema of results is for functions of which each row gives one; leave it out")
    results = "" if schema.output is None else text_of_schema(schema.output)
    origin = new_id(repository.rng)
    limits = limits_of(options, spec.function.options, job_type=spec.function.type, origin=origin)
    layout = repository.layouts.current()
    needs = ((DEPENDENCIES, parents), (SCHEMAS, results), (LIMITS, limits), (LAYOUTS, layout))
    requires = [*(name for name, is_needed in needs if is_needed), *spec.requires]
    return Job(
        id=keys.timed_job_id(now, repository.rng, layout=layout),
        type=spec.function.type,
        name=name,
        n_tasks=spec.n_tasks,
        part_rows=spec.part_rows,
        created=now,
        origin=origin,
        mode=spec.input.mode,
        content_digest=spec.content,
        options_digest=options_digest(chosen, parents=parents, output_schema=results),
        code=spec.function.code,
        policy=policy_of(chosen, now=now),
        priority=priority_of(chosen.priority),
        timeout_s=seconds(chosen.timeout or 0, what="timeout") or None,
        tags=tags_of(chosen.tags or {}),
        depends_on=parents,
        on_failure=on_failure_of(chosen.on_failure, parents),
        requires=tuple(requires),
        limits=limits,
        layout=layout,
        root=next((parent.root or parent.job for parent in parents), ""),
        input=spec.input.to_json(),
        output_schema=schema.output,
    )
