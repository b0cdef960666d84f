"""A queue in memory whose jobs are written by hand."""

from __future__ import annotations

import pytest

from tests.notebook.world import World


@pytest.fixture
def world():
    return World()
