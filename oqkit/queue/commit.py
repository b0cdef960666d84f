"""What is written at once under a lease: `Commit`, and in it an `Outcome` for the rows of each fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oqkit.queue.progress import Progress
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.signal import Wait
from oqkit.queue.transition import Verb

Output = bytes | Mapping[str, Any]
"""Values and errors as they are stored: the bytes of a Parquet object, or a JSON object that the part holds itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of some rows of a lease."""

    verb: Verb
    rows: Rows
    delay_s: float = 0.0
    note: str = ""
    took_s: float = 0.0
    """How long it took until they were all run, in seconds; 0 if unknown."""
    is_certain: bool = True
    """Of a death: whether nothing but these rows can have caused it. Only such a death fails a row."""
    wait: Wait | None = None
    """What rows wait for; and the generation of the job that did not have it."""
    gen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is written at once under a lease, in one compare-and-set. A lease that holds no row after it has ended."""

    outcomes: Sequence[Outcome] = ()
    output: Output | None = None
    """The values and errors of the rows that have an outcome; None if there are none to store."""
    release: Rows = NONE
    """Rows that go back to others unstarted."""
    is_last: bool = False
    """Whether it ends the lease: then all rows without an outcome go back."""
    is_alone: bool = False
    """Whether the lease's one row is about to run while nothing else is at stake in its worker."""
    extended: Rows = NONE
    """Rows that nobody else is to have for `lease_s` seconds from now on at least, if that is longer than leases last."""
    lease_s: float = 0.0
    progress: Sequence[Progress] | None = None
    """How far the calls in progress are, in place of what was known of that; None leaves it."""
