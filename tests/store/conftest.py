"""A store in a directory, but for tests that bring their own."""

from __future__ import annotations

import pytest

from oqkit.store.directory import DirectoryStore


@pytest.fixture
def root(tmp_path):
    return tmp_path / "queue"


@pytest.fixture
def store(root):
    return DirectoryStore(root)
