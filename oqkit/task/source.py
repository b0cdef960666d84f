"""The source lines of a function that travels by value, so that tracebacks show them where its files are not.

They come after the pickle of the function, as JSON, and what reads the pickle alone takes no notice of them. Where they
arrive they are put where Python looks for the lines of files (`linecache`): tracebacks, `pdb` and `inspect` find them there.
"""

from __future__ import annotations

import itertools
import json
import linecache
import re
from collections.abc import Iterable
from types import CodeType
from typing import NamedTuple

_NAME = "source"
_CELL = re.compile(r".*[/\\]ipykernel_\d+[/\\](\d+)\.py|<ipython-input-\d+-([0-9a-f]+)>")
"""A cell of a notebook: IPython names it by its text, and by what differs from kernel to kernel."""

_NO_FILES = frozenset({"<string>", "<stdin>"})
"""What any text is called that was run: the lines that Python keeps under it may be those of another one."""


class _Span(NamedTuple):
    """Neighbouring lines of a file; the first line of a file is 1."""

    file: str
    first: int
    text: str


def file_of(code: CodeType) -> str:
    """Return how the file of some code is called elsewhere: as it is here, but ``<cell 1234>`` for a cell of a notebook."""
    found = _CELL.fullmatch(code.co_filename)
    return f"<cell {found[1] or found[2]}>" if found else code.co_filename


def sources_of(codes: Iterable[CodeType], *, most_bytes: int) -> bytes:
    """Return the lines in which some code was written, as far as they are known here; the first `most_bytes` of them."""
    spans, left = list[_Span](), most_bytes
    for code in dict.fromkeys(codes):
        span = _span(code)
        if span is None or any(_holds(known, span) for known in spans):
            continue
        n_bytes = len(span.text.encode(errors="replace"))
        if n_bytes <= left:
            spans.append(span)
            left -= n_bytes
    return json.dumps({_NAME: spans}).encode() if spans else b""


def keep_sources(data: bytes) -> None:
    """Let this process know the lines that `sources_of` returned, unless it does; of two texts of one line the newer one holds."""
    found = json.loads(data).get(_NAME, []) if data else []
    for span in itertools.starmap(_Span, found):
        lines = [f"{line}\n" for line in span.text.removesuffix("\n").split("\n")]
        known, start = linecache.getlines(span.file), span.first - 1
        if known[start : start + len(lines)] == lines:
            continue
        known = [*known, *["\n"] * (start - len(known))]
        whole = [*known[:start], *lines, *known[start + len(lines) :]]
        # no time of change: it is taken for what a loader gave, and never looked for on the disk
        linecache.cache[span.file] = (sum(map(len, whole)), None, whole, span.file)


def _span(code: CodeType) -> _Span | None:
    file, first = code.co_filename, code.co_firstlineno
    if file in _NO_FILES:
        return None
    last = max((end for _, end, _, _ in code.co_positions() if end is not None), default=first)
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file)[first - 1 : last])
    return _Span(file_of(code), first, text) if text else None


def _holds(known: _Span, span: _Span) -> bool:
    n_known, n_lines = known.text.count("\n"), span.text.count("\n")
    return known.file == span.file and known.first <= span.first and span.first + n_lines <= known.first + n_known
