"""Every change that a fingerprint must see, and every one that it must not: taken in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.task.matrix import UNKNOWN, pairs

ROOT = Path(__file__).parents[2]


def run(*sides, seed):
    """Return the fingerprints that a process of its own takes, which hashes text in another way."""
    command = [sys.executable, str(ROOT / "tests/task/matrix.py"), *sides]
    env = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)


@pytest.mark.slow
def test_fingerprint_sees_every_change_that_matters_and_no_other():
    one, other = run("before", seed="1"), run("before", "after", seed="2")
    cases = list(pairs())
    assert len({what for what, *_ in cases}) == len(cases) >= 150
    unknown = [what for what, *_ in cases if None in {one[f"before {what}"], other[f"after {what}"]}]
    unstable = [what for what, *_ in cases if one[f"before {what}"] != other[f"before {what}"]]
    wrong = [
        what for what, must_change, *_ in cases if must_change != (one[f"before {what}"] != other[f"after {what}"])
    ]
    assert (unknown, unstable, wrong) == ([], [], [])
    assert [what for what, _ in UNKNOWN if one[f"unknown {what}"] is not None] == []
