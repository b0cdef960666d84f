"""Every change that a fingerprint must see, and every one that it must not: taken in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.task.matrix import NEEDLESS, NOT_SHIPPED, UNKNOWN, pairs

ROOT = Path(__file__).parents[2]


def run(*sides, shipped, seed):
    """Return the fingerprints that a process of its own takes, which hashes text in another way."""
    command = [sys.executable, str(ROOT / "tests/task/matrix.py"), str(shipped), *sides]
    env = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)


@pytest.fixture(scope="module")
def prints(tmp_path_factory):
    shipped = tmp_path_factory.mktemp("shipped") / "shipped.json"
    return run("before", seed="1", shipped=shipped), run("before", "after", seed="2", shipped=shipped)


CASES = list(pairs())
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("matrix")]


def test_every_case_of_the_matrix_is_known_and_the_same_in_another_process(prints):
    one, other = prints
    assert len({what for what, *_ in CASES}) == len(CASES) >= 150
    assert [what for what, *_ in CASES if None in {one[f"before {what}"], other[f"after {what}"]}] == []
    assert [what for what, *_ in CASES if one[f"before {what}"] != other[f"before {what}"]] == []


def test_fingerprint_sees_every_change_that_matters_and_no_other(prints):
    one, other = prints
    changed = {what: one[f"before {what}"] != other[f"after {what}"] for what, *_ in CASES}
    assert [what for what, must_change, *_ in CASES if must_change and not changed[what]] == [], "stale"
    assert [what for what, must_change, *_ in CASES if not must_change and changed[what]] == [], "needless"
    assert len(NEEDLESS) <= 5


def test_what_cannot_be_told_is_unknown(prints):
    assert [what for what, _ in UNKNOWN if prints[0][f"unknown {what}"] is not None] == []


def test_function_that_was_shipped_has_the_fingerprint_that_it_had(prints):
    one, other = prints
    loaded = {what.removeprefix("shipped "): it for what, it in other.items() if what.startswith("shipped ")}
    assert len(loaded) > 200
    assert [what for what, it in loaded.items() if it != one[what]] == [f"before {what}" for what in NOT_SHIPPED]
