"""From a call of `submit`, `map` or `submit_frame` to a job that can be stored; all checks come before any write."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oqkit.arrow import tagged_json
from oqkit.arrow.identity import digest_by_name
from oqkit.arrow.table import Layout, chosen, labels_of, opened, to_table
from oqkit.arrow.table import fingerprint as frame_fingerprint
from oqkit.client.dependency import on_failure_of, parents_of
from oqkit.client.input_schema import check_inputs, schema_in_force
from oqkit.client.join import Submitted
from oqkit.client.option import Payload, inline_bytes_of, limits_of, options_digest, policy_of, tags_of
from oqkit.clock import new_id
from oqkit.errors import SchemaError, UsageError
from oqkit.limits import Limits, TaskLimits
from oqkit.payload.access import Access
from oqkit.payload.dataset_input import DatasetInput
from oqkit.payload.discovery import find_dataset
from oqkit.payload.frame_input import FrameInput
from oqkit.payload.input import Input
from oqkit.payload.parquet import PayloadFile, encode_payload
from oqkit.payload.values_input import ValuesInput, text_table
from oqkit.plain import plain
from oqkit.queue import key as keys
from oqkit.queue.dependency import FEATURE as DEPENDENCIES
from oqkit.queue.job import LAYOUTS, SCHEMAS, Code, Job
from oqkit.queue.limit import FEATURE as LIMITS
from oqkit.queue.priority import priority_of
from oqkit.queue.repository import Repository
from oqkit.task.code import code_of
from oqkit.task.fingerprint import unknown_part
from oqkit.task.function import DEFAULTS, Options, TaskFunction, as_task, is_async, seconds
from oqkit.task.handler import Handler
from oqkit.task.json_schema import text_of_schema
from oqkit.task.timer import RowTimer


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
    table: Any = None
    """The input table; None if `input` holds everything."""
    index: Any = None
    """The pandas index of the frame, to align results without reading it back; None if there is none."""
    source: Submitted | None = None
    """The frame itself, if it is of pandas."""
    requires: tuple[str, ...] = ()
    """Features that whoever runs it must know, for the kind of its inputs."""
    given: Any = None
    """What a schema of the inputs looks at: the frame, or the list of values; None if they do not pass through this process."""

    def files(self, *, max_bytes: int) -> Iterator[PayloadFile]:
        """Yield the input files; one ends with the part that takes it past `max_bytes`."""
        if self.table is not None:
            yield from encode_payload(self.table, part_rows=self.part_rows, max_file_bytes=max_bytes)


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


# --- specs --------------------------------------------------------------------------------------


def spec_of_frame(
    df: Any, function: Any, *, columns: Sequence[Any] | None, part_rows: int | str, timer: RowTimer, limits: Limits
) -> JobSpec:
    """JobSpec a job of one task a row; raise `SchemaError` if the columns do not fit or cannot be stored.

    Columns that the function does not take are not looked at.
    """
    known = function_of(function, limits=limits.task)
    source = opened(df)
    labels = labels_of(source)
    used = _used(labels if columns is None else chosen(labels, columns), known)
    frame = to_table(source, columns=used)
    n_tasks = frame.table.num_rows
    content = digest_by_name(frame) if _takes_by_name(known) else frame_fingerprint(frame)
    is_pandas = frame.layout.backend == "pandas"
    return JobSpec(
        function=known,
        n_tasks=n_tasks,
        part_rows=_part_rows(part_rows, n_tasks, known, timer, n_bytes=frame.table.nbytes, limits=limits),
        content=content,
        input=FrameInput(layout=frame.layout, n_left_out=len(labels) - len(used)),
        table=frame.table,
        index=df.index if is_pandas else None,
        given=source,
        source=Submitted(frame=df.copy(deep=False), columns=tuple(used), content=content) if is_pandas else None,
    )


def spec_of_dataset(
    paths: str | Sequence[str],
    function: Any,
    *,
    columns: Sequence[str] | None,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    storage_options: Mapping[str, Any],
    access: Access,
) -> JobSpec:
    """JobSpec a job of one task a row of Parquet files, of which only the footers are read."""
    known = function_of(function, limits=limits.task)
    dataset, schema = find_dataset(paths, options=storage_options, access=access, limits=limits.payload)
    empty = schema.empty_table().to_pandas()
    labels = labels_of(empty)
    used = _used(labels if columns is None else chosen(labels, columns), known)
    frame = to_table(empty, columns=used)
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
    dataset = replace(dataset, stored=tuple(dict.fromkeys([*used, *index])))
    return JobSpec(
        function=known,
        n_tasks=dataset.n_rows,
        part_rows=_part_rows(part_rows, dataset.n_rows, known, timer, n_bytes=0, limits=limits),
        content=dataset.content(),
        input=DatasetInput(layout=Layout(backend="pandas", columns=frame.layout.columns), dataset=dataset),
    )


def spec_of_values(
    values: Iterable[Any],
    function: Any,
    *,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    payload: Payload | int = "auto",
) -> JobSpec:
    """JobSpec a job of one task a value; raise `SchemaError` naming the first value that would not come back equal."""
    inline_bytes = inline_bytes_of(payload, limits=limits)
    known = function_of(function, limits=limits.task)
    items = list(values)
    texts = [_text(value, number) for number, value in enumerate(items)]
    if known.task is not None and not known.task.batch:
        _check_binding(known.task, items)
    digest, n_bytes = hashlib.sha256(), 0
    for text in texts:
        data = text.encode()
        digest.update(data + b"\n")
        n_bytes += len(data)
    is_plain = all(map(tagged_json.is_plain, items))
    stored = ValuesInput.of(texts, is_plain=is_plain, is_inline=n_bytes <= inline_bytes)
    return JobSpec(
        function=known,
        n_tasks=len(texts),
        part_rows=_part_rows(part_rows, len(texts), known, timer, n_bytes=n_bytes, limits=limits),
        content=digest.hexdigest()[:32],
        input=stored,
        table=text_table(texts) if stored.items is None else None,
        given=items,
    )


def _used(labels: Sequence[Any], known: Function) -> list[Any]:
    """Return which of these columns a function takes: all, but for a row function, which names them."""
    if known.task is None or known.task.batch:
        return list(labels)
    handler = Handler(known.task)
    named = [label for label in labels if isinstance(label, str)]
    others = [label for label in labels if not isinstance(label, str)]
    if others and (handler.takes_all or (handler.parameters and not named)):
        raise SchemaError(
            f"column {others[0]!r} cannot be passed to row function {handler.name!r}, whose parameters are the columns: "
            "rename the columns to text, choose some with columns=[...], or use @oq.task(batch=True)"
        )
    taken = set(handler.for_rows(named).names)
    return [label for label in named if label in taken]


def _takes_by_name(known: Function) -> bool:
    """Whether a function sees columns by their names alone, and nothing of their order."""
    return known.task is not None and not known.task.batch and not Handler(known.task).takes_all


def _part_rows(
    part_rows: int | str, n_tasks: int, function: Function, timer: RowTimer, *, n_bytes: int, limits: Limits
) -> int:
    """Choose how many tasks share a state object: few enough that 100 workers can share a frame, eight to a part.

    Of a function that is known to be quick a part has as many as take a quarter of a second: sharing
    less than that costs more than it gains. Coroutines only wait: of them each worker is given as
    many as it runs at the same time. A worker holds a part in memory, so none has more than `part_bytes`
    of the `n_bytes` (0: unknown).
    """
    client = limits.client
    if part_rows == "auto":
        row_s = timer.row_s(function)
        quick = 1 if row_s is None else min(client.max_part_rows, int(client.part_s / max(row_s, 1e-9)))
        least = limits.worker.coroutines if function.task is not None and is_async(function.task.function) else 1
        n_rows = max(min(n_tasks, max(least, quick)), min(client.part_rows, math.ceil(n_tasks / client.least_parts)))
        return max(1, min(n_rows, client.part_bytes * n_tasks // max(n_bytes, 1)))
    part_rows = plain(part_rows)
    if isinstance(part_rows, bool) or not isinstance(part_rows, int) or not 1 <= part_rows <= client.max_part_rows:
        raise UsageError(f"part_rows={part_rows!r} must be 'auto' or a number from 1 to {client.max_part_rows:,}")
    return part_rows


def _check_binding(task: TaskFunction, items: Sequence[Any]) -> None:
    """Raise `SchemaError` that names the first of the values that the function cannot be called with."""
    handler = Handler(task)
    for number, value in enumerate(items):
        try:
            handler.bind(value)
        except SchemaError as error:
            raise SchemaError(f"input {number}: {error}" if len(items) > 1 else str(error)) from None


def _text(value: Any, number: int) -> str:
    try:
        return tagged_json.dumps(value)
    except SchemaError as error:
        reason = f"{error.kind} has no JSON form" if isinstance(error, tagged_json.NoForm) else str(error)
        raise SchemaError(
            f"input {number} ({tagged_json.show(value)}) cannot be stored: {reason}. Pass "
            f"{tagged_json.STORABLE}; of a dataclass or model, its fields as a dict"
        ) from None


# --- jobs ----------------------------------------------------------------------------------------


def job_of(spec: JobSpec, repository: Repository, *, name: str, options: Options) -> Job:
    """Make the job object of a spec, with the id of a job that has no key; raise `SchemaError` if the inputs do not fit."""
    now = repository.now()
    chosen = options.over(spec.function.options).over(DEFAULTS)
    parents = parents_of(repository, chosen.depends_on)
    schema = schema_in_force(repository, spec.function.type, spec.function.task, options)
    check_inputs(schema.input, spec.given, is_frame=spec.input.mode == "frame")
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
