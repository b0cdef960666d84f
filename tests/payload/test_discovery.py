"""Finding a dataset: footers are read several at a time, and it makes no difference in which order they come."""

from __future__ import annotations

import threading

import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem

from oqkit.errors import Denied, Missing, SchemaError, Unavailable, UsageError
from oqkit.limits import PayloadLimits
from oqkit.payload.access import Access
from oqkit.payload.discovery import find_dataset
from tests.local import WAIT_S

N_THREADS = PayloadLimits().footer_threads


@pytest.fixture
def folder(tmp_path):
    """Three times as many files as there are threads; file k has k + 1 rows."""
    for number in range(3 * N_THREADS):
        frame = pd.DataFrame({"x": range(number + 1)})
        frame.to_parquet(tmp_path / f"{number:02}.parquet", row_group_size=2)
    return tmp_path


def find(folder):
    return find_dataset(str(folder), options={}, access=Access(), limits=PayloadLimits())


def number_of(path):
    return int(path.rpartition("/")[2].partition(".")[0])


@pytest.fixture
def reading(monkeypatch):
    """Set what happens before the footer of file k is read: `reading(k)`."""
    real = LocalFileSystem.cat_file

    def set_to(before):
        def cat_file(self, path, *rest, **options):
            before(number_of(path))
            return real(self, path, *rest, **options)

        monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)

    return set_to


def test_footers_are_read_at_the_same_time(folder, reading):
    barrier = threading.Barrier(N_THREADS)  # which nobody passes alone
    reading(lambda _: barrier.wait(WAIT_S))
    dataset, _ = find(folder)
    assert dataset.n_rows == sum(range(1, 3 * N_THREADS + 1))


def test_no_more_footers_are_read_at_a_time_than_said(folder, reading):
    lock, now, seen, barrier = threading.Lock(), [], [], threading.Barrier(N_THREADS)

    def before(number):
        with lock:
            now.append(number)
            seen.append(len(now))
        barrier.wait(WAIT_S)  # so that all are in here before one leaves
        with lock:
            now.remove(number)
        barrier.wait(WAIT_S)

    reading(before)
    find(folder)
    assert max(seen) == N_THREADS == 8


@pytest.fixture
def last_first(reading):
    """Let the footers of all that are read at a time come in the opposite order; a call returns that order."""
    ended, came = [threading.Event() for _ in range(3 * N_THREADS)], []

    def before(number, fail):
        if number % N_THREADS < N_THREADS - 1:
            assert ended[number + 1].wait(WAIT_S)
        came.append(number)
        ended[number].set()
        if number in fail:
            raise fail[number]

    def start(fail=()):
        reading(lambda number: before(number, fail))
        return came

    yield start
    for event in ended:  # whose file was given up since another failed
        event.set()


def test_dataset_is_the_same_whichever_footer_comes_first(folder, last_first):
    expected, schema = find(folder)
    assert [number_of(file.path) for file in expected.files] == list(range(3 * N_THREADS))
    came = last_first()
    found, its_schema = find(folder)
    assert came[0] != 0
    assert found == expected
    assert found.to_json() == expected.to_json()
    assert its_schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    ((PermissionError("no"), Denied), (FileNotFoundError("gone"), Missing), (TimeoutError("slow"), Unavailable)),
)
def test_error_of_any_file_names_that_file_whichever_failed_first(folder, last_first, error, kind):
    last_first(fail={3: error, 6: ValueError("another"), 11: ValueError("a later one")})
    with pytest.raises(kind, match=r"/03\.parquet"):
        find(folder)


@pytest.mark.parametrize("spoil", (b"no Parquet", b"", b"PAR1" + b"\xff" * 40 + b"PAR1"))
def test_file_that_is_no_parquet_is_named(folder, spoil):
    (folder / "05.parquet").write_bytes(spoil)
    with pytest.raises(UsageError, match=r"/05\.parquet is not a Parquet file"):
        find(folder)


def test_first_file_with_other_columns_is_named(folder):
    for number in (13, 4):
        pd.DataFrame({"y": [1]}).to_parquet(folder / f"{number:02}.parquet")
    with pytest.raises(SchemaError, match=r"04\.parquet has the columns y: int64, but .*00\.parquet has x: int64"):
        find(folder)


@pytest.mark.parametrize("place", (0, 9, 23))
def test_nulls_in_any_file_are_known(folder, place):
    dataset, _ = find(folder)
    assert dataset.nulls == {}
    frame = pd.DataFrame({"x": pd.array([1, None, 3], "Int64")})
    frame.to_parquet(folder / f"{place:02}.parquet")
    assert find(folder)[0].nulls == {"x": True}
    frame.to_parquet(folder / f"{(place + 1) % 24:02}.parquet", write_statistics=False)
    assert find(folder)[0].nulls == {"x": True}
    pd.DataFrame({"x": [1]}).to_parquet(folder / f"{place:02}.parquet")
    assert find(folder)[0].nulls == {"x": False}
