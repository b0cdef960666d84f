"""Schemas of inputs and results: of the task, of the submission, and published ones."""

from __future__ import annotations

import json
import threading
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from pydantic import BaseModel

import oqkit
from oqkit.task import json_schema
from tests.local import WAIT_S, keys_in, until, work_off

POSITIVE = {
    "type": "object",
    "properties": {"x": {"type": "number", "minimum": 0}, "name": {"type": "string"}},
    "required": ["x"],
}
SMALL = {"type": "number", "maximum": 10}


class Point(BaseModel):
    x: float
    name: str = ""


class Small(BaseModel):
    r: int


@oqkit.task(schema={"input": POSITIVE, "output": SMALL})
def double(x, name=""):
    return 2 * x


@oqkit.task
def same(x, name=""):
    return x


@oqkit.task(schema={"output": Small})
def record(x):
    return {"r": x}


@oqkit.task(schema={"output": SMALL})
async def later(x):
    return 2 * x


@oqkit.task(batch=True, schema={"output": pandera.DataFrameSchema({"r": pandera.Column(int, pandera.Check.le(4))})})
def by_pandera(frame):
    return pd.DataFrame({"r": frame["x"] * 2}, index=frame.index)


@oqkit.task(batch=True, schema={"output": pa.schema([pa.field("r", pa.int8(), nullable=False)])})
def by_arrow(frame):
    return pd.DataFrame({"r": (frame["x"] ** 6).astype("Int64")})


@oqkit.task(batch=True, schema={"output": {"type": "integer", "maximum": 4}})
def by_json(frame):
    return (frame["x"] * 2).tolist()


@oqkit.task(batch=True, schema={"output": {"type": "object", "required": ["s"]}})
def by_rows(frame):
    return {"r": frame["x"].to_numpy()}


def messages(job):
    return job.errors()["message"].tolist()


# --- inputs --------------------------------------------------------------------------------------


def test_input_that_does_not_fit_is_refused_and_nothing_is_written(queue):
    before = keys_in(queue)
    with pytest.raises(
        oqkit.SchemaError,
        match=r"field 'name': 3 is not of type 'string' \(rule 'type'\); field 'x': -1 is less than the minimum of 0 \(rule 'minimum'\)",
    ):
        queue.submit(double, {"x": -1, "name": 3})
    with pytest.raises(oqkit.SchemaError, match=r"input 1: field 'x': 'a' .*; input 2: 'x' is a required property"):
        queue.map("double", [{"x": 1}, {"x": "a"}, {}], schema={"input": POSITIVE})
    with pytest.raises(oqkit.SchemaError, match=r"call 1: .*field 'x': -2"):
        queue.submit_many([(double, {"x": 1}), (double, {"x": -2})])
    with pytest.raises(oqkit.SchemaError, match=r"field 'x': Field required \(rule 'missing'\)"):
        queue.submit("anything", {"name": "a"}, schema=Point)
    assert keys_in(queue) == before


@pytest.mark.parametrize(
    ("schema", "told"),
    (
        (pandera.DataFrameSchema({"x": pandera.Column(int, pandera.Check.ge(0))}), r"row 1: column 'x': -300 .*equal_to\(0\)"),
        (pandera.DataFrameSchema({"z": pandera.Column(int)}), "z does not pass .rule 'column_in_dataframe'"),
        (pa.schema([("x", pa.int8())]), r"row 1: column 'x': -300 is no int8 \(rule 'type'\)"),
        (pa.schema([("name", pa.int8())]), r"column 'name': it is of type \w+, not int8 \(rule 'type'\)"),
        (pa.schema([pa.field("name", pa.string(), nullable=False)]), r"row 2: column 'name': it is null \(rule 'not null'\)"),
        (pa.schema([("z", pa.int8())]), "column 'z': there is none; the columns are x, name"),
        ({"input": POSITIVE}, "row 1: field 'x': -300 is less than the minimum of 0.*row 2: field 'name': "),
        (Point, r"row 2: field 'name': Input should be a valid string \(rule 'string_type'\)"),
    ),
    ids=str,
)  # fmt: skip
def test_frame_that_does_not_fit_is_refused_with_row_column_and_rule(queue, schema, told):
    before = keys_in(queue)
    frame = pd.DataFrame({"x": [1, -300, 3], "name": pd.Series(["a", "b", None], dtype=object)})
    with pytest.raises(oqkit.SchemaError, match=told):
        queue.submit_frame(frame, same, schema=schema)
    assert keys_in(queue) == before
    assert len(queue.submit_frame(frame.head(1), "other", schema=pa.schema([("x", pa.int8()), ("name", pa.string())])))


def test_schema_of_inputs_that_pass_elsewhere_is_refused(queue, tmp_path):
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(oqkit.UsageError, match="do not pass through this process"):
        queue.submit_dataset(str(tmp_path / "a.parquet"), double)


@pytest.mark.parametrize(
    ("schema", "told"),
    (
        ({"type": "object"}, "write schema={'input': …} around a JSON Schema"),
        ({"input": {"type": "objet"}}, "no JSON Schema, at .'type'.: 'objet' is not valid"),
        ({"input": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "draft 2020-12"),
        ({"input": {"enum": [{1}]}}, "no JSON"),
        ({"input": {"enum": ["x" * 2**16]}}, "more than 65,536 bytes"),
        ({"output": Point}, "travels with the function"),
        (5, "schema=5 is none"),
        ("score", "schema='score' is none"),
        (pa.schema([("x", pa.int8())]), "describes frames"),
    ),
    ids=lambda one: repr(one)[:40],
)
def test_schema_that_is_none_is_refused_before_anything_is_written(queue, schema, told):
    before = keys_in(queue)
    with pytest.raises(oqkit.UsageError, match=told):
        queue.submit(same, {"x": 1}, schema=schema)
    assert keys_in(queue) == before


def test_schema_of_frames_for_single_results_is_refused():
    with pytest.raises(oqkit.UsageError, match="'same' returns one value a call"):
        oqkit.task(name="same", schema={"output": pa.schema([("x", pa.int8())])})(same.function)


def test_nothing_is_fetched_for_a_schema(queue):
    with pytest.raises(oqkit.SchemaError, match=r"refers to .http://127\.0\.0\.1:9/x., which is not in it"):
        queue.submit(same, {"x": 1}, schema={"input": {"$ref": "http://127.0.0.1:9/x"}})


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_result_that_does_not_fit_fails_its_row_without_a_retry(queue, executor):
    jobs = [queue.map(one, [{"x": 3}, {"x": 8}]) for one in (double, later)]
    jobs.append(queue.map(record, [{"x": 3}, {"x": "a"}]))
    work_off(queue, double, later, record, executor=executor)
    for job, told in zip(
        jobs, ("16 is greater than the maximum of 10 (rule 'maximum')",) * 2 + ("field 'r': ",), strict=True
    ):
        assert job.counts()["completed"] == 1
        assert [told in one for one in messages(job)] == [True], messages(job)
        assert job.errors()[["type", "attempt"]].to_numpy().tolist() == [["SchemaError", 1]]


@pytest.mark.parametrize("executor", ("thread", "process"))
@pytest.mark.parametrize(
    ("function", "told"),
    (
        (by_pandera, "column 'r': 6 does not pass (rule 'less_than_or_equal_to(4)')"),
        (by_arrow, "column 'r': 729 is no int8 (rule 'type')"),
        (by_json, "6 is greater than the maximum of 4"),
    ),
    ids=lambda one: getattr(one, "name", ""),
)
def test_row_of_a_batch_that_does_not_fit_fails_alone(queue, function, told, executor):
    job = queue.submit_frame(pd.DataFrame({"x": [1, 3, 2]}, index=list("abc")), function)
    work_off(queue, function, executor=executor)
    assert job.counts()["completed"] == 2
    assert [told in one for one in messages(job)] == [True], messages(job)
    result = job.result(errors="coerce")
    assert result.iloc[:, 0].isna().tolist() == [False, True, False]
    assert result.index.tolist() == list("abc")


def test_frame_that_lacks_a_field_fails_all_its_rows(queue):
    job = queue.submit_frame(pd.DataFrame({"x": [1, 2]}), by_rows)
    work_off(queue, by_rows)
    assert ["'s' is a required property" in one for one in messages(job)] == [True, True]


def test_schema_of_a_submission_goes_before_the_one_of_the_task_and_stands_in_the_job(queue):
    task = queue.submit(double, {"x": 1}, schema={"output": {"maximum": 1}})
    work_off(queue, double)
    assert "2 is greater than the maximum of 1" in task.error()["message"]
    assert queue.get(task.id).options.schema == {"output": {"maximum": 1}}
    with pytest.raises(oqkit.SchemaError):
        queue.submit(double, {"x": -1}, schema={"output": {"maximum": 1}})  # of the input the task's own still holds


def test_job_with_a_schema_of_results_is_for_workers_that_know_of_schemas(queue):
    with_one = queue.submit(same, {"x": 1}, schema={"output": SMALL}).job._view.state.job
    without = queue.submit(same, {"x": 1}, schema={"input": POSITIVE}).job._view.state.job
    assert (with_one.requires, without.requires, without.output_schema) == (("schemas",), (), None)


@pytest.mark.parametrize("spoiled", ({"type": 5}, {"$schema": "http://elsewhere"}, {"$ref": "#"}), ids=str)
def test_schema_that_somebody_spoiled_fails_the_rows_and_holds_no_worker_up(queue, spoiled):
    row = queue.map(same, [{"x": 1}], schema={"output": SMALL})
    batch = queue.submit_frame(pd.DataFrame({"x": [1, 2]}), by_json, schema={"output": SMALL})
    for job in (row, batch):
        (key,) = (key for key in keys_in(queue) if key.startswith("jobs/") and job.id in key)
        doc = json.loads(queue.storage.read(key).data)
        queue.storage.overwrite(key, json.dumps({**doc, "output_schema": spoiled}).encode())
    queue.storage.delete("bell")  # which may hold a copy of the job as it was
    work_off(queue, same, by_json)
    ended = [queue.job(row.id), queue.job(batch.id)]
    if "signature" in doc:  # then what was signed holds, whatever stands beside it
        assert [one.status for one in ended] == ["completed", "completed"]
        return
    assert [one.status for one in ended] == ["failed", "failed"]
    assert set(ended[0].errors()["attempt"]) == {1}


def test_time_of_a_call_runs_on_while_its_result_is_checked(queue):
    is_over = threading.Event()

    class Endless:
        @staticmethod
        def validate(frame, **_options):
            is_over.wait(WAIT_S)

    slow = oqkit.task(batch=True, name="slow", schema={"output": Endless})(lambda frame: frame)
    job = queue.submit_frame(pd.DataFrame({"x": [1]}), "slow", timeout=0.2, retries=0)
    worker = threading.Thread(target=lambda: work_off(queue, slow))
    worker.start()
    until(lambda: job.counts()["failed"])
    is_over.set()
    worker.join(WAIT_S)
    assert job.errors()["type"].tolist() == ["TimeoutError"]


# --- the same work -------------------------------------------------------------------------------


def test_submission_does_not_attach_to_results_that_another_schema_has_checked(queue):
    inputs = [{"x": 1}, {"x": 2}]
    plain = queue.map(same, inputs)
    small = queue.map(same, inputs, schema={"output": SMALL})
    assert len({plain.id, small.id, queue.map(same, inputs, schema={"output": {"maximum": 9}}).id}) == 3
    assert queue.map(same, inputs, schema={"output": dict(reversed(SMALL.items()))}).id == small.id
    assert queue.map(same, inputs, schema={"input": POSITIVE}).id == plain.id
    own = oqkit.task(name="same", schema={"output": SMALL})(same.function)
    assert queue.map(own, inputs).id not in {plain.id, small.id}
    other = oqkit.task(name="same", schema={"output": Point})(same.function)
    assert queue.map(other, inputs).id not in {plain.id, queue.map(own, inputs).id}


def test_worker_whose_function_has_another_schema_leaves_the_job_alone(queue, start):
    other = oqkit.task(name="same", schema={"output": {"maximum": 0}})(same.function)
    job = queue.map(same, [{"x": 1}])
    work_off(queue, other, trust_code=False)
    assert job.counts()["pending"] == 1


# --- published -----------------------------------------------------------------------------------


def test_published_schema_holds_for_who_asks_for_it(queue):
    assert queue.publish_schema("double", {"input": POSITIVE, "output": {"maximum": 4}}, by="ana@lab") == 1
    with pytest.raises(oqkit.SchemaError, match="field 'x': -1"):
        queue.submit("double", {"x": -1}, schema="published")
    task = queue.submit("double", {"x": 3}, schema="published")
    queue.delete_schema("double")
    work_off(queue, double)
    assert "6 is greater than the maximum of 4" in task.error()["message"], "a job keeps the schema it was submitted by"
    with pytest.raises(oqkit.UsageError, match="no schema is published for task type 'double'"):
        queue.submit("double", {"x": 3}, schema="published")
    published = oqkit.task(name="double", schema="published")(double.function)
    queue.publish_schema("double", {"input": {"required": ["name"]}})
    with pytest.raises(oqkit.SchemaError, match="'name' is a required property"):
        queue.submit(published, {"x": 3})


def test_published_schemas_are_listed_changed_and_deleted(queue):
    assert queue.get_schema("double") is None
    assert queue.schemas().empty
    schema = {"input": POSITIVE, "output": SMALL}
    assert queue.publish_schema("double", schema, by="ana@lab") == queue.publish_schema("double", schema) == 1
    assert queue.publish_schema("double", {"input": POSITIVE}, by="ben@lab") == 2
    assert queue.get_schema("double") == {"input": POSITIVE}
    queue.storage.create("schemas/odd.json", b'{"format": 1, "requires": ["flying"]}')
    double, odd = queue.schemas()[["type", "version", "parts", "by"]].to_numpy().tolist()
    assert double == ["double", 2, ["input"], "ben@lab"]
    assert odd[0] == "schemas/odd.json"
    assert "newer oqkit" in odd[3]
    assert queue.delete_schema("double")
    assert queue.delete_schema("double")
    assert queue.get_schema("double") is None


@pytest.mark.parametrize(
    "schema",
    ({}, {"input": Point}, {"input": {"type": 5}}, {"inputs": {}}, Point, {"input": {"enum": [float("nan")]}}),
    ids=str,
)
def test_what_is_no_json_schema_is_not_published(queue, schema: Any):
    with pytest.raises(oqkit.UsageError):
        queue.publish_schema("double", schema)
    assert queue.get_schema("double") is None


def test_only_who_asks_for_a_published_schema_pays_a_request_and_that_once_a_minute(queue):
    queue.publish_schema("same", {"input": POSITIVE})

    def reads(**options):
        before = queue.storage.requests.snapshot()
        for n in range(5):
            queue.submit(same, {"x": n}, **options)
        return (queue.storage.requests.snapshot() - before)["get"]

    usual = reads()
    assert reads(schema={"input": POSITIVE}) == usual
    assert reads(schema="published") == usual + 1


def test_schemas_are_kept_from_the_command_line(queue, oq, tmp_path):
    for name, part in (("input", POSITIVE), ("output", SMALL)):
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    files = ("--input", tmp_path / "input.json", "--output", tmp_path / "output.json")
    assert oq("schema", "publish", "double", *files, "--by", "ana@lab") == "version 1\n"
    assert json.loads(oq("schema", "get", "double")) == {"input": POSITIVE, "output": SMALL}
    (listed,) = json.loads(oq("schema", "list", "--json"))
    assert (listed["type"], listed["version"], listed["by"]) == ("double", 1, "ana@lab")
    assert oq("schema", "validate", "double", '{"x": 1}') == "fits\n"
    assert "'x' is a required property" in oq("schema", "validate", "double", "{}", code=2)
    assert "11 is greater" in oq("schema", "validate", "double", "11", "--part", "output", code=2)
    assert "-1 is less than" in oq("submit", "double", '{"x": -1}', "--schema", "published", code=2)
    assert oq("schema", "delete", "double") == "deleted double\n"
    assert "no schema is published" in oq("schema", "get", "double", code=2)


# --- what was wrong in the original --------------------------------------------------------------


def test_original_schema_validation_takes_a_task_type_as_its_docs_say(queue):
    """`task-schemas.md` shows ``validate_input("type", data)``, where the code wanted the schema itself."""
    queue.publish_schema("double", {"input": POSITIVE})
    assert queue.validate("double", {"x": 1}) is None
    assert queue.validate("double", "anything", "output") is None


def test_original_schema_validation_error_is_exported_and_never_raised(queue):
    queue.publish_schema("double", {"input": POSITIVE})
    with pytest.raises(oqkit.SchemaError) as caught:
        queue.validate("double", {})
    assert isinstance(caught.value, ValueError), "which the original raised"


def test_original_schema_errors_are_all_told_in_one(queue):
    queue.publish_schema("double", {"input": {**POSITIVE, "additionalProperties": False}})
    with pytest.raises(oqkit.SchemaError) as caught:
        queue.validate("double", {"x": -1, "name": 5, "z": 1})
    assert str(caught.value).count("(rule ") == 3


def test_original_schema_is_compiled_on_each_call(queue, monkeypatch):
    made = []
    json_schema.compiled.cache_clear()
    real = json_schema._validator_class()
    monkeypatch.setattr(json_schema, "_validator_class", lambda: made.append(1) or real)
    schema = {"input": {**POSITIVE, "title": "of this test alone"}}
    for n in range(20):
        queue.submit(same, {"x": n}, schema=schema)
    assert len(made) == 2, "once to see that it is one, once to make it"
