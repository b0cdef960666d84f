"""When two frames are the same input: what a function cannot see of one does not count."""

from __future__ import annotations

from dataclasses import replace

from oqkit.arrow.table import Frame, fingerprint


def digest_by_name(frame: Frame) -> str:
    """Return a hex digest of a frame as a row function sees it: whatever the order of columns and the names of the axes."""
    layout = replace(
        frame.layout,
        columns=tuple(sorted(frame.layout.columns)),
        index_names=(None,) * len(frame.layout.index_names),
        axis_names=(),
        axis_dtype=None,
    )
    return fingerprint(Frame(table=frame.table.select(sorted(frame.table.column_names)), layout=layout))
