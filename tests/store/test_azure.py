"""The contract of a store on Azure Blob Storage, which is Azurite here, and whether it can hold a queue."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import pytest

from oqkit.clock import system_random
from oqkit.store.probe import probe
from oqkit.testing.contract import StoreContract
from oqkit.testing.proxy import FaultProxy

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("azure")]


@pytest.fixture
def new_store():
    pytest.importorskip("azure.storage.blob", reason="pip install 'oqkit[azure]'")
    from tests.store.container import new_store

    return new_store


@pytest.fixture
def store(azurite_server, new_store):
    return new_store(azurite_server)


class TestAzureStoreOnAzurite(StoreContract):
    keeps_versions = False
    n_race_keys = 5
    n_increments = 8

    @pytest.fixture
    def store(self, azurite_server, new_store):
        return new_store(azurite_server)

    @pytest.fixture
    def another_client(self, store):
        return pickle.loads(pickle.dumps(store))


def test_probe_accepts_a_server_that_honours_conditions(store):
    probe(store, rng=system_random())
    assert store.list("").entries == ()


# --- what Azurite has not, by a proxy that changes its answers -----------------------------------


class Changed(FaultProxy):
    """Tells what `tell` makes of a request and the body of its reply."""

    def __init__(self, server, tell):
        super().__init__(server.endpoint_url)
        self._tell = tell

    def answer(self, request, reply):
        body = self._tell(request, reply.body)
        headers = (
            *(one for one in reply.headers if one[0].lower() != "content-length"),
            ("Content-Length", str(len(body))),
        )
        return replace(reply, body=body, headers=headers)


VERSIONS = (("2026-01-01T00:00:00.0000001Z", b"old"), ("2026-01-02T00:00:00.0000001Z", b"new"))


def test_versions_are_those_of_azure_newest_first(azurite_server, new_store):
    def versioned(request, body):
        for version, data in VERSIONS:
            if f"versionid={version.replace(':', '%3A')}" in request.target:
                return data
        if b"<EnumerationResults" not in body or "versions" not in request.target:
            return body
        blob = re.search(rb"<Blob><Name>([^<]*)</Name>(.*?)</Blob>", body, re.DOTALL)
        both = [
            b"<Blob><Name>%s</Name><VersionId>%s</VersionId>%s</Blob>" % (blob[1], v.encode(), blob[2])
            for v, _ in VERSIONS
        ]
        return body.replace(blob[0], b"".join(both), 1)

    with Changed(azurite_server, versioned) as proxy:
        store = new_store(azurite_server, endpoint_url=proxy.url)
        store.create("a", b"now")
        store.create("ab", b"another")
        assert [(one.id, one.data) for one in store.versions("a")] == list(reversed(VERSIONS))
