"""One task a group: `submit_frame(by=)`, from one end to the other."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import oqkit
from oqkit.limits import Limits, PayloadLimits
from tests.local import connect_with, work_off


def orders():
    customers = ["zoe", "bob", "ann", "bob", None, "zoe", "bob"]
    return pd.DataFrame({"customer": customers, "paid": [1.0, 2, 3, 4, 5, 6, 7], "n": range(7)}, index=list("tuvwxyz"))


def total(frame, key):
    return {"paid": frame["paid"].sum(), "who": key, "name": frame.name}


def best(frame):
    return frame.nlargest(2, "paid")


def picky(frame, key):
    if key == "bob":
        raise ValueError("no bobs")
    return len(frame)


def test_a_task_a_group_gives_what_pandas_groupby_gives(queue):
    df = orders()
    job = queue.submit_frame(df, total, by="customer")
    rows = queue.submit_frame(df, best, by=["customer"], dropna=False, sort=False)
    assert len(job) == 3
    work_off(queue)
    who = ["ann", "bob", "zoe"]
    want = pd.DataFrame({"paid": [3.0, 13.0, 7.0], "who": who, "name": who}, index=pd.Index(who, name="customer"))
    pd.testing.assert_frame_equal(job.result(), want)
    same = df.groupby(["customer"], dropna=False, sort=False)[["paid", "n"]].apply(best)
    assert rows.result().index.tolist()[:-1] == same.index.tolist()[:-1]  # the last has no key
    pd.testing.assert_frame_equal(rows.result().reset_index(), same.reset_index())
    again = queue.submit_frame(df, best, by=["customer"], dropna=False, sort=False)
    assert again.id == rows.id
    pd.testing.assert_frame_equal(again.result().reset_index(), same.reset_index())


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_errors_tasks_and_orders_speak_of_keys(queue, executor):
    job = queue.submit_frame(orders(), picky, by="customer", retries=0)
    assert job.tasks().index.tolist() == ["ann", "bob", "zoe"]
    work_off(queue, executor=executor)
    errors = job.errors()
    assert errors.index.tolist() == ["bob"]
    assert errors.index.name == "customer"
    assert errors["message"].tolist() == ["no bobs"]
    assert job.tasks()["status"].to_dict() == {"ann": "completed", "bob": "failed", "zoe": "completed"}
    coerced = job.result(errors="coerce")["picky"]
    assert coerced.index.tolist() == ["ann", "bob", "zoe"]
    assert coerced.isna().tolist() == [False, True, False]
    assert job.result(errors="drop")["picky"].to_dict() == {"ann": 1, "zoe": 2}
    with pytest.raises(ValueError, match="no bobs"):
        job.debug("bob")
    assert job.debug("ann") == 1
    assert job.retry(where=coerced.isna().to_numpy(), fn=lambda frame: -len(frame)) == 1
    work_off(queue, executor=executor)
    assert job.result()["picky"].to_dict() == {"ann": 1, "bob": -3, "zoe": 2}


def test_retry_takes_keys_and_masks_in_the_order_of_the_result(queue):
    frame = pd.DataFrame({"k": [2, 2, 2, 1, 1, 0], "j": list("aaabbb"), "x": range(6)})  # the largest is the last key
    for by, keys in (("k", [0, 1, 2]), (["k", "j"], [(0, "b"), (1, "b"), (2, "a")])):
        for number, key in enumerate(keys):
            job = queue.submit_frame(frame, lambda group: 1 / 0, by=by, retries=0, on_duplicate="rerun")
            work_off(queue)
            assert list(job.tasks().index) == keys
            assert job.retry(where=np.arange(3) == number) == 1
            assert list(job.tasks("pending").index) == [key]
            labels = pd.MultiIndex.from_tuples([keys[0]]) if isinstance(key, tuple) else pd.Index([keys[0]])
            assert job.retry(where=labels) == (number != 0)
            assert list(job.tasks("pending").index) == list(dict.fromkeys([keys[0], key]))


def test_what_groups_gave_stands_beside_their_rows(queue):
    df = orders()
    value = queue.submit_frame(df, picky, by="customer", retries=0)
    rows = queue.submit_frame(df, lambda frame: frame["paid"] - frame["paid"].mean(), by="customer", name="centred")
    two = queue.submit_frame(
        df, lambda frame: frame[["n"]].assign(m=len(frame)), by="customer", dropna=False, name="two"
    )
    work_off(queue)
    joined = value.result(errors="coerce", join=True)
    assert joined.index.equals(df.index)
    assert joined["picky"].fillna(-1).tolist() == [2, -1, 1, -1, -1, 2, -1]
    assert value.result(errors="drop", join=True)["picky"].to_dict() == {"t": 2, "v": 1, "y": 2}
    assert rows.result(join=True)["paid_result"].round(3).fillna(0).tolist() == [-2.5, -2.333, 0, -0.333, 0, 2.5, 2.667]
    found = two.result(join=True, suffix="_there")
    assert found.columns.tolist() == ["customer", "paid", "n", "n_there", "m"]
    assert found["n_there"].tolist() == df["n"].tolist()
    assert found["m"].tolist() == [2, 3, 1, 3, 1, 2, 3]
    elsewhere = queue.job(two.id)
    pd.testing.assert_frame_equal(elsewhere.result(join=df, suffix="_there"), found)
    for other in (df.assign(customer="ann"), df.iloc[::-1]):
        with pytest.raises(oqkit.UsageError, match="not the frame that was submitted"):
            elsewhere.result(join=other)
    with pytest.raises(oqkit.UsageError, match=r"pass it: result\(join=df\)"):
        elsewhere.result(join=True)
    with pytest.raises(oqkit.UsageError, match="two columns would be called 'n': choose another suffix"):
        two.result(join=True, suffix="")


def test_polars_rows_have_what_their_group_gave(queue):
    frame = pl.from_pandas(orders().reset_index(drop=True))
    job = queue.submit_frame(frame, lambda group: {"n": len(group)}, by="customer")
    more = queue.submit_frame(frame, best, by="customer", name="fewer")
    work_off(queue, oqkit.task(name="none")(lambda: None))
    joined = job.result(join=True, suffix="_in_all")
    assert joined["n_in_all"].to_list() == [2, 3, 1, 3, None, 2, 3]
    assert more.errors()["type"].unique().tolist() == ["AttributeError"]


def test_more_or_fewer_rows_than_a_group_has_stand_beside_nothing(queue):
    job = queue.submit_frame(orders(), best, by="customer")
    work_off(queue)
    with pytest.raises(oqkit.UsageError, match="a group of 3 rows gave 2"):
        job.result(join=True)


def test_results_of_groups_are_written_to_files(queue, tmp_path):
    job = queue.submit_frame(orders(), best, by="customer", columns=["paid", "n"])
    work_off(queue)
    job.to_parquet(tmp_path / "best.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "best.parquet"), job.result())
    assert job.dataset().to_table().column("customer").to_pylist() == ["ann", "bob", "bob", "zoe", "zoe"]
    streamed = pd.concat(list(job.as_completed()))
    pd.testing.assert_frame_equal(streamed.sort_index(), job.result().sort_index())


def test_large_groups_run_first(queue):
    sizes = {key: 1 + key * 7 % 20 for key in range(20)}
    frame = pd.DataFrame({"k": [key for key, n in sizes.items() for _ in range(n)]}).sample(frac=1, random_state=1)
    ran = []
    job = queue.submit_frame(frame, "size", by="k", part_rows=10)
    work_off(queue, oqkit.task(name="size")(lambda group, key: ran.append((key, len(group)))))
    job.result()
    assert sorted(ran) == sorted(sizes.items())
    first, second = ([n for _, n in ran[start : start + 10]] for start in (0, 10))
    assert first == sorted(first, reverse=True)
    assert second == sorted(second, reverse=True)
    assert abs(sum(first) - sum(second)) <= max(sizes.values())
    assert max(sizes.values()) in {first[0], second[0]}


def test_batch_functions_coroutines_and_contexts_get_groups_too(queue):
    @oqkit.task(batch=True)
    def count(frame: pd.DataFrame) -> int:
        return len(frame)

    async def later(frame, key, ctx: oqkit.Context):
        return f"{key}{len(frame)} {ctx.attempt}"

    jobs = [queue.submit_frame(orders(), function, by="customer") for function in (count, later)]
    work_off(queue)
    assert jobs[0].result()["count"].tolist() == [1, 3, 2]
    assert jobs[1].result()["later"].tolist() == ["ann1 1", "bob3 1", "zoe2 1"]


@pytest.mark.parametrize("kind", (pl.from_pandas, pa.Table.from_pandas), ids=("polars", "arrow"))
def test_other_frames_give_their_own_kind(queue, kind):
    frame = kind(orders().reset_index(drop=True))
    column = (
        (lambda it, name: it[name].to_list())
        if isinstance(frame, pl.DataFrame)
        else (lambda it, name: it[name].to_pylist())
    )

    def both(group, key):
        return {"key": key[0], "n": len(group)}

    values = queue.submit_frame(frame, both, by=["customer"], dropna=False)
    rows = queue.submit_frame(frame, lambda group: group[:2], by="customer", name="rows")
    work_off(queue)
    found, below = values.result(), rows.result()
    assert type(found) is type(below) is type(frame)
    assert column(found, "customer") == column(found, "key") == ["ann", "bob", "zoe", None]
    assert column(found, "n") == [1, 3, 2, 1]
    assert column(below, "customer") == ["ann", "bob", "bob", "zoe", "zoe"]
    assert column(below, "n") == [2, 1, 3, 0, 5]
    assert values.tasks().index.get_level_values("customer").tolist()[:3] == ["ann", "bob", "zoe"]


def test_group_of_more_than_a_file_is_cut_and_put_together_again(queue, monkeypatch):
    connect_with(Limits(payload=PayloadLimits(file_bytes=4_000, small_bytes=100)), monkeypatch)
    queue = oqkit.connect("memory://small-files")
    frame = pd.DataFrame({"k": [1] * 3_000 + [0, 2] * 40, "x": range(3_080)})
    job = queue.submit_frame(frame, lambda group: group["x"].sum(), by="k", part_rows=1)
    stored = queue.repository.read_job(job.id).doc
    assert stored.input["split"][0][0] == 0
    assert stored.input["split"][0][1] > 5
    assert len(stored.input["files"]) > 3
    work_off(queue)
    assert job.result().iloc[:, 0].tolist() == frame.groupby("k")["x"].sum().tolist()


def test_many_groups_do_not_make_the_job_object_large(queue):
    n_bytes = {}
    for n in (100, 20_000):
        job = queue.submit_frame(pd.DataFrame({"customer": [f"c{row}" for row in range(n)]}), "count", by="customer")
        n_bytes[n] = len(json.dumps(dict(queue.repository.read_job(job.id).doc.input)))
    assert n_bytes[20_000] < n_bytes[100] + 100


def test_what_a_job_of_groups_is_about(queue):
    df = orders()
    job = queue.submit_frame(df, best, by="customer")
    others = (
        (df, {"by": "customer", "dropna": False}),
        (df, {"by": "customer", "sort": False}),
        (df, {"by": "n"}),
        (df, {"by": "customer", "columns": ["paid"]}),
        (df.assign(paid=0.0), {"by": "customer"}),
        (df.assign(customer=df["customer"].replace("zoe", "zac")), {"by": "customer"}),
    )
    assert queue.submit_frame(df.copy(), best, by=["customer"]).id == job.id
    assert len({job.id, *(queue.submit_frame(frame, best, **how).id for frame, how in others)}) == 1 + len(others)


def test_callables_of_labels_and_frames_without_rows(queue):
    df = orders()
    job = queue.submit_frame(df, total, by=lambda label: label > "w")
    empty = queue.submit_frame(df.iloc[:0], total, by="customer")
    work_off(queue)
    assert job.result()["paid"].to_dict() == {False: 10.0, True: 18.0}
    assert empty.result().empty


@pytest.mark.parametrize(
    ("how", "said"),
    (
        ({"by": "custmer"}, "pandas cannot group the frame so"),
        ({"sort": False}, "say by which columns, with by="),
        ({"by": pd.Grouper(level=0), "fn": lambda frame, other: 1}, "missing a required argument: 'other'"),
        ({"by": "customer", "fn": lambda: 1}, "too many positional arguments"),
        ({"by": "customer", "columns": ["none"]}, "no column 'none'"),
    ),
)
def test_what_does_not_fit_is_refused_before_anything_is_stored(queue, how, said):
    before = len(queue.jobs())
    with pytest.raises(oqkit.UsageError, match=said):
        queue.submit_frame(orders(), **{"fn": best, **how})
    assert len(queue.jobs()) == before


def test_result_that_cannot_be_stored_fails_its_group_only(queue):
    def odd(frame, key):
        return pd.DataFrame({"x": [object() if key == "bob" else 1]})

    job = queue.submit_frame(orders(), odd, by="customer", retries=0)
    work_off(queue)
    assert job.errors().index.tolist() == ["bob"]
    assert job.result(errors="drop")["x"].tolist() == [1, 1]


def test_rows_of_a_group_are_a_copy_of_its_own(queue, recwarn):
    def spoil(frame):
        frame["n"] = -1
        frame.loc[frame.index[0], "paid"] = 0.0
        return frame["paid"].sum()

    job = queue.submit_frame(orders(), spoil, by=["customer", "n"])
    work_off(queue)
    assert job.result()["spoil"].tolist() == [0.0] * 6
    assert not recwarn.list


def test_single_tasks_give_the_rows_of_their_group(queue):
    job = queue.submit_frame(orders(), best, by="customer")
    work_off(queue)
    place = job.tasks().loc["bob", "row"]
    assert queue.get(f"{job.id}.{place}").result()["paid"].to_dict() == {"z": 7.0, "w": 4.0}
