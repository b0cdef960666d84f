"""Stored documents that a dataclass declares: which kinds there are, and what a version said of those it wrote."""

from __future__ import annotations

from typing import Any

import oqkit as oq
from oqkit.queue import key as keys
from oqkit.queue import record
from oqkit.queue.collection import Collection
from oqkit.queue.document_type import KeyedType
from oqkit.queue.pause import PAUSE
from oqkit.queue.published_schema import SCHEMA
from oqkit.queue.quota import QUOTA

KINDS: dict[str, KeyedType[Any]] = {keys.PAUSES: PAUSE, keys.SCHEMAS: SCHEMA, keys.LIMITS: QUOTA}
"""Each kind by the prefix of its keys. A new one has its line here, and something of it is made in `make.fill`."""


def told_of(queue: oq.Queue, kinds: dict[str, KeyedType[Any]] = KINDS) -> dict[str, Any]:
    """Return what each stored document says, by its key."""
    found = {prefix: Collection(queue.repository, kind).list(prefix) for prefix, kind in kinds.items()}
    told = {kinds[prefix].key_of(one.doc): record.write(one.doc) for prefix, some in found.items() for one in some}
    return dict(record.parse(record.encode(told)))
