"""The objects of the index of items: what they hold, what they take in, and which decides."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqkit.errors import FormatError
from oqkit.payload.item_index import ItemIndex, digests, look_up
from oqkit.payload.item_places import ItemPlaces


def index(job, *names, at=0.0):
    return ItemIndex.of(job, at=at, ids=digests(names), inputs=digests([f"{job} {name}" for name in names]))


def jobs_of(objects, *names):
    return look_up(digests(names), objects).job.tolist()


def test_index_is_read_as_it_was_written():
    one = index("a", "x", "y", at=7.5).over([("items/i/2", index("b", *map(str, range(99))))], settled_s=10.0)
    again = ItemIndex.load(one.dump(), key="k")
    assert (again.job, again.at, again.base) == ("a", 7.5, ("items/i/2",))
    assert again.table.equals(one.table)


def test_newest_object_that_knows_an_item_decides():
    objects = [index("new", "x"), index("old", "y", "x"), index("oldest", "x", "z")]
    assert jobs_of(objects, "x", "y", "z", "nobody's") == ["new", "old", "oldest", None]
    found = look_up(digests(["z", "y"]), objects)
    assert found.row.tolist() == [1, 0]
    assert found.input.tolist() == digests(["oldest z", "old y"]).to_pylist()


def test_newest_object_takes_in_those_that_are_not_much_larger_and_names_the_rest():
    older = [
        ("3", index("c", "x", "y")),
        ("2", index("b", *map(str, range(8)))),
        ("1", index("a", *map(str, range(99)))),
    ]
    one = index("d", "x", "z").over(older, settled_s=0.0)
    assert one.base == ("1",)
    assert len(one) == 2 + 1 + 8  # x is there once
    assert jobs_of([one, older[-1][1]], "x", "y", "z", "7", "50") == ["d", "c", "d", "b", "a"]


def test_object_of_a_job_that_may_not_be_there_yet_stays():
    """Or nobody could tell that somebody is about to store it."""
    older = [("2", index("b", "x", at=5.0)), ("1", index("a", "y", at=1.0))]
    assert index("c", "z").over(older, settled_s=4.9).base == ("2", "1")
    assert index("c", "z").over(older, settled_s=5.0).base == ()


def test_there_are_few_objects_however_many_calls():
    objects, numbers = [], []
    for n in range(2_000):
        one = index(f"job{n}", str(n)).over(objects, settled_s=0.0)
        objects = [(str(n), one), *((key, older) for key, older in objects if key in one.base)]
        numbers.append(len(objects))
    assert max(numbers) <= 8
    assert jobs_of([one for _, one in objects], "0", "777", "1999") == ["job0", "job777", "job1999"]


def newer(data):
    table = pq.read_table(pa.BufferReader(data))
    ((name, facts),) = table.schema.metadata.items()
    table = table.replace_schema_metadata({name: facts.replace(b'"format": 1', b'"format": 2')})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


TABLE = index("a", "x").table


@pytest.mark.parametrize(
    "data",
    (
        b"",
        b"PAR1PAR1",
        newer(index("a", "x").dump()),
        index("a", "x").dump()[:-9],
        ItemPlaces(job=TABLE["job"].to_numpy(), row=TABLE["row"].to_numpy()).dump(),
    ),
    ids=["empty", "marks", "newer", "cut", "other columns"],
)
def test_what_is_no_index_is_refused(data):
    with pytest.raises(FormatError):
        ItemIndex.load(data, key="items/i/1")


# --- places -------------------------------------------------------------------------------------


def test_places_find_the_items_among_the_rows_of_a_job():
    table = pa.table({"job": ["a", "b", "a", "a", "b"], "row": [4, 0, 2, 4, 9]})
    places = ItemPlaces.load(ItemPlaces(job=table["job"].to_numpy(), row=table["row"].to_numpy()).dump(), what="j")
    assert len(places) == 5
    assert places.jobs == ["a", "b"]
    for rows, expected in (([4, 2], [(0, 0), (2, 1), (3, 0)]), ([3, 4], [(0, 1), (3, 1)]), ([], []), ([1], [])):
        positions, found = places.positions("a", rows)
        assert list(zip(positions.tolist(), found.tolist(), strict=True)) == expected


@pytest.mark.parametrize("data", (b"", index("a", "x").dump()), ids=["empty", "other columns"])
def test_what_is_no_list_of_places_is_refused(data):
    with pytest.raises(FormatError, match="the list of items of job j is not readable here"):
        ItemPlaces.load(data, what="job j")
