from __future__ import annotations

import itertools
from collections import Counter

import pytest

from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from oqkit.store.s3 import S3Store
from oqkit.testing.proxy import FaultProxy
from tests.chaos.fleet import s3_place
from tests.local import until

_numbers = itertools.count()


class MemorySite:
    """A queue in memory, at the pace that a bucket gets."""

    def __init__(self):
        self._name = f"budget-{next(_numbers)}"

    def queue(self):
        """Return a client of its own."""
        store = MemoryStore.named(self._name)
        store.poll_s, store.ring_s = S3Store.poll_s, S3Store.ring_s
        return Queue(open_repository(store), Settings(url=store.url))

    def measure(self, queue, act):
        """Return how many requests of each kind `queue` sends while `act` runs."""
        before = queue.repository.store.requests.snapshot()
        act()
        return queue.repository.store.requests.snapshot() - before


class S3Site:
    """A queue on the real server. The proxy before it counts too, and both counts must agree."""

    def __init__(self, seaweed, proxy):
        self._proxy = proxy
        self._place = s3_place(seaweed, f"budget-{next(_numbers)}", endpoint_url=proxy.url)

    def queue(self):
        return self._place.queue()

    def measure(self, queue, act):
        before, n_before = queue.repository.store.requests.snapshot(), len(self._proxy.log)
        act()

        def agreed():
            counted = queue.repository.store.requests.snapshot() - before
            seen = Counter(exchange.method.lower() for exchange in self._proxy.log[n_before:])
            seen += Counter(delete=seen.pop("post", 0))  # many at once
            return counted if counted == seen else None

        return until(agreed, what="the store counts what goes over the wire")  # a last one may be on its way still


@pytest.fixture(params=("memory", pytest.param("seaweedfs", marks=(pytest.mark.server, pytest.mark.slow))))
def site(request):
    if request.param == "memory":
        yield MemorySite()
        return
    request.getfixturevalue("aws")
    server = request.getfixturevalue("seaweed")
    with FaultProxy(server.endpoint_url) as proxy:
        yield S3Site(server, proxy)


@pytest.fixture
def show(capsys, request):
    """Print a measured figure also when the test passes."""

    def show(text):
        with capsys.disabled():
            print(f"\n[{request.node.name}] {text}")

    return show
