from __future__ import annotations

import pytest

from tests.queue.faulty import World


@pytest.fixture
def world():
    return World()
