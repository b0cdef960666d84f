"""How large what is stored may be: the types of the fields of documents, checked when they are read and when they are written.

A bound is no opinion about what is sensible. It is what keeps arithmetic on a damaged or hostile number from
overflowing, hanging or filling the memory, with room for what is ever meant.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_DEPTH = 200
"""How deep lists and objects may be nested: every place that walks them, recursively or not, gets through."""
MAX_TIME_S = 3.4e10
"""The year 3047: later times would not fit into the names of markers and folders."""
MAX_SPAN_S = 1.0e10
"""Three centuries: twice as much from now on is before `MAX_TIME_S`."""
MIN_EVERY_S = 1.0
"""How often a schedule may come."""
MAX_ORDERS = 16
"""How many orders a schedule remembers: more than are given while one of them is on its way."""
MAX_COUNT = 2**53
MAX_SHARDS = 4096
"""How many shards a queue may have: the names of shards have four hexadecimal digits."""
MAX_LAYOUTS = 10
"""How many numbers of shards a queue may have had: ids begin with a digit."""
MAX_PART_ROWS = 2**17
MAX_PARTS = 10**7
"""The names of parts have seven digits, and sort by them."""
MAX_TEXT = 10_000
MAX_NOTE = 4_000
MAX_REASON = MAX_NOTE
"""How long the reason of an order may be, in characters: what the history of a task keeps whole."""
MAX_PRIORITY = 255
MAX_PARENTS = 10_000
MAX_SIGNALS = 1_000
MAX_SIGNAL_CHARS = 2**18
MAX_WAITS = 1_000
MAX_TAGS = 20
MAX_TAG_NAME = 64
MAX_TAG_VALUE = 256
"""How many tags a job may have, and how long their names and values may be, in characters."""

Moment = Annotated[float, Meta(ge=0.0, le=MAX_TIME_S)]
"""Epoch seconds."""
Span = Annotated[float, Meta(ge=0.0, le=MAX_SPAN_S)]
"""A length of time, in seconds."""
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Generation = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Priority = Annotated[int, Meta(ge=0, le=MAX_PRIORITY)]
LayoutNumber = Annotated[int, Meta(ge=0, lt=MAX_LAYOUTS)]
Factor = Annotated[float, Meta(ge=0.0, le=1.0e10)]
Id = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=1_024)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Note = Annotated[str, Meta(max_length=MAX_NOTE)]
Type = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}\Z")]
Digest = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{16,128})?\Z")]
"""A digest in hexadecimal digits, or nothing; it becomes part of a key."""
LeaseId = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_\-]{0,64}\Z")]
CommitId = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_\-]{1,64}\.[0-9]{1,16}\Z")]
"""A lease and the number of a commit."""
OutputId = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_\-][0-9A-Za-z_.\-]{0,80}\Z")]
"""The name of an output, which becomes part of a key."""

Unknown = tuple[tuple[str, str], ...]
"""Fields that a newer oqkit wrote, as (name, JSON): they are written again as they were read."""

STATED = {"stated": True}
"""Metadata of a field that is written even where it has its default; other fields are left out then."""
