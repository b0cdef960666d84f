"""A part of the poison matrix, with real worker processes and real deaths; `make poison` runs all of it."""

from __future__ import annotations

import pytest

from tests.poison.case import Case, play

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CASES = (
    Case(death="segfault", executor="thread", concurrency=4, retries=1),
    Case(death="memory", executor="process", concurrency=4, n_poison=3, retries=0),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_that_kill_their_worker_fail_alone_and_nobody_else_pays(case, tmp_path):
    play(case, tmp_path).check()
