"""Results of a lease survive Parquet, and JSON where JSON can carry them."""
# ruff: noqa: PD011 - `StoredResults.values` is no frame's

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.arrow.batch import encode_batch
from oqkit.arrow.value import decode_values, encode_values
from oqkit.errors import FormatError
from oqkit.limits import PayloadLimits
from oqkit.payload.output import (
    Failure,
    decode_inline,
    decode_outcomes,
    encode_inline,
    encode_outcomes,
    pack,
    stored_results,
)
from oqkit.queue.rows import Rows
from oqkit.worker.buffer import Results

LIMITS = PayloadLimits()

FAILURE = Failure(type="ValueError", message="no é", traceback="Traceback …", attempt=2, worker="w-1")


def table(*values):
    return encode_values(values)[0]


@pytest.mark.parametrize(
    "values", ([1.5, None], [{"a": 1, "b": "x"}, {"a": 2}], [[1], "a"], [dt.date(2020, 1, 1), None])
)
@pytest.mark.parametrize("failures", ({}, {7: FAILURE, 3: FAILURE}))
def test_decode_outcomes_returns_rows_values_and_failures(values, failures):
    encoded = table(*values)

    got = decode_outcomes(encode_outcomes(stored_results([5, 9], encoded, failures)))

    assert got.rows.tolist() == [5, 9]
    assert got.rows.dtype == np.int64
    assert got.values.schema.metadata[b"oq.kind"] == encoded.schema.metadata[b"oq.kind"]
    assert decode_values(got.values) == decode_values(encoded)
    assert got.failures == failures


def test_encode_outcomes_has_no_error_column_without_failures():
    names = pq.read_schema(pa.BufferReader(encode_outcomes(stored_results([0], table(1), {})))).names

    assert names == ["oq:row", "value"]


def test_encode_outcomes_of_failures_only():
    got = decode_outcomes(encode_outcomes(stored_results([], None, {1: FAILURE})))

    assert (len(got.rows), got.values.num_rows, dict(got.failures)) == (0, 0, {1: FAILURE})


def test_encode_outcomes_without_values_completes_the_rows_with_null():
    got = decode_outcomes(encode_outcomes(stored_results([1, 2], None, {})))

    assert decode_values(got.values) == [None, None]


def test_encode_outcomes_counts_a_row_that_is_both_as_failed():
    got = decode_outcomes(encode_outcomes(stored_results([1, 2], table("a", "b"), {2: FAILURE})))

    assert got.rows.tolist() == [1]
    assert decode_values(got.values) == ["a"]
    assert list(got.failures) == [2]


def test_encode_outcomes_keeps_the_sidecar_beside_failures():
    values = encode_batch(pd.Series(pd.Categorical([3, 1], [3, 2, 1])), 2)

    got = decode_outcomes(encode_outcomes(stored_results(np.array([0, 2]), values, {1: FAILURE})))

    assert got.values.schema.field(0).metadata[b"oq.column"] == values.schema.field(0).metadata[b"oq.column"]


def test_encode_outcomes_refuses_other_numbers_of_rows_and_values():
    with pytest.raises(ValueError, match="1 rows with 2 values"):
        encode_outcomes(stored_results([0], table(1, 2), {}))


@pytest.mark.parametrize("data", (b"", b"PAR1", encode_outcomes(stored_results([0], table(1), {}))[:-9]))
def test_decode_outcomes_refuses_other_bytes(data):
    with pytest.raises(FormatError):
        decode_outcomes(data)


INLINE = [
    [1, None],
    [1.0, 2.5],
    [2**63 - 1],
    [True, False],
    ["é", None],
    [[1, 2], []],
    [[1.0, None], []],
    [{"a": 1, "b": [{"c": "x"}]}],
    [{"a": 1}, {"a": None}],
    [1, "a", {"k": [None]}],
    [{"a": [1, "b"]}],
    [None, None],
    [2**80, 1],
    [{}],
    [],
]


@pytest.mark.parametrize("values", INLINE, ids=repr)
@pytest.mark.parametrize("failures", ({}, {99: FAILURE}))
def test_decode_inline_returns_what_encode_inline_was_given(values, failures):
    encoded = table(*values)

    doc = json.loads(
        json.dumps(
            encode_inline(
                stored_results(range(len(values)), encoded, failures),
                max_bytes=LIMITS.inline_bytes,
                max_rows=LIMITS.inline_rows,
            )
        )
    )
    got = decode_inline(doc)

    assert got.rows.tolist() == list(range(len(values)))
    assert got.values.equals(encoded)
    assert got.values.schema.equals(encoded.schema, check_metadata=True)
    assert repr(decode_values(got.values)) == repr(values)
    assert got.failures == failures


@pytest.mark.parametrize(
    "value",
    (
        float("nan"), float("inf"), [float("nan")], b"x", dt.date(2020, 1, 1), (1, 2), {1}, np.float32(1.5), np.int8(1),
        {"a": (1, 2)}, {1: 2}, pd.Timestamp("2020"), np.array([1.0]), "x" * 10_000, {"a": 1, "b": None, "c": b"x"},
    ),
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_encode_inline_declines_what_json_would_lose(value):
    assert (
        encode_inline(stored_results([0], table(value), {}), max_bytes=LIMITS.inline_bytes, max_rows=LIMITS.inline_rows)
        is None
    )


def test_encode_inline_declines_long_failures():
    long = Failure(type="E", message="m" * 1900, traceback="", attempt=1, worker="w")

    assert (
        encode_inline(
            stored_results([], None, dict.fromkeys(range(5), long)),
            max_bytes=LIMITS.inline_bytes,
            max_rows=LIMITS.inline_rows,
        )
        is None
    )


def test_encode_inline_declines_a_sidecar():
    assert (
        encode_inline(
            stored_results([0], encode_batch(pd.Series(pd.Categorical(["a"], ["a", "b"])), 1), {}),
            max_bytes=LIMITS.inline_bytes,
            max_rows=LIMITS.inline_rows,
        )
        is None
    )


def test_encode_inline_takes_a_plain_batch():
    doc = encode_inline(
        stored_results([0, 1], encode_batch(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.0]}), 2), {}),
        max_bytes=LIMITS.inline_bytes,
        max_rows=LIMITS.inline_rows,
    )

    assert doc == {"rows": [0, 1], "values": [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.0}]}


@pytest.mark.parametrize(
    "doc", ({}, {"rows": [0]}, {"rows": ["x"], "values": [1]}, {"rows": [0, 1], "values": [1]}, [])
)
def test_decode_inline_refuses_other_documents(doc):
    with pytest.raises(FormatError):
        decode_inline(doc)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150)
@given(values=st.lists(JSON, max_size=4))
def test_encode_inline_loses_nothing_or_declines(values):
    encoded = table(*values)
    doc = encode_inline(
        stored_results(range(len(values)), encoded, {}), max_bytes=LIMITS.inline_bytes, max_rows=LIMITS.inline_rows
    )

    if doc is not None:
        got = decode_inline(json.loads(json.dumps(doc))).values
        assert got.schema.equals(encoded.schema, check_metadata=True)
        assert repr(decode_values(got)) == repr(decode_values(encoded))


# --- results of a lease -------------------------------------------------------------------------

KINDS = ("value", "unstorable", "first table", "second table", "failure")


def refused(row, message):
    return Failure(type="SchemaError", message=message, traceback="", attempt=1, worker="w")


@pytest.mark.parametrize("has_room", (True, False))
@given(kinds=st.dictionaries(st.integers(0, 60), st.sampled_from(KINDS), min_size=1, max_size=30))
def test_pack_stores_each_row_with_what_it_gave(has_room, kinds):
    def of(kind):
        return Rows.of(row for row, one in kinds.items() if one == kind)

    valued = of("value") | of("unstorable")
    results = Results(
        rows=valued,
        values=[object() if kinds[row] == "unstorable" else row * 10 for row in valued],
        tables=[(of(kind), table(*(row * 10 for row in of(kind)))) for kind in KINDS[2:4] if of(kind)],
        failures=dict.fromkeys(of("failure"), FAILURE),
    )

    inline_bytes = LIMITS.inline_bytes if has_room else 0
    output, bad = pack(results, refuse=refused, inline_bytes=inline_bytes, inline_rows=LIMITS.inline_rows)

    got = decode_outcomes(output) if isinstance(output, bytes) else decode_inline(json.loads(json.dumps(output)))
    values = dict(zip(got.rows.tolist(), decode_values(got.values), strict=True))
    assert Rows.of(bad) == of("unstorable")
    assert values == {row: row * 10 for row, kind in kinds.items() if kind not in {"unstorable", "failure"}}
    assert {row: one.type for row, one in got.failures.items()} == {
        row: "ValueError" if kind == "failure" else "SchemaError"
        for row, kind in kinds.items()
        if kind in {"unstorable", "failure"}
    }


def test_pack_of_nothing_to_store_gives_no_output():
    limits = {"inline_bytes": LIMITS.inline_bytes, "inline_rows": LIMITS.inline_rows}
    assert pack(Results(), refuse=refused, **limits) == (None, {})
