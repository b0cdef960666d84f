"""Which items are known, and as which tasks: an object of the index that `map(key=)` looks them up in.

It is a Parquet file of one line an item: digests of its ``id`` and of the whole ``input``, and the ``job`` and ``row`` of its
task. Its metadata name the job that it was written for, and the older objects that are part of the index beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oqkit.errors import FormatError
from oqkit.payload.guard import readable, typed

DIGEST_BYTES: Final = 16
FORMAT: Final = 1
MAX_BASE: Final = 1_000
_SCHEMA: Final = pa.schema(
    {"id": pa.binary(DIGEST_BYTES), "input": pa.binary(DIGEST_BYTES), "job": pa.string(), "row": pa.int64()}
)
_META: Final = b"oq.items"


def digests(texts: Sequence[str]) -> pa.Array:
    """Digest texts, each by itself."""
    return pa.array([hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES] for text in texts], pa.binary(DIGEST_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemIndex:
    """One object: the items that a job took for its own, with those of older objects that it stands for as well."""

    job: str
    at: float
    """When the job took them, in epoch seconds by the store's clock."""
    table: pa.Table
    base: tuple[str, ...] = ()
    """The keys of the objects that are part of the index beside this one, newest first."""

    @classmethod
    def of(cls, job: str, *, at: float, ids: pa.Array, inputs: pa.Array) -> ItemIndex:
        """Return the object of a job whose row n is the n-th of these items."""
        columns = [ids, inputs, pa.array([job] * len(ids), pa.string()), pa.array(np.arange(len(ids)), pa.int64())]
        return cls(job=job, at=at, table=pa.Table.from_arrays(columns, schema=_SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def over(self, older: Sequence[tuple[str, ItemIndex]], *, settled_s: float) -> ItemIndex:
        """Return this object as the newest of an index; it takes in those (newest first) that are not much larger.

        What is left beside it is four times as large each time, so that there are few, whatever the number of items. One
        whose job may not be there yet, as it is from after `settled_s` (epoch seconds), stays for others to see that.
        """
        table, left = self.table, list(older)
        while left and len(left[0][1]) <= 4 * table.num_rows and left[0][1].at <= settled_s:
            added = left.pop(0)[1].table
            is_new = pc.is_null(pc.index_in(added["id"], value_set=table["id"].combine_chunks()))
            table = pa.concat_tables([table, added.filter(is_new)])
        return ItemIndex(job=self.job, at=self.at, table=table, base=tuple(key for key, _ in left))

    def dump(self) -> bytes:
        """Write it."""
        facts = {"format": FORMAT, "requires": [], "job": self.job, "at": self.at, "base": list(self.base)}
        table = self.table.replace_schema_metadata({_META: json.dumps(facts).encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=["job"])
        return bytes(sink.getvalue())

    @classmethod
    def load(cls, data: bytes, *, key: str) -> ItemIndex:
        """Read it, or raise `FormatError`."""
        with readable(f"index of items {key!r} is"):
            table = pq.read_table(pa.BufferReader(data))
            facts = _facts(table.schema.metadata or {})
            table = table.replace_schema_metadata(None)
            if table.schema != _SCHEMA or any(column.null_count for column in table.columns):
                raise ValueError(f"its columns are {table.schema.names}")
            return cls(
                job=typed(facts["job"], str),
                at=float(typed(facts["at"], float)),
                table=table,
                base=tuple(typed(name, str) for name in typed(facts["base"], list)[:MAX_BASE]),
            )


def _facts(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    facts = typed(json.loads(metadata[_META]), dict)
    if facts.get("format") != FORMAT or facts.get("requires") != []:
        raise FormatError("an index of items was written by a newer oqkit: upgrade oqkit here")
    return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an index says of some items: for each the task that it is, and the digest of the input that this has."""

    job: np.ndarray
    """Objects: the id of the job, or None if the item is not known."""
    row: np.ndarray
    input: np.ndarray


def look_up(ids: pa.Array, objects: Sequence[ItemIndex]) -> Found:
    """Look items up in objects, newest first; the newest that knows one decides."""
    n = len(ids)
    found = Found(job=np.full(n, None, object), row=np.zeros(n, "int64"), input=np.full(n, b"", object))
    for one in objects:
        places = pc.index_in(ids, value_set=one.table["id"].combine_chunks()).to_numpy(zero_copy_only=False)
        hit = np.flatnonzero(~np.isnan(places.astype("float64")) & (found.job == None))  # noqa: E711 - of each
        rows = one.table.take(pa.array(places[hit].astype("int64")))
        found.job[hit] = rows["job"].to_numpy()
        found.row[hit] = rows["row"].to_numpy()
        found.input[hit] = rows["input"].to_numpy()
    return found
