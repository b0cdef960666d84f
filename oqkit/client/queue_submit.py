"""The verbs of `Queue` that submit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from oqkit.client.connection import Connection
from oqkit.client.dataset_spec import spec_of_dataset
from oqkit.client.duplicate import input_digest
from oqkit.client.frame_spec import spec_of_frame
from oqkit.client.groups_spec import spec_of_groups
from oqkit.client.handle import Job
from oqkit.client.items import Items, ItemSubmitter
from oqkit.client.items_job import handle_of
from oqkit.client.keyed import submission_key
from oqkit.client.option import Payload, short_text, whole
from oqkit.client.single import Task
from oqkit.client.spec import JobSpec
from oqkit.client.values_spec import spec_of_values, stored_inputs
from oqkit.errors import UsageError
from oqkit.task.function import Options, as_task, options_of

OnDuplicate = Literal["attach", "rerun", "raise"]


class QueueSubmitting(Connection):
    """Stores jobs, and returns their handles."""

    def submit(
        self,
        fn: Callable[..., object] | str,
        input: object = None,  # noqa: A002 - the word of the contract
        *,
        key: str | None = None,
        scope: str = "type",
        key_ttl: float | str | None = None,
        payload: Payload | int = "auto",
        retries: int | None = None,
        timeout: float | str | None = None,
        **options: object,
    ) -> Task:
        """Submit one call, and return its `Task` once it is stored for good.

        `fn` is a function, or the name of a task type. `input` is a value of Python's own types, or of numpy's: a dict whose keys are
        the parameters is passed by keyword, anything else as the only argument. An input
        that does not fit the function raises `SchemaError`. Options: see `oq.Options`.

        With `key` the same call is submitted once however often this runs, whatever becomes of the function's code and the
        options; the same key with another input raises `DuplicateJob`, which names what differs. `scope` is where a key
        counts: among the tasks of its ``"type"``, in the whole ``"queue"``, or in a space of any other name, of one's
        own; in those two another task type is another input. For `key_ttl` (seconds, or text such as ``"1d"``) the submission that made the task holds
        the key, by the store's clock; one that comes later makes a new task. Without it that is for ever, or until the job is deleted.

        `payload` says where the input is kept: in the job object (``"inline"``), in an object of its own in the job's folder
        (``"reference"``), or there only if it is more than 256 KiB of JSON (``"auto"``); a number is another limit in bytes.
        """
        known = submission_key(key, scope=scope, key_ttl=key_ttl)
        chosen = options_of({"retries": retries, "timeout": timeout, **options})
        limits = self.repository.limits
        spec = spec_of_values([input], fn, part_rows=1, timer=self.timer, limits=limits, payload=payload)
        if known is not None:
            spec = replace(spec, content=input_digest(spec.given[0]))
        job = self.submitter.submit_single(spec, chosen, key=known)
        return Task(self, job, function=spec.function.task)

    def map(
        self,
        fn: Callable[..., object] | str,
        inputs: Iterable[object],
        *,
        key: str | None = None,
        name: str | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        payload: Payload | int = "auto",
        **options: object,
    ) -> Job:
        """Submit one call for each of `inputs` (as in `submit`) as one job; for `payload` the inputs count together.

        An instance of a dataclass, or of a model of pydantic, is an input, too: a function whose only parameter is annotated
        with the class gets an equal one, and one whose parameters are the fields gets these. Such a function also takes dicts of
        the fields; one that makes no instance raises `SchemaError`.

        With `key`, the name of a field that each input has (they are dicts then), inputs are known by it. Keys that are equal are
        one, whatever type they have (1, 1.0, ``np.int64(1)``), but True is not 1: see `oqkit.client.item_key`. Of those that were
        submitted in this way before, to this task type, each stays the task that it is, whatever has become of it. The job
        has a task for each of the others, and its `result` a row for each input, in their order. One that is known with another
        input raises `DuplicateJob`.
        """
        limits = self.repository.limits
        many = _many(inputs)

        def spec_of(values: Iterable[object], function: Any = fn) -> JobSpec:
            return spec_of_values(
                values, function, part_rows=part_rows, timer=self.timer, limits=limits, payload=payload
            )

        if key is not None:
            if name is not None or on_duplicate != "attach":
                raise UsageError("with key= each input is known by itself: leave out name= and on_duplicate=")
            items = Items.of(
                stored_inputs(many, None if isinstance(fn, str) else as_task(fn)), field=short_text(key, what="key")
            )
            spec = spec_of(items.values)
            _check_number(spec, max_tasks)
            self.submitter.await_room(spec.function, options_of(options))
            function, submitter = spec.function, ItemSubmitter(self, spec, items, options=options_of(options))
            job = submitter.submit(lambda values: spec_of(values, function))
            return handle_of(self, job, function=function.task)
        spec = spec_of(many)
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    def submit_frame(
        self,
        df: object,
        fn: Callable[..., object] | str,
        *,
        name: str | None = None,
        by: object = None,
        sort: bool = True,
        dropna: bool = True,
        explode: bool = False,
        columns: Sequence[object] | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        **options: object,
    ) -> Job:
        """Submit one task for each row of `df`, or with `by` for each group of its rows, and return the job once it is stored for good.

        `df` is a pandas or polars frame, a pyarrow table, or anything else with the Arrow C stream interface, such as a reader of
        record batches or a relation of DuckDB, which is read once, to a temporary file if it is large. Results are of pandas or
        polars if the frame is, and else a pyarrow table. A row function
        takes columns by parameter name; a batch function takes slices of the frame (of `columns`, or
        all). Submitting the same function, content and options again attaches to the job that is there,
        whether it runs or has ended; ``on_duplicate="rerun"`` runs it once more, ``"raise"`` raises
        `DuplicateJob`, and so does a `name` that is taken by other work, or by what cannot be compared. `part_rows` is how many
        tasks share a state object, `max_tasks` a limit against mistakes. Options: see `oq.Options`.

        With `explode` the function returns any number of rows for each of its own: a row function a list or a frame, or yields them; a
        batch function a frame that keeps the labels of the rows that each comes from. The result has them all below each other,
        with the label of their row; a task that did not complete has none.

        With `by`, a column, a list of columns, or whatever else pandas' `groupby` takes, the function is called once a group, with
        the frame of its rows: `columns`, or all but those of the keys. If it has another parameter called ``key``, that gets the key,
        a tuple if there are several columns. `sort` and `dropna` are as in `groupby`; categories without a row make no group.
        Results, errors and tasks are indexed by the keys, in the order of `groupby`: values, dicts and Series of the same labels
        give a row a group, and frames and other Series their rows, below each other under the keys, as ``groupby(by).apply(fn)``.
        """
        cut: dict[str, Any] = {
            "columns": columns,
            "part_rows": part_rows,
            "timer": self.timer,
            "limits": self.repository.limits,
        }
        if by is None:
            if not (sort is True and dropna is True):
                raise UsageError("sort= and dropna= are for groups: say by which columns, with by=")
            spec = spec_of_frame(df, fn, explode=explode is True, **cut)
        elif explode:
            raise UsageError(
                "explode=True is for functions of rows; with by= a function may return a frame of any length as it is"
            )
        else:
            spec = spec_of_groups(df, fn, by=by, sort=sort, dropna=dropna, **cut)
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    def submit_dataset(
        self,
        paths: Any,
        fn: Callable[..., object] | str,
        *,
        name: str | None = None,
        columns: Sequence[str] | None = None,
        filter: Any = None,  # noqa: A002 - pyarrow's and pandas' word for it
        format: Literal["parquet", "csv", "jsonl"] | None = None,  # noqa: A002 - as above
        types: Any = None,
        delimiter: str | None = None,
        part_rows: int | str = "auto",
        on_duplicate: OnDuplicate = "attach",
        max_tasks: int | None = None,
        storage_options: Mapping[str, object] | None = None,
        **options: object,
    ) -> Job:
        """Submit one task for each row of files (Parquet, CSV or JSON lines), which workers read themselves.

        `paths` is a path, glob or folder, or a list of them, wherever `fsspec` reaches: ``s3://``, local,
        ``gs://``, ...; or a `pyarrow.dataset.Dataset` of such files, with its filter and the columns of its schema. All files have
        the same columns; what folders say (``year=2024/``) makes further ones: of int64 if all are whole numbers, else of text.
        Workers read the files themselves, as
        `pandas.read_parquet` gives them, so they must reach them under the same paths; a file that has been
        written anew since is refused. How files are reached is for each machine's own configuration to say: in S3
        with the endpoint, region and profile of its queue, elsewhere with what its `data_roots` say. Workers that
        do not trust code from the queue read the bucket of the queue and their data roots, and nothing else.
        `storage_options` are stored in the job; they may be ``anon`` and ``requester_pays``. Results are indexed
        by the row number over all files. The rest is as in `submit_frame`.

        With `filter`, a `pyarrow.compute.Expression` or a list as ``[("x", ">", 1)]``, only rows that pass are tasks, and are numbered through.
        Which ones those are is found out here, once: row groups that statistics or folders rule out are not read, of the others
        the columns of the filter are; a null is no.

        Files of CSV (UTF-8, with a header) and JSON lines are gone through here, once, for where records begin and end, and for types that
        hold the values of all of them; workers then read byte ranges, and all convert alike. `format` says what files are
        whose names do not. `types`, a `pyarrow.Schema` or ``{"zip": "string"}``, gives types that are not to be inferred.

        All slices of a batch function have the same dtypes: of an int or bool column those of the whole, or Int64 or
        boolean where the files do not say whether it has nulls; a categorical column comes as its values.
        """
        spec = spec_of_dataset(
            paths,
            fn,
            columns=columns,
            filter=filter,
            format=format,
            types=types,
            delimiter=delimiter,
            part_rows=part_rows,
            timer=self.timer,
            limits=self.repository.limits,
            storage_options=storage_options or {},
            access=self.access,
        )
        return self._submit(spec, options_of(options), name=name, on_duplicate=on_duplicate, max_tasks=max_tasks)

    def _submit(
        self, spec: JobSpec, options: Options, *, name: str | None, on_duplicate: str, max_tasks: int | None
    ) -> Job:
        if on_duplicate not in {"attach", "rerun", "raise"}:
            raise UsageError(f"on_duplicate={on_duplicate!r} must be 'attach', 'rerun' or 'raise'")
        _check_number(spec, max_tasks)
        job = self.submitter.submit_job(
            spec, options, name=None if name is None else short_text(name, what="name"), on_duplicate=on_duplicate
        )
        return Job(self, job, index=spec.index, source=spec.source, function=spec.function.task)


def _check_number(spec: JobSpec, max_tasks: int | None) -> None:
    if max_tasks is not None and spec.n_tasks > whole(max_tasks, what="max_tasks", low=0, high=10**18):
        raise UsageError(f"{spec.n_tasks:,} tasks are more than max_tasks={max_tasks:,}; raise it if you mean it")


def _many(inputs: object) -> Iterable[Any]:
    """Return `inputs`, unless iterating over them would give something else than one input for each task."""
    if hasattr(inputs, "columns"):
        raise UsageError(f"a {type(inputs).__name__} goes to submit_frame(df, fn)")
    if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise UsageError(
            f"a {type(inputs).__name__} is not a list of inputs: map wants one for each task, submit takes a single one"
        )
    return inputs
