"""JSON Schema: Python's and numpy's values are those of JSON that they mean, and every problem has its field and rule."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from pydantic import TypeAdapter

from oqkit.errors import SchemaError, UsageError
from oqkit.task.json_schema import compiled, json_problems, text_of_schema
from oqkit.task.schema import joined, value_check


def problems(schema, value):
    return json_problems(compiled(text_of_schema(schema)), value)


VALUES = {
    "integer": (0, 5, -3, 10**30, 2.0, np.int8(3), np.uint64(2**63), np.float32(4)),
    "number": (0, 1.5, float("nan"), float("inf"), np.float32(1.5), np.int64(1)),
    "boolean": (True, False, np.bool_(True)),  # noqa: FBT003 - takes no keyword
    "string": ("", "é"),
    "array": ([], [1], (), (1, "a")),
    "object": ({}, {"a": 1}),
    "null": (None,),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_of_their_type_and_of_no_other(name):
    others = {"number": {"integer"}, "integer": {"number"}}.get(name, set())
    assert [value for value in VALUES[name] if problems({"type": name}, value)] == []
    wrong = [value for other, values in VALUES.items() if other not in {name, *others} for value in values]
    assert [value for value in (*wrong, b"x", Decimal(1), {1}) if not problems({"type": name}, value)] == []


def test_numbers_that_are_whole_are_integers_and_no_others_are():
    assert [x for x in (1.5, float("nan"), float("inf"), np.float64(0.1)) if not problems({"type": "integer"}, x)] == []


def test_every_problem_is_told_with_its_field_and_rule():
    schema = {"properties": {"a": {"items": {"type": "string"}}, "b": {"enum": [1]}}, "required": ["c"]}
    assert problems(schema, {"a": ["x", 5], "b": 2}) == [
        "'c' is a required property (rule 'required')",
        "field 'a.1': 5 is not of type 'string' (rule 'type')",
        "field 'b': 2 is not one of [1] (rule 'enum')",
    ]


def test_long_values_are_cut():
    (found,) = problems({"type": "integer"}, "x" * 100_000)
    assert len(found) < 300


@pytest.mark.parametrize(
    "schema", ({"$ref": "#"}, {"$ref": "#/$defs/no"}, {"$ref": "other.json"}, {"$ref": "file:///etc/passwd"})
)
def test_reference_that_leads_nowhere_is_a_problem(schema):
    assert len(problems(schema, 1)) == 1


def test_references_within_the_schema_and_to_the_draft_are_followed():
    assert problems({"$ref": "#/$defs/n", "$defs": {"n": {"type": "string"}}}, 1)
    assert problems({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": 5})


def test_value_that_is_nested_too_deeply_is_a_problem():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert problems({"items": {"$ref": "#"}}, deep) == ["the value, or what the schema refers to, is nested too deeply"]


def test_type_adapter_of_pydantic_checks_values():
    assert value_check(TypeAdapter(list[int]))(["a"]) == [
        "field '0': Input should be a valid integer, unable to parse string as an integer (rule 'int_parsing')"
    ]
    assert value_check(TypeAdapter(list[int]))([1]) == []


def test_validator_that_breaks_is_a_problem():
    class Broken:
        @staticmethod
        def model_validate(value):
            raise KeyError(value)

    assert value_check(Broken)("a") == ["its validator raised KeyError: 'a'"]


def test_many_problems_are_told_in_part():
    assert joined([str(n) for n in range(25)]).endswith("; 19; and 5 more")


def test_nothing_that_checks_is_imported_for_tasks_without_a_schema():
    script = """
import sys, oqkit as oq
@oq.task(retries=1)
def score(x): ...
q = oq.connect("memory://x")
q.submit(score, {"x": 1})
print(*sorted({"jsonschema", "pydantic", "pandera"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("schema", ({"enum": [object]}, {"x": float("nan")}, {"type": 3}, {"pattern": "("}), ids=str)
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(UsageError) as caught:
        compiled(text_of_schema(schema))
    assert not isinstance(caught.value, SchemaError)
