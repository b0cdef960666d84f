"""The contract of a store on Azure Blob Storage, which is Azurite here, and what Azure says otherwise than S3."""

from __future__ import annotations

import itertools
import pickle

import pytest

from oqkit.client.scheme import open_store
from oqkit.config import Settings
from oqkit.testing.contract import StoreContract

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("azure")]

_numbers = itertools.count()


def new_store(server, *, endpoint_url=None):
    """An empty store: a prefix of its own."""
    server.create_container("plain")
    return open_store(Settings(url=f"az://plain/{next(_numbers)}/with space", endpoint_url=endpoint_url))


@pytest.fixture
def store(azurite_server):
    return new_store(azurite_server)


class TestAzureStoreOnAzurite(StoreContract):
    keeps_versions = False
    n_race_keys = 5
    n_increments = 8

    @pytest.fixture
    def store(self, azurite_server):
        return new_store(azurite_server)

    @pytest.fixture
    def another_client(self, store):
        return pickle.loads(pickle.dumps(store))
