"""Where an Azure storage account is, and with what this machine may use it.

Nothing of it comes from the queue: the address is what the caller, this machine's configuration or its ``AZURE_*``
variables say, and credentials are found in those variables or by `azure.identity`. They are found anew in every process, so
they are part of no pickle, no repr and no address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from oqkit.errors import Denied, UsageError

#: Ends of the names of Azure's own hosts, to which a token or a shared access signature may be sent.
_AZURE_HOSTS = (
    ".blob.core.windows.net",
    ".blob.core.usgovcloudapi.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.storage.azure.net",
)
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_HOW = "az://container/prefix, or https://ACCOUNT.blob.core.windows.net/container/prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A container of an account, and what keys in it begin with; `account_url` has no slash at its end."""

    account_url: str
    container: str
    prefix: str = ""

    @property
    def url(self) -> str:
        """The one address of the place, however it was said."""
        return "/".join(filter(None, (self.account_url, self.container, quote(self.prefix)))).rstrip("/")

    @property
    def is_plain(self) -> bool:
        """Whether `url` says all, since the account is part of the host; else an ``endpoint_url`` has to tell where the account ends."""
        return _is_in_host(self.account_url)


def place_of(url: str, *, endpoint_url: str | None, environ: Mapping[str, str]) -> Place:
    """Return the place that a URL names: ``az://container/prefix`` in the configured account, or one with the account in it.

    Raise `UsageError` if it names none.
    """
    account_url, path = _split(url, endpoint_url=endpoint_url, environ=environ)
    container, _, prefix = path.strip("/").partition("/")
    if not _CONTAINER.fullmatch(container):
        raise UsageError(f"{url!r} names no container (3 to 63 of a-z, 0-9 and single hyphens): use {_HOW}")
    return Place(account_url=account_url, container=container, prefix=unquote(prefix).strip("/"))


def _split(url: str, *, endpoint_url: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the account's address and what is behind it."""
    configured = endpoint_url.rstrip("/") if endpoint_url else _Configured.of(environ).account_url
    if configured is not None and not configured.startswith(("https://", "http://")):
        raise UsageError(
            f"{configured!r} is no address of a storage account: use https://ACCOUNT.blob.core.windows.net"
        )
    parts = urlsplit(url)
    if parts.scheme == "az" and configured is None:
        raise UsageError(
            f"{url!r} does not say in which storage account: set AZURE_STORAGE_ACCOUNT or "
            "AZURE_STORAGE_CONNECTION_STRING, or write https://ACCOUNT.blob.core.windows.net/container/prefix"
        )
    if configured is not None and parts.scheme == "az":
        return configured, f"{parts.netloc}{parts.path}"
    if configured is not None and url.startswith(f"{configured}/"):
        return configured, parts.path.removeprefix(urlsplit(configured).path)
    if endpoint_url:
        raise UsageError(
            f"{url!r} is not at the endpoint_url {endpoint_url!r}: give az://container/prefix, or no endpoint_url"
        )
    if _is_in_host(url):
        return f"{parts.scheme}://{parts.netloc}", parts.path
    raise UsageError(f"{url!r} is not a queue: of Azure Blob Storage use {_HOW}; of S3 s3://bucket/prefix")


def _is_in_host(url: str) -> bool:
    return ".blob." in (urlsplit(url).hostname or "")


def find_credential(account_url: str, *, environ: Mapping[str, str]) -> object:
    """Return what the SDK opens the account with: its key, a shared access signature, or else an identity.

    A key only signs, while a signature and an identity's token are sent along: they go to Azure's own hosts, and to the one that
    the connection string names, and to no other. Raise `Denied` if there is nothing to use.
    """
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential  # an address is read without the SDK

    found = _Configured.of(environ)
    name = found.account if account_url == found.account_url and found.account else account_name(account_url)
    if found.key and found.account in {None, name}:
        return AzureNamedKeyCredential(name, found.key)
    is_azure = account_url.startswith("https://") and (urlsplit(account_url).hostname or "").endswith(_AZURE_HOSTS)
    if found.signature and (is_azure or account_url == found.account_url):
        return AzureSasCredential(found.signature)
    if not is_azure:
        raise Denied(
            f"no credentials for {account_url}, which is none of Azure's own hosts: set AZURE_STORAGE_ACCOUNT and "
            "AZURE_STORAGE_KEY, or name it as the BlobEndpoint of AZURE_STORAGE_CONNECTION_STRING"
        )
    try:
        from azure.identity import DefaultAzureCredential  # optional, and it takes a while to import
    except ImportError:
        raise Denied(
            f"no credentials for {account_url}: `pip install azure-identity` to use `az login` or the machine's identity, or set "
            "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
        ) from None
    return DefaultAzureCredential()


def account_name(account_url: str) -> str:
    """Return the name of the account: the first part of the host, or the path where all accounts have one host."""
    parts = urlsplit(account_url)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


# --- what the variables say ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configured:
    """What this machine's variables say of one account."""

    account: str | None
    account_url: str | None
    key: str | None = field(repr=False)
    signature: str | None = field(repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> _Configured:
        """Read the connection string, and where there is none the variables of the Azure CLI (and adlfs)."""
        text = environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if text:
            return cls._from_connection_string(text)
        account = environ.get("AZURE_STORAGE_ACCOUNT") or environ.get("AZURE_STORAGE_ACCOUNT_NAME") or None
        return cls(
            account=account,
            account_url=f"https://{account}.blob.core.windows.net" if account else None,
            key=environ.get("AZURE_STORAGE_KEY") or environ.get("AZURE_STORAGE_ACCOUNT_KEY") or None,
            signature=environ.get("AZURE_STORAGE_SAS_TOKEN") or None,
        )

    @classmethod
    def _from_connection_string(cls, text: str) -> _Configured:
        pairs = (part.partition("=") for part in text.split(";") if part.strip())
        said = {name.strip().lower(): value.strip() for name, _, value in pairs}
        account = said.get("accountname")
        url = said.get("blobendpoint")
        if not url and account:
            protocol = said.get("defaultendpointsprotocol", "https")
            url = f"{protocol}://{account}.blob.{said.get('endpointsuffix', 'core.windows.net')}"
        if not url:
            raise UsageError(
                "AZURE_STORAGE_CONNECTION_STRING names no account: it needs AccountName=… or BlobEndpoint=…"
            )
        return cls(
            account=account,
            account_url=url.rstrip("/"),
            key=said.get("accountkey"),
            signature=said.get("sharedaccesssignature"),
        )
