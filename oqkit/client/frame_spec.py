"""From a frame in memory to a job that can be stored: one task a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oqkit.arrow.frame_kind import backend_of, labels_of, opened
from oqkit.arrow.identity import digest_by_name
from oqkit.arrow.table import chosen, to_table
from oqkit.arrow.table import fingerprint as frame_fingerprint
from oqkit.client.join import Submitted
from oqkit.client.part_rows import part_rows_of
from oqkit.client.spec import Function, JobSpec, function_of
from oqkit.errors import SchemaError
from oqkit.limits import Limits
from oqkit.payload.frame_input import FrameInput
from oqkit.queue.feature import EXPLODES
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer


def spec_of_frame(
    df: Any,
    function: Any,
    *,
    columns: Sequence[Any] | None,
    part_rows: int | str,
    timer: RowTimer,
    limits: Limits,
    explode: bool = False,
) -> JobSpec:
    """Describe a job of one task a row; raise `SchemaError` if the columns do not fit or cannot be stored.

    Columns that the function does not take are not looked at.
    """
    known = function_of(function, limits=limits.task)
    source = opened(df)
    labels = labels_of(source)
    used = columns_for(labels if columns is None else chosen(labels, columns), known)
    frame = to_table(source, columns=used)
    n_tasks = frame.table.num_rows
    content = digest_by_name(frame) if takes_by_name(known) else frame_fingerprint(frame)
    is_pandas = frame.layout.backend == "pandas"
    return JobSpec(
        function=known,
        n_tasks=n_tasks,
        part_rows=part_rows_of(part_rows, n_tasks, known, timer, n_bytes=frame.table.nbytes, limits=limits),
        content=content,
        input=FrameInput(layout=frame.layout, n_left_out=len(labels) - len(used), explodes=explode),
        table=frame.table,
        requires=(EXPLODES,) if explode else (),
        index=df.index if is_pandas else None,
        given=source,
        source=Submitted(frame=df.copy(deep=False) if is_pandas else df, columns=tuple(used), content=content)
        if backend_of(df) is not None
        else None,
    )


def columns_for(labels: Sequence[Any], known: Function) -> list[Any]:
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


def takes_by_name(known: Function) -> bool:
    """Whether a function sees columns by their names alone, and nothing of their order."""
    return known.task is not None and not known.task.batch and not Handler(known.task).takes_all
