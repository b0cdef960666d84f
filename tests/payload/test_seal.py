"""A Parquet file in which anything changed is refused, never read as something else."""

from __future__ import annotations

import os
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqkit.errors import FormatError
from oqkit.limits import PayloadLimits
from oqkit.payload.output import decode_outcomes, encode_outcomes, stored_results
from oqkit.payload.parquet import PayloadReader, PayloadRef, encode_payload, read_whole
from oqkit.store.base import Blob

N_DAMAGED = int(os.environ.get("OQ_FUZZ_DAMAGE", "300"))
TABLE = pa.table(
    {
        "i": pa.array(range(500)),
        "s": [f"text {number % 9}" for number in range(500)],
        "f": np.random.default_rng(0).random(500),
        "l": [[number] * (number % 3) for number in range(500)],
    },
    metadata={"oq.kind": "columns"},
)


class Files:
    """A store of one file."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, key):
        return Blob(key=key, data=self.data, etag="")

    def read_range(self, key, *, start, length):
        return self.data[start : start + length] if start >= 0 else self.data[start:]


def damaged(data: bytes, seed: int) -> bytes:
    """Flip some bits, cut the file, or put something else in a place of it."""
    rng = random.Random(seed)
    kind = seed % 4
    if kind == 3:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    for _ in range((1, 8, 64)[kind]):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("is_small", (True, False), ids=["read whole", "read by ranges"])
def test_damaged_input_is_refused(is_small):
    (file,) = encode_payload(TABLE, part_rows=200)
    silent = []
    for seed in range(N_DAMAGED):
        data = damaged(file.data, seed)
        size = len(data) if is_small else max(len(data), 2**21)
        reader = PayloadReader(Files(data), [PayloadRef("in-0.parquet", 0, 3, size)], limits=PayloadLimits())
        try:
            parts = [reader.part(n) for n in range(3)]
        except FormatError as error:
            assert "in-0.parquet is not the Parquet file that was written" in str(error)  # noqa: PT017
        else:
            if data[4:] != file.data[4:] and not pa.concat_tables(parts).equals(TABLE):
                silent.append(seed)
    assert silent == []


def test_damaged_output_is_refused():
    whole = encode_outcomes(stored_results(range(500), TABLE, {}))
    silent = []
    for seed in range(N_DAMAGED):
        try:
            found = decode_outcomes(damaged(whole, seed))
        except FormatError:
            continue
        if not found.values.equals(TABLE):
            silent.append(seed)
    assert silent == []


def test_columns_of_a_damaged_page_are_refused():
    (file,) = encode_payload(TABLE, part_rows=500)
    footer = pq.read_metadata(pa.BufferReader(file.data))
    start = footer.row_group(0).column(2).data_page_offset
    data = bytearray(file.data)
    data[start + 200] ^= 1
    reader = PayloadReader(Files(bytes(data)), [PayloadRef("in-0.parquet", 0, 1, len(data))], limits=PayloadLimits())

    assert reader.columns(["i"]).equals(TABLE.select(["i"]))
    with pytest.raises(FormatError, match=r"in-0\.parquet"):
        reader.columns(["f"])


def test_digests_are_no_part_of_the_schema():
    (file,) = encode_payload(TABLE, part_rows=200)

    assert read_whole(file.data).schema.metadata == {b"oq.kind": b"columns"}


def test_file_without_digests_is_read():
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink)

    assert read_whole(sink.getvalue().to_pybytes()).equals(TABLE)


@pytest.mark.parametrize("is_small", (True, False), ids=["read whole", "read by ranges"])
@pytest.mark.parametrize("has_digests", (True, False))
def test_another_file_under_the_name_of_an_input_is_refused(has_digests, is_small):
    (file,) = encode_payload(TABLE, part_rows=500)
    forged = TABLE.set_column(0, "i", pa.array(range(1, 501)))
    if has_digests:
        (other,) = encode_payload(forged, part_rows=500)
        data = other.data
    else:
        sink = pa.BufferOutputStream()
        pq.write_table(forged, sink)
        data = sink.getvalue().to_pybytes()
    ref = file.ref("in-0.parquet")._replace(size_bytes=len(data) if is_small else 2**21)

    assert PayloadReader(Files(file.data), [ref], limits=PayloadLimits()).part(0).equals(TABLE)
    with pytest.raises(FormatError, match="another file than the job was submitted with"):
        PayloadReader(Files(data), [ref], limits=PayloadLimits()).part(0)
