"""What answers of Azure mean that Azurite does not give: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("azure.core", reason="pip install 'oqkit[azure]'")

from azure.core import exceptions as sdk

from oqkit.errors import Conflict, Denied, Missing, StoreError, Unavailable, Unsupported
from oqkit.store.azure_error import meaning


def refusal(status, code, message="why"):
    error = sdk.HttpResponseError(message=f"{message}\nRequestId:1")
    error.response, error.error_code = SimpleNamespace(status_code=status), code
    return meaning(error, url="az://jobs/q", key="a")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    (
        (409, "BlobAlreadyExists", Conflict),
        (412, "ConditionNotMet", Conflict),
        (412, None, Conflict),
        (412, "LeaseIdMissing", Denied),
        (404, "BlobNotFound", Missing),
        (404, "ContainerNotFound", Unsupported),
        (409, "ContainerBeingDeleted", Unavailable),
        (409, "BlobImmutableDueToPolicy", Denied),
        (409, "BlobArchived", StoreError),
        (409, "InvalidBlobType", StoreError),
        (403, "AuthorizationPermissionMismatch", Denied),
        (403, "AuthenticationFailed", Denied),
        (403, "AccountIsDisabled", Denied),
        (401, "InvalidAuthenticationInfo", Denied),
        (500, "OperationTimedOut", Unavailable),
        (503, "ServerBusy", Unavailable),
        (501, "NotImplemented", Unsupported),
        (400, "OutOfRangeInput", StoreError),
    ),
)
def test_refusal_means(status, code, kind):
    found = refusal(status, code)
    assert type(found) is kind
    if kind not in {Conflict, Missing}:
        assert f"az://jobs/q answered {status} {code} about 'a': why" in str(found)


@pytest.mark.parametrize(
    "message",
    (
        "The provided service version is not enabled on this storage account.",
        "The API version 2026-02-06 is not supported by Azurite.",
    ),
)
def test_server_that_does_not_know_the_version_is_unsupported(message):
    found = refusal(400, "InvalidHeaderValue", message)
    assert type(found) is Unsupported
    assert "a version of the protocol in which listings can begin at a name" in str(found)


@pytest.mark.parametrize("kind", (sdk.ServiceRequestError, sdk.ServiceResponseTimeoutError, sdk.IncompleteReadError))
def test_no_answer_is_unavailable_and_shows_no_url(kind):
    error = kind("GET https://lab.blob.core.windows.net/jobs?sig=secret", error=TimeoutError("timed out"))
    found = meaning(error, url="az://jobs/q", key="a")
    assert type(found) is Unavailable
    assert str(found) == "az://jobs/q gave no whole answer about 'a': TimeoutError: timed out"


def test_missing_identity_is_denied_and_says_what_to_do():
    found = meaning(sdk.ClientAuthenticationError("no identity\nof any kind"), url="az://jobs/q", key="a")
    assert type(found) is Denied
    assert "sign in with `az login`" in str(found)
    assert str(found).endswith("(no identity)")
