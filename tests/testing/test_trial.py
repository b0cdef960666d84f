from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import UsageError, WaitTimeout
from oqkit.testing import try_out

pytestmark = pytest.mark.timeout(60)

N_ROWS = 40
FRAME = pd.DataFrame({"x": range(N_ROWS)}, index=range(100, 100 + N_ROWS))
LEASE_S = 0.5
GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"


class Effects:
    """What calls did to the world outside."""

    def __init__(self):
        self.calls = Counter()
        self._lock = threading.Lock()

    def note(self, x):
        with self._lock:
            self.calls[x] += 1


def test_trial_repeats_calls_whose_worker_died_and_records_each_outcome_once():
    effects = Effects()

    def act(x):
        effects.note(x)
        return 2 * x

    trial = try_out(act, FRAME, n_kills=3, lease_s=LEASE_S)
    assert list(trial.result["act"]) == [2 * x for x in range(N_ROWS)]
    assert list(trial.result.index) == list(FRAME.index)
    assert trial.n_kills == 3
    assert len(trial.errors) == 0
    assert set(effects.calls) == set(range(N_ROWS))
    assert max(effects.calls.values()) > 1, "a function that is not idempotent is found out"
    assert trial.n_calls == effects.calls.total()
    assert trial.n_called_again == effects.calls.total() - N_ROWS >= 3


def test_trial_without_trouble_calls_each_row_once():
    effects = Effects()
    trial = try_out(effects.note, FRAME, n_kills=0, lost_replies=0, lease_s=30)
    assert effects.calls == Counter(range(N_ROWS))
    assert (trial.n_kills, trial.n_lost_replies, trial.n_called_again) == (0, 0, 0)


def test_trial_loses_replies():
    trial = try_out(lambda x: x, FRAME, n_kills=0, lost_replies=0.5, lease_s=LEASE_S)
    assert trial.n_lost_replies > 3
    assert list(trial.result.iloc[:, 0]) == list(range(N_ROWS))


def test_trial_of_a_batch_function():
    @oq.task(batch=True)
    def both(frame):
        return frame.assign(y=2 * frame["x"])

    trial = try_out(both, FRAME, n_kills=2, lease_s=LEASE_S)
    assert list(trial.result["y"]) == [2 * x for x in range(N_ROWS)]
    assert trial.n_kills == 2
    assert trial.n_called_again >= 2


def test_trial_of_a_coroutine_function():
    async def act(x):
        return 2 * x

    trial = try_out(act, FRAME, n_kills=2, lease_s=LEASE_S)
    assert list(trial.result["act"]) == [2 * x for x in range(N_ROWS)]
    assert trial.n_kills == 2


def test_trial_shows_what_failed():
    def picky(x):
        if x == 7:
            raise oq.PermanentError("not seven")
        return x

    trial = try_out(picky, FRAME, n_kills=1, lease_s=LEASE_S)
    assert list(trial.errors["message"]) == ["not seven"]
    assert trial.result["picky"].isna().sum() == 1


def test_trial_ends_when_it_takes_too_long():
    gate = threading.Event()
    with pytest.raises(WaitTimeout):
        try_out(lambda x: gate.wait(20), FRAME, n_kills=0, timeout_s=0.2)
    gate.set()


def test_trial_refuses_more_kills_than_calls():
    with pytest.raises(UsageError, match="more than there are calls"):
        try_out(lambda x: x, FRAME, n_kills=N_ROWS + 1)


@pytest.mark.server
@pytest.mark.slow
def test_guide_shows_code_that_runs():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    assert len(tests) == 2
    for block in tests:
        names = {}
        exec(compile(block, str(GUIDE), "exec"), names)
        next(value for name, value in names.items() if name.startswith("test_"))()
