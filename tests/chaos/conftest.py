from __future__ import annotations

import itertools

import pytest

from oqkit.testing.proxy import FaultProxy
from tests.chaos.fleet import directory_place, s3_place

_numbers = itertools.count()


@pytest.fixture
def s3(seaweed, aws):
    """A queue of its own on the real server."""
    return s3_place(seaweed, f"queue-{next(_numbers)}")


@pytest.fixture
def proxied(seaweed, aws):
    """The same behind a proxy that can spoil requests: (place, proxy)."""
    with FaultProxy(seaweed.endpoint_url, seed=1) as proxy:
        yield s3_place(seaweed, f"queue-{next(_numbers)}", endpoint_url=proxy.url), proxy


@pytest.fixture(params=("seaweedfs", "directory"))
def anywhere(request, tmp_path):
    """A queue on the real server, then one in a directory."""
    if request.param == "directory":
        return directory_place(tmp_path / "queue")
    return request.getfixturevalue("s3")
