from __future__ import annotations

import pytest
from hypothesis import settings

from tests.queue.faulty import World

settings.register_profile("oqkit", deadline=None)  # a busy machine is no failure
settings.load_profile("oqkit")


@pytest.fixture
def world():
    return World()
