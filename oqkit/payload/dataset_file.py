"""Files of a dataset where they lie: read by `fsspec`, told from newer versions of themselves, and errors that name the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from oqkit.errors import Denied, FormatError, Missing, OqError, Unavailable
from oqkit.payload.access import Access
from oqkit.payload.dataset import Dataset
from oqkit.store.base import Blob

_DENIED: Final = {401, 403}
_NO_CREDENTIALS: Final = {  # of botocore, the Azure SDK and google-auth, none of which need be installed
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
    *("UnauthorizedSSOTokenError", "ProfileNotFound", "ClientAuthenticationError", "DefaultCredentialsError"),
}
_MAX_CAUSES: Final = 8


class DatasetFiles:
    """The two verbs of a store that reading needs, on an `fsspec` file system; a file that changed is refused."""

    def __init__(self, dataset: Dataset, access: Access) -> None:
        self._system, self._allowed = access.open(
            dataset.protocol, dataset.options, [file.to_json() for file in dataset.files]
        )
        self._tags = {file.path: file.tag for file in dataset.files}
        self._seen: dict[str, str] = {}
        """Where the files lie whose turn it was already."""

    def read(self, key: str) -> Blob:
        return Blob(key=key, data=self._fetch(key, None, None), etag=self._tags[key])

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        return self._fetch(key, start, start + length if start >= 0 else None)

    def _check(self, key: str) -> None:
        path = self._allowed(key)
        if tag_of(self._system.info(path)) != self._tags[key]:
            raise FormatError(f"{key} is not the file that was submitted: it has been written anew since")
        self._seen[key] = path

    def _fetch(self, key: str, start: int | None, stop: int | None) -> bytes:
        with errors_of(key):
            if key not in self._seen:
                self._check(key)
            return bytes(self._system.cat_file(self._seen[key], start=start, end=stop))


def tag_of(info: Mapping[str, Any]) -> str:
    """Return what tells one version of a file from another: its etag where it has one, else size and time."""
    tag = info.get("ETag") or info.get("etag")
    return str(tag) if tag else f"{info['size']}-{info.get('mtime', '')}"


@contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Turn what a file system raises for a file into `Missing`, `Denied` or `Unavailable`, which name the file."""
    try:
        yield
    except OqError:
        raise
    except Exception as error:  # each file system has its own
        raise _translated(path, error) from error


def _translated(key: str, error: Exception) -> OqError:
    """Return what an error of a file system means: the file is gone, denied, or cannot be reached now."""
    if isinstance(error, FileNotFoundError):
        return Missing(key)
    text = f"{key} cannot be read: {type(error).__name__}: {error}"
    return Denied(text) if any(map(_is_denial, _chain(error))) else Unavailable(text)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_denial(error: BaseException) -> bool:
    """Whether the other side, or the lack of credentials here, forbids it; by type and status, never by text."""
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return True
    # Static, since some libraries make an old name of it a property that warns.
    values = (inspect.getattr_static(error, name, None) for name in ("status", "status_code", "code"))
    return any(isinstance(value, int) and value in _DENIED for value in values)
