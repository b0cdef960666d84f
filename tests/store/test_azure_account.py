"""How a store on Azure finds its account and its credentials, and to whom it shows them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

pytest.importorskip("azure.storage.blob", reason="pip install 'oqkit[azure]'")

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from oqkit.errors import Denied, UsageError
from oqkit.store.azure_account import find_credential, place_of

ACCOUNT = "https://lab.blob.core.windows.net"
KEY, SIGNATURE = "c2VjcmV0", "sv=2026&sig=c2lnbmF0dXJl"
STRING = "AZURE_STORAGE_CONNECTION_STRING"
EMULATOR = "http://127.0.0.1:10000/devstoreaccount1"


def url_of(url, *, endpoint_url=None, **environ):
    return place_of(url, endpoint_url=endpoint_url, environ=environ).url


@pytest.mark.parametrize(
    ("environ", "account_url"),
    (
        ({"AZURE_STORAGE_ACCOUNT": "lab"}, ACCOUNT),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "lab"}, ACCOUNT),
        ({STRING: f"DefaultEndpointsProtocol=https;AccountName=lab;AccountKey={KEY};"}, ACCOUNT),
        ({STRING: "AccountName=lab;EndpointSuffix=core.chinacloudapi.cn"}, "https://lab.blob.core.chinacloudapi.cn"),
        ({STRING: f"AccountName=devstoreaccount1;BlobEndpoint={EMULATOR}/"}, EMULATOR),
        ({STRING: "AccountName=other", "endpoint_url": f"{ACCOUNT}/"}, ACCOUNT),
    ),
)
def test_container_is_in_the_account_that_is_configured(environ, account_url):
    assert url_of("az://jobs/team/a", **environ) == f"{account_url}/jobs/team/a"
    assert url_of("az://jobs", **environ) == f"{account_url}/jobs"


def test_address_of_a_place_names_the_same_place():
    for url in ("az://jobs/team/a", "az://jobs/with%20space/ü", "az://jobs"):
        for environ in ({"AZURE_STORAGE_ACCOUNT": "lab"}, {STRING: f"BlobEndpoint={EMULATOR}"}):
            place = place_of(url, endpoint_url=None, environ=environ)
            assert place_of(place.url, endpoint_url=None, environ=environ) == place


def test_address_with_the_account_in_it_needs_no_configuration():
    assert url_of(f"{ACCOUNT}/jobs/team/") == f"{ACCOUNT}/jobs/team"
    assert url_of(f"{ACCOUNT}/jobs/team", AZURE_STORAGE_ACCOUNT="another") == f"{ACCOUNT}/jobs/team"


@pytest.mark.parametrize(
    ("url", "environ", "text"),
    (
        ("az://jobs/q", {}, "does not say in which storage account: set AZURE_STORAGE_ACCOUNT"),
        ("az://jobs/q", {STRING: "AccountKey=x"}, "AZURE_STORAGE_CONNECTION_STRING names no account"),
        ("az://jobs/q", {"endpoint_url": "lab.blob.core.windows.net"}, "is no address of a storage account"),
        ("az://Jobs/q", {"AZURE_STORAGE_ACCOUNT": "lab"}, "names no container"),
        ("az:///q", {"AZURE_STORAGE_ACCOUNT": "lab"}, "names no container"),
        (ACCOUNT, {}, "names no container"),
        ("https://bucket.s3.amazonaws.com/q", {}, "is not a queue: of Azure Blob Storage use az://"),
        (f"{ACCOUNT}/jobs/q", {"endpoint_url": "https://other.example.com"}, "is not at the endpoint_url"),
    ),
)
def test_url_that_names_no_container_is_a_usage_error(url, environ, text):
    with pytest.raises(UsageError, match=text):
        url_of(url, **environ)


# --- credentials ---------------------------------------------------------------------------------


@pytest.fixture
def identity(monkeypatch):
    """An identity in place of the machine's."""

    class DefaultAzureCredential:
        pass

    module = ModuleType("azure.identity")
    module.DefaultAzureCredential = DefaultAzureCredential
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    return DefaultAzureCredential


def test_key_signs_for_its_own_account_wherever_that_is(identity):
    for environ in (
        {"AZURE_STORAGE_ACCOUNT": "lab", "AZURE_STORAGE_KEY": KEY},
        {STRING: f"AccountName=lab;AccountKey={KEY}"},
    ):
        for url in (ACCOUNT, "http://127.0.0.1:1/lab"):
            found = find_credential(url, environ=environ)
            assert isinstance(found, AzureNamedKeyCredential)
            assert tuple(found.named_key) == ("lab", KEY)
        assert isinstance(find_credential("https://other.blob.core.windows.net", environ=environ), identity)


def test_key_of_a_connection_string_is_for_the_account_that_it_names_at_its_own_endpoint():
    environ = {STRING: f"AccountName=lab;AccountKey={KEY};BlobEndpoint=https://blobs.example.com"}
    assert find_credential("https://blobs.example.com", environ=environ).named_key.name == "lab"


def test_signature_and_identity_go_to_azure_alone(identity):
    assert isinstance(find_credential(ACCOUNT, environ={"AZURE_STORAGE_SAS_TOKEN": SIGNATURE}), AzureSasCredential)
    assert isinstance(find_credential(ACCOUNT, environ={}), identity)
    for url in (
        "https://evil.example.com",
        "https://lab.blob.core.windows.net.example.com",
        "https://evilblob.core.windows.net",
        "http://lab.blob.core.windows.net",
        "http://127.0.0.1:1/lab",
    ):
        for environ in (
            {},
            {"AZURE_STORAGE_SAS_TOKEN": SIGNATURE},
            {STRING: f"AccountName=lab;SharedAccessSignature={SIGNATURE}"},
        ):
            with pytest.raises(Denied, match="none of Azure's own hosts"):
                find_credential(url, environ=environ)


def test_signature_goes_where_the_connection_string_says():
    environ = {STRING: f"BlobEndpoint={EMULATOR}/;SharedAccessSignature={SIGNATURE}"}
    assert find_credential(EMULATOR, environ=environ).signature == SIGNATURE


def test_without_credentials_it_says_what_to_install_and_to_set(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(Denied, match=r"pip install azure-identity.*AZURE_STORAGE_KEY"):
        find_credential(ACCOUNT, environ={})
