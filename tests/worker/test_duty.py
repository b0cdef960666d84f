"""What becomes of a worker whose duty meets what it does not understand."""

from __future__ import annotations

import logging

import pytest

from oqkit.errors import FormatError, Unavailable
from oqkit.limits import WorkerLimits
from oqkit.worker.duty import Duties
from oqkit.worker.thread import SystemThreads
from tests.local import WAIT_S


class Failing:
    """A duty that is always due, and raises."""

    name = "failing"

    def __init__(self, error):
        self.error, self.n_tries = error, 0

    def wait_s(self):
        return 0.0

    def perform(self):
        self.n_tries += 1
        raise self.error

    leave = perform


@pytest.mark.parametrize("error", (Unavailable("away"), FormatError("limits/x.json does not parse"), KeyError("x")))
def test_duty_that_fails_waits_and_ends_no_worker(error, caplog):
    duty, now = Failing(error), [0.0]
    duties = Duties([duty], start=SystemThreads().start, monotonic=lambda: now[0], limits=WorkerLimits())
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            duties.begin_due()
            for thread in duties.threads:
                thread.join(WAIT_S)
        assert duty.n_tries == 1, "and not again at once"
        now[0] = WorkerLimits().duty_longest_wait_s
        duties.begin_due()
        for thread in duties.threads:
            thread.join(WAIT_S)
        duties.leave()
    assert (duty.n_tries, len(caplog.records)) == (3, 1)
