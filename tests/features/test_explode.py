"""Functions that return any number of rows for each of their own: `submit_frame(explode=True)`."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import oqkit
from oqkit.arrow.share import shares
from oqkit.errors import SchemaError
from tests.local import work_off


def texts():
    return pd.DataFrame({"text": ["b a", "", "c", "d e f"]}, index=["w", "x", "y", "z"])


def words(text):
    return text.split()


def parts(text):
    for place, word in enumerate(text.split()):
        yield {"word": word, "place": place}


def frame_of(text):
    return pd.DataFrame(list(parts(text))) if text else None


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_lists_and_frames_give_a_row_an_item_under_the_label_of_their_row(queue, executor):
    df = texts()
    jobs = [queue.submit_frame(df, function, explode=True, part_rows=2) for function in (words, parts, frame_of)]
    work_off(queue, executor=executor)
    labels = ["w", "w", "y", "z", "z", "z"]
    # What pandas does, but for the row without a word, of which it makes a row of nothing.
    want = df["text"].str.split().explode().dropna()
    assert jobs[0].result()["words"].to_dict() == want.to_dict()
    assert jobs[0].result().index.tolist() == want.index.tolist() == labels
    rows = pd.DataFrame({"word": list("bacdef"), "place": [0, 1, 0, 0, 1, 2]}, index=labels)
    for job in jobs[1:]:
        pd.testing.assert_frame_equal(job.result(), rows)
        assert job.counts()["completed"] == len(job) == 4
    assert queue.get(f"{jobs[1].id}.3").result()["word"].tolist() == ["d", "e", "f"]
    assert len(queue.get(f"{jobs[1].id}.1").result()) == 0


@oqkit.task(batch=True)
def long_words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(word=frame["text"].str.split()).explode("word").dropna()


@oqkit.task(batch=True)
def short_texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["text"].str.len() < 2].iloc[::-1]


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_batch_functions_keep_the_labels_of_the_rows(queue, executor):
    df = texts()
    more, fewer = (queue.submit_frame(df, function, explode=True) for function in (long_words, short_texts))
    work_off(queue, executor=executor)
    pd.testing.assert_frame_equal(more.result(), long_words(df))
    pd.testing.assert_frame_equal(fewer.result(), df[df["text"].str.len() < 2])


def test_rows_that_failed_have_none_and_may_be_repaired(queue):
    job = queue.submit_frame(texts(), lambda text: [1 / len(text)] * 2, explode=True, retries=0, name="inverse")
    work_off(queue)
    assert job.errors().index.tolist() == ["x"]
    assert job.result(errors="coerce").index.tolist() == ["w", "w", "y", "y", "z", "z"]
    assert job.retry(where=["x"], fn=lambda text: [len(text)]) == 1
    work_off(queue)
    assert job.result().index.tolist() == ["w", "w", "x", "y", "y", "z", "z"]


def test_exploded_rows_stand_beside_the_row_that_they_came_from(queue, tmp_path):
    df = texts().assign(n=range(4))
    job = queue.submit_frame(df, parts, explode=True)
    work_off(queue)
    pd.testing.assert_frame_equal(job.result(join=True), df.join(job.result(), how="inner"))
    job.to_parquet(tmp_path / "words.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "words.parquet"), job.result())


def test_polars_frames_give_polars_rows(queue):
    df = pl.from_pandas(texts())
    job = queue.submit_frame(df, parts, explode=True)
    work_off(queue)
    assert job.result().to_dict(as_series=False) == {"word": list("bacdef"), "place": [0, 1, 0, 0, 1, 2]}
    assert job.result(join=True)["text"].to_list() == ["b a", "b a", "c", "d e f", "d e f", "d e f"]


def test_another_job_is_called_with_all_rows(queue):
    jobs = [
        queue.submit_frame(texts(), parts, explode=True),
        queue.submit_frame(texts(), lambda frame: frame[["text"]], by=len, name="groups"),
    ]
    total = queue.gather(jobs, lambda found: [len(frame) for frame in found])
    work_off(queue)
    work_off(queue)
    assert total.result() == [6, 4]


def test_a_function_that_explodes_is_another_job(queue):
    ids = {queue.submit_frame(texts(), words, **how).id for how in ({}, {"explode": True}, {"explode": False})}
    assert len(ids) == 2


def test_what_does_not_go_together_is_refused(queue):
    schema = {"output": {"type": "array"}}
    for how, said in (
        ({"by": "text"}, "with by= a function may return a frame"),
        ({"schema": schema}, "a schema of results"),
    ):
        with pytest.raises(oqkit.UsageError, match=said):
            queue.submit_frame(texts(), words, explode=True, **how)
    assert len(queue.jobs()) == 0


@pytest.mark.parametrize(
    ("result", "index", "said"),
    (
        ([1, 2], pd.RangeIndex(2), "returned list; return a pandas frame"),
        (pd.DataFrame({"x": [1]}, index=[7]), pd.RangeIndex(2), "the label 7, which none that it was given has"),
        (pd.DataFrame({"x": [1]}), pd.Index([0, 0]), "occur several times"),
        (pd.DataFrame({"x": [1]}), None, "return a pandas frame"),
    ),
)
def test_rows_of_nobody_are_refused(result, index, said):
    with pytest.raises(SchemaError, match=said):
        shares(result, index)
