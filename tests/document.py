"""Places in a JSON document, and documents that differ at one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]


def paths(doc: Any, prefix: Path = ()) -> Iterator[Path]:
    """Yield where there is something in a document, itself first."""
    yield prefix
    items = doc.items() if isinstance(doc, dict) else enumerate(doc) if isinstance(doc, list) else ()
    for name, value in items:
        yield from paths(value, (*prefix, name))


def holder_of(doc: Any, path: Path) -> Any:
    """Return the dict or list that holds what is at a place."""
    for name in path[:-1]:
        doc = doc[name]
    return doc


def with_value(doc: Any, path: Path, value: Any) -> Any:
    """Return a copy that has another value at a place."""
    if not path:
        return value
    doc = copy.deepcopy(doc)
    holder_of(doc, path)[path[-1]] = value
    return doc
