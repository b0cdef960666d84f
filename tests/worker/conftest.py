"""An executor in a child process."""

from __future__ import annotations

import pytest

from oqkit.limits import Limits
from oqkit.worker.process import ProcessExecutor


@pytest.fixture(scope="module")
def executor():
    executor = ProcessExecutor(Limits())
    yield executor
    executor.close()
