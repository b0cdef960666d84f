"""Payload files: one row group a part, and few requests to read them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqkit.arrow.table import to_frame, to_table
from oqkit.errors import FormatError, Missing, SchemaError
from oqkit.limits import PayloadLimits
from oqkit.payload.parquet import PayloadReader, encode_payload
from oqkit.store.memory import MemoryStore

LIMITS = PayloadLimits()


def random_table(n=200_000):
    rng = np.random.default_rng(0)
    return pa.table({"x": rng.random(n), "a.b": rng.integers(0, 2**40, n), "s": [f"s{i % 7}" for i in range(n)]})


def uploaded(files):
    store = MemoryStore()
    refs = []
    for number, file in enumerate(files):
        store.create(f"in-{number}", file.data)
        refs.append((f"in-{number}", file.first_part, file.n_parts, len(file.data)))
    return store, refs


def counted(store, call):
    before = store.requests.snapshot()
    result = call()
    return result, dict(store.requests.snapshot() - before)


@pytest.mark.parametrize(("rows", "n_parts"), ((0, 0), (1, 1), (10, 1), (11, 2), (30, 3)))
def test_encode_payload_makes_each_part_a_row_group(rows, n_parts):
    table = pa.table({"x": range(rows)}, schema=pa.schema([("x", pa.int64())]))

    (file,) = encode_payload(table, part_rows=10)

    footer = pq.read_metadata(pa.BufferReader(file.data))
    assert (file.first_part, file.n_parts) == (0, n_parts)
    assert footer.num_row_groups == n_parts
    assert [footer.row_group(k).num_rows for k in range(n_parts)] == [min(10, rows - 10 * k) for k in range(n_parts)]


def test_encode_payload_keeps_a_part_of_more_than_a_million_rows_whole():
    table = pa.table({"x": pa.array(np.zeros(1_100_000, "i1"))})

    (file,) = encode_payload(table, part_rows=1_100_000)

    assert pq.read_metadata(pa.BufferReader(file.data)).num_row_groups == file.n_parts == 1


def test_encode_payload_writes_the_same_bytes_whatever_the_chunks():
    table = random_table()  # a row group has several pages
    cut = pa.concat_tables([table.slice(0, 17), table.slice(17, 61_400), table.slice(61_417)])

    (one,), (other,) = (list(encode_payload(it, part_rows=200_000)) for it in (table, cut))

    assert one.data == other.data


def test_encode_payload_starts_a_file_after_the_row_group_that_passes_the_limit():
    table = random_table(100_000)

    files = list(encode_payload(table, part_rows=1000, max_file_bytes=300_000))

    assert len(files) > 3
    assert [file.first_part for file in files] == np.cumsum([0, *(file.n_parts for file in files[:-1])]).tolist()
    assert sum(file.n_parts for file in files) == 100
    for file in files[:-1]:
        footer = pq.read_metadata(pa.BufferReader(file.data))
        last = footer.row_group(file.n_parts - 1).column(0)
        assert (
            min(last.data_page_offset, last.dictionary_page_offset or last.data_page_offset) <= 300_000 < len(file.data)
        )
    reader = PayloadReader(*uploaded(files), limits=LIMITS)
    assert pa.concat_tables(reader.part(n) for n in range(100)).equals(table)
    assert reader.columns(["s", "x"]).equals(table.select(["s", "x"]))


def test_part_reads_a_small_file_in_one_request():
    table = random_table(10_000)
    store, refs = uploaded(encode_payload(table, part_rows=1000))
    reader = PayloadReader(store, refs, limits=LIMITS)

    parts, requests = counted(store, lambda: [reader.part(n) for n in (3, 0, 9)])

    assert requests == {"get": 1}
    assert parts[0].equals(table.slice(3000, 1000))
    assert reader.schema().equals(table.schema)


def test_part_reads_the_footer_once_and_then_one_range_a_part():
    table = random_table()
    store, refs = uploaded(encode_payload(table, part_rows=10_000))
    reader = PayloadReader(store, refs, limits=LIMITS)

    first, first_requests = counted(store, lambda: reader.part(7))
    second, second_requests = counted(store, lambda: reader.part(19))

    assert refs[0][3] > 2**20
    assert first_requests == {"get": 2}
    assert second_requests == {"get": 1}
    assert first.equals(table.slice(70_000, 10_000))
    assert second.equals(table.slice(190_000, 10_000))


def test_part_fetches_the_bytes_of_its_row_group_only(monkeypatch):
    store, refs = uploaded(encode_payload(random_table(), part_rows=10_000))
    reader = PayloadReader(store, refs, limits=LIMITS)
    reader.part(0)
    spans = []
    read = store.read_range
    monkeypatch.setattr(
        store, "read_range", lambda key, *, start, length: spans.append(length) or read(key, start=start, length=length)
    )

    reader.part(5)

    assert len(spans) == 1
    assert spans[0] < refs[0][3] / 15


def test_part_is_asked_for_by_its_place_and_not_from_the_end(monkeypatch):
    """Azure cannot count from the end: there, it would cost a request more."""
    store, refs = uploaded(encode_payload(random_table(), part_rows=250))
    starts = []
    read = store.read_range
    monkeypatch.setattr(
        store, "read_range", lambda key, *, start, length: starts.append(start) or read(key, start=start, length=length)
    )
    PayloadReader(store, refs, limits=LIMITS).part(799)
    assert len(starts) == 3
    assert min(starts) >= 0


def test_part_asks_again_for_a_footer_larger_than_the_tail():
    table = random_table()
    store, refs = uploaded(encode_payload(table, part_rows=250))
    reader = PayloadReader(store, refs, limits=LIMITS)

    part, requests = counted(store, lambda: reader.part(799))

    assert requests == {"get": 3}
    assert part.equals(table.slice(199_750))


def test_part_is_read_by_many_threads_with_one_footer():
    table = random_table()
    store, refs = uploaded(encode_payload(table, part_rows=10_000))
    reader = PayloadReader(store, refs, limits=LIMITS)
    barrier = threading.Barrier(8)

    def read(n):
        if n < 8:
            barrier.wait()
        return reader.part(n)

    with ThreadPoolExecutor(8) as pool:
        parts, requests = counted(store, lambda: list(pool.map(read, range(20))))

    assert requests == {"get": 21}
    assert pa.concat_tables(parts).equals(table)


def test_columns_reads_near_ranges_together():
    table = random_table()
    store, refs = uploaded(encode_payload(table, part_rows=10_000))

    got, requests = counted(store, lambda: PayloadReader(store, refs, limits=LIMITS).columns(["a.b"]))

    assert requests == {"get": 2}
    assert got.equals(table.select(["a.b"]))


def test_columns_reads_far_ranges_apart():
    table = random_table()
    store, refs = uploaded(encode_payload(table, part_rows=100_000))
    reader = PayloadReader(store, refs, limits=PayloadLimits(gap_bytes=1000))

    got, requests = counted(store, lambda: reader.columns(["x"]))

    assert requests == {"get": 3}
    assert got.equals(table.select(["x"]))


@pytest.mark.parametrize("name", ("x", "a.b", "s"))
def test_columns_fetches_all_pages_of_a_column(name):
    table = random_table()
    reader = PayloadReader(*uploaded(encode_payload(table, part_rows=100_000)), limits=PayloadLimits(gap_bytes=0))

    got = reader.columns([name])

    assert got.equals(table.select([name]))


def test_columns_of_no_parts_keeps_the_types():
    store, refs = uploaded(encode_payload(random_table(10).slice(0, 0), part_rows=5))

    got = PayloadReader(store, refs, limits=LIMITS).columns(["s"])

    assert got.schema.equals(pa.schema([("s", pa.string())]))
    assert got.num_rows == 0


def test_columns_refuses_an_unknown_name():
    store, refs = uploaded(encode_payload(random_table(10), part_rows=5))

    with pytest.raises(SchemaError, match="no column \\['y'\\]"):
        PayloadReader(store, refs, limits=LIMITS).columns(["x", "y"])


@pytest.mark.parametrize("n", (-1, 20, 99))
def test_part_refuses_a_number_that_no_file_has(n):
    with pytest.raises(IndexError):
        PayloadReader(*uploaded(encode_payload(random_table(), part_rows=10_000)), limits=LIMITS).part(n)


def test_part_raises_missing_when_the_object_is_gone():
    store, refs = uploaded(encode_payload(random_table(10), part_rows=5))
    store.delete("in-0")

    with pytest.raises(Missing):
        PayloadReader(store, refs, limits=LIMITS).part(0)


@pytest.mark.parametrize("rows", (100, 200_000))
def test_part_raises_format_error_when_the_bytes_are_not_what_was_written(rows):
    (file,) = encode_payload(random_table(rows), part_rows=10_000)
    store = MemoryStore()
    store.create("in-0", file.data[:-20])

    with pytest.raises(FormatError, match="in-0"):
        PayloadReader(store, [("in-0", 0, file.n_parts, len(file.data) - 20)], limits=LIMITS).part(0)


def test_part_keeps_the_sidecar_of_a_frame():
    df = pd.DataFrame({"c": pd.Categorical([3, 1, 3], [3, 2, 1]), "l": [[1], [], [2, 3]]}, index=["a", "b", "b"])
    frame = to_table(df)
    reader = PayloadReader(*uploaded(encode_payload(frame.table, part_rows=2)), limits=LIMITS)

    pd.testing.assert_frame_equal(to_frame(reader.part(1), frame.layout, rows=2), df.iloc[2:])
