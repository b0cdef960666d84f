"""What was read of inputs is kept within one budget, whatever the number of jobs, files and row groups."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cachetools import Cache
from fsspec.implementations.local import LocalFileSystem

from oqkit.limits import PayloadLimits
from oqkit.payload.cache import ByteCache
from oqkit.payload.codec import ParquetCodec
from tests.local import WAIT_S, until

MIB = 2**20


@dataclass(frozen=True)
class Entry:
    nbytes: int


def never():
    raise AssertionError("read again")


def entries(cache):
    """Return what is kept, without using it: an `LRUCache` counts what is asked of itself as use."""
    return [Cache.__getitem__(cache._kept, key) for key in cache._kept]


def n_bytes(cache):
    return sum(entry.nbytes for entry in entries(cache))


def caches():
    return [one for one in gc.get_objects() if isinstance(one, ByteCache)]


def held(entry):
    """Return what an entry takes at least, without asking it."""
    return entry.nbytes if isinstance(entry, pa.Table) else len(entry.data or b"")


def test_most_recently_used_entries_are_kept_within_the_budget():
    cache = ByteCache(10 * MIB)
    for number in range(8):
        cache.get(number, lambda: Entry(2 * MIB))
        cache.get(0, never)
        assert n_bytes(cache) <= 10 * MIB
    assert sorted(cache._kept) == [0, 5, 6, 7]


def test_two_entries_larger_than_the_budget_are_kept_with_small_ones_beside_them():
    cache = ByteCache(10 * MIB)
    cache.get("footer", lambda: Entry(MIB))
    for large in ("first", "second", "third"):
        cache.get(large, lambda: Entry(100 * MIB))
        cache.get(large, never)
        cache.get("footer", never)
    for _ in range(3):  # two jobs in turn read nothing anew
        cache.get("second", never)
        cache.get("third", never)
    assert sorted(cache._kept) == ["footer", "second", "third"]


def test_entries_of_no_bytes_are_not_kept_without_end():
    cache = ByteCache(MIB)
    for number in range(1_000):
        cache.get(number, lambda: Entry(0))
    assert len(cache._kept) <= 256


class Key:
    """A key that knows which threads have looked it up."""

    def __init__(self):
        self.threads = set()

    def __hash__(self):
        self.threads.add(threading.get_ident())
        return 1


def test_many_threads_that_want_one_entry_read_it_once():
    cache, key, calls, barrier = ByteCache(PayloadLimits().cache_bytes), Key(), [], threading.Barrier(8)

    def read():
        calls.append(1)
        until(lambda: len(key.threads) == 8)
        return Entry(1)

    def want(_):
        barrier.wait(WAIT_S)
        return cache.get(key, read)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(want, range(8)))
    assert len(calls) == 1
    assert all(entry is found[0] for entry in found)


def test_entry_that_could_not_be_read_is_asked_for_again():
    cache = ByteCache(PayloadLimits().cache_bytes)
    with pytest.raises(OSError, match="away"):
        cache.get("one", lambda: (_ for _ in ()).throw(OSError("away")))
    assert cache.get("one", lambda: Entry(1)) == Entry(1)


# --- jobs ----------------------------------------------------------------------------------------


def submitted(queue, tmp_path, number):
    """Submit a job whose inputs are a small file, a large file, or row groups of a dataset: a MiB and more."""
    kind, rng = number % 3, np.random.default_rng(number)
    df = pd.DataFrame({"x": rng.random((80_000, 120_000, 150_000)[kind])})
    if kind < 2:
        return queue.submit_frame(df, "score", part_rows=10_000)
    path = tmp_path / f"{number}.parquet"
    df.to_parquet(path, row_group_size=40_000)
    return queue.submit_dataset(str(path), "score", part_rows=10_000)


def test_inputs_of_many_jobs_are_kept_within_one_budget(queue, tmp_path):
    before = caches()
    codec = ParquetCodec(queue.repository, queue.access)
    codec._cache = ByteCache(4 * MIB)
    jobs = [queue.repository.read_job(submitted(queue, tmp_path, number).id).doc for number in range(24)]
    most = 0
    for job in jobs:
        for index in range(job.n_parts):
            assert len(codec.open(job, index)) == job.part_size(index)
            most = max(most, sum(map(held, entries(codec._cache))))
    assert 3 * MIB < most <= 4 * MIB
    assert [one for one in caches() if one not in before and entries(one)] == [codec._cache]
    assert {type(entry).__name__ for entry in entries(codec._cache)} == {"Table", "_OpenFile"}


def test_inputs_that_were_just_read_cost_no_request(queue, tmp_path):
    codec = ParquetCodec(queue.repository, queue.access)
    job = queue.repository.read_job(submitted(queue, tmp_path, 0).id).doc
    codec.open(job, 0)
    before = queue.repository.store.requests.snapshot()
    codec.open(job, 1)
    assert (queue.repository.store.requests.snapshot() - before).total() == 0


def test_row_group_larger_than_the_budget_is_read_once_for_all_its_parts(queue, tmp_path, monkeypatch):
    codec = ParquetCodec(queue.repository, queue.access)
    codec._cache = ByteCache(MIB)
    pd.DataFrame({"x": np.random.default_rng(0).random(300_000)}).to_parquet(tmp_path / "one.parquet")
    job = queue.repository.read_job(queue.submit_dataset(f"{tmp_path}/one.parquet", "score", part_rows=50_000).id).doc
    reads = []
    real = LocalFileSystem.cat_file
    monkeypatch.setattr(
        LocalFileSystem, "cat_file", lambda self, path, **where: reads.append(where) or real(self, path, **where)
    )
    for index in range(job.n_parts):
        codec.open(job, index)
    assert (job.n_parts, len(reads)) == (6, 2), "the footer, and the row group"
