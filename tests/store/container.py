"""Containers on the Azurite of the tests."""

from __future__ import annotations

import os

from oqkit.clock import new_id, system_random
from oqkit.store.azure import AzureStore
from oqkit.store.azure_account import place_of

CONTAINER = "plain"


def new_store(server, *, endpoint_url=None, **options):
    """An empty store: a prefix of its own. `endpoint_url` is that of a proxy, without the account."""
    server.create_container(CONTAINER)
    account_url = f"{endpoint_url}/{server.account}" if endpoint_url else None
    url = f"az://{CONTAINER}/{new_id(system_random())}/with space"
    return AzureStore(place_of(url, endpoint_url=account_url, environ=os.environ), **options)
