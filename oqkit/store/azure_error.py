"""What an error of the Azure SDK means for the caller.

No text of the SDK's own goes into it but the server's message: the others show URLs, and a shared access signature is part of those.
"""

from __future__ import annotations

from azure.core import exceptions as sdk

from oqkit.errors import Conflict, Denied, Missing, OqError, StoreError, Unavailable, Unsupported

_NO_ANSWER = (sdk.ServiceRequestError, sdk.ServiceResponseError, sdk.IncompleteReadError, sdk.DecodeError)
_LASTING = {"BlobArchived", "BlobBeingRehydrated", "InvalidBlobType", "SnapshotsPresent"}
_AGAIN = {408, 409, 429}


class Unchanged(StoreError):
    """304: the object still has the etag."""


class BeyondEnd(StoreError):
    """416: the range begins behind the end."""


def meaning(error: sdk.AzureError, *, url: str, key: str) -> OqError:
    """Say what an error means for the caller who asked about `key`."""
    if isinstance(error, sdk.HttpResponseError) and error.response is not None and not isinstance(error, _NO_ANSWER):
        return _refusal(error.response.status_code, _code(error), _message(error), url=url, key=key)
    if isinstance(error, sdk.ClientAuthenticationError):
        return Denied(
            f"no usable credentials for {url}: sign in with `az login`, or set AZURE_STORAGE_CONNECTION_STRING, "
            f"AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN ({_message(error)})"
        )
    return Unavailable(f"{url} gave no whole answer about {key!r}: {_root_cause(error)}")


def _refusal(status: int, code: str, message: str, *, url: str, key: str) -> OqError:
    """Say what the status and code of a reply mean. Azure answers 409 to a create that lost, and 412 to a replace that lost."""
    if code == "BlobAlreadyExists" or (status == 412 and not code.startswith("Lease")):
        return Conflict(key)
    if status == 404 and code != "ContainerNotFound":
        return Missing(key)
    kind, hint = _kind(status, code, message)
    return kind(f"{url} answered {status} {code} about {key!r}: {message}{hint}")


def _kind(status: int, code: str, message: str) -> tuple[type[StoreError], str]:  # noqa: PLR0911 - one line for each answer
    if status == 304:
        return Unchanged, ""
    if status == 416:
        return BeyondEnd, ""
    if code == "ContainerNotFound":
        return Unsupported, " Create the container first"
    if status in {401, 403, 412} or code == "BlobImmutableDueToPolicy":
        return Denied, " (the documentation says under Azure Blob Storage which rights it takes)"
    if code in _LASTING:
        return StoreError, ""
    if status in _AGAIN or (status >= 500 and status != 501):
        return Unavailable, ""
    if status == 501 or (code == "InvalidHeaderValue" and "version" in message):
        return Unsupported, " (oqkit asks for a version of the protocol in which listings can begin at a name)"
    return StoreError, ""


def _code(error: sdk.HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _message(error: sdk.AzureError) -> str:
    return str(error.message).partition("\n")[0]


def _root_cause(error: BaseException) -> str:
    """Return what was wrong in the end, such as a time-out: the exceptions above it show the URL."""
    below = error
    while (cause := getattr(below, "inner_exception", None) or below.__cause__ or below.__context__) is not None:
        below = cause
    return f"{type(below).__name__}: {below}" if isinstance(below, OSError) else type(below).__name__
