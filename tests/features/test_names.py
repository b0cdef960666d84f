"""The contract in docs/reference/names.md: every name of it is there, or *not yet* in docs/reference/features.md."""

from __future__ import annotations

import re

import pytest

import oqkit
from tests.features.page import NAMES, ROOT, missing_of_call, parts_of, quoted, rows

PROMISED = [one for call in quoted(NAMES) if re.match(r"@?(oq|q|job|task|ctx|w)\.", call) for one in parts_of(call)]
LATER = {one for row in rows() for call in row.later_calls for one in parts_of(call)}
VARIABLES = [name for name in quoted(NAMES) if re.fullmatch("OQ_[A-Z_]+", name)]


def test_contract_has_its_names():
    assert len(PROMISED) > 140
    assert len(VARIABLES) == 5


@pytest.mark.parametrize("name", [name for name in PROMISED if name not in LATER])
def test_promised_name_is_there(name):
    assert missing_of_call(name) == []


def test_every_verb_of_the_queue_is_a_function_on_the_default_queue():
    verbs = {
        name.partition("(")[0].removeprefix("q.") for name in PROMISED if name.startswith("q.") and name not in LATER
    }
    assert [verb for verb in sorted(verbs) if not hasattr(oqkit, verb)] == ["storage"]  # which is no verb


@pytest.mark.parametrize("name", VARIABLES)
def test_promised_variable_is_read(name):
    assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in (ROOT / "oqkit").rglob("*.py"))


def test_errors_stand_below_their_kinds():
    section = NAMES.partition("## Errors")[2].partition("## ")[0]
    for line in section.splitlines():
        kind, _, below = line.partition(":")
        for name in quoted(below) if line.startswith("* ") else []:
            assert issubclass(_error(name), _error(*quoted(kind))), name
    assert [name for name in quoted(section) if not issubclass(_error(name), oqkit.OqError)] == []


def _error(name):
    return getattr(oqkit, name.removeprefix("oq."))
