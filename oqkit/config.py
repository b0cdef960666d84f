"""Where the queue is: arguments, then the environment, then ``oq.toml``, then a directory in your home."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, SupportsIndex
from urllib.parse import urlsplit

from oqkit.errors import NotAllowed, UsageError

FILES = (Path("oq.toml"), Path("~/.oqkit/oq.toml"))
_OWN = FILES[-1]
"""The only file that may widen what is allowed: one in a folder may have come with somebody else's files."""
DEFAULT_FOLDER = Path("~/.oqkit/queue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach a queue; None leaves it to the next source, and in the end to boto3."""

    url: str | None = None
    endpoint_url: str | None = None
    region: str | None = None
    aws_profile: str | None = None
    addressing_style: str | None = None
    trust_code: bool | None = None
    observers: str | None = None
    """Observers of installed packages, by name, with commas between them: see `oqkit.observe.entry_point`."""
    data_roots: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    """What jobs may read beside the queue's own bucket: URL of a folder or bucket → how `fsspec` opens it here."""
    signing_key: str | None = field(default=None, repr=False)
    signing_key_file: str | None = None
    """Keys to sign jobs with, or a file that has them: see `oqkit.client.signing`."""
    signing_scope: str | None = None
    """What stands for the queue in signatures, the same for all who reach it by different URLs; None: the URL and the endpoint."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        """Refuse to be pickled with secrets, as part of a function that is stored in the queue for every reader of it."""
        if self.signing_key or self.data_roots:
            raise TypeError("settings that hold a signing key or the options of data roots stay in their process")
        return object.__reduce_ex__(self, protocol)

    def over(self, other: Settings) -> Settings:
        """Return these settings, with those of `other` where these say nothing."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **given)


_VARIABLES = {
    "url": "OQ_URL",
    "endpoint_url": "OQ_ENDPOINT_URL",
    "region": "OQ_REGION",
    "aws_profile": "OQ_AWS_PROFILE",
    "addressing_style": "OQ_ADDRESSING_STYLE",
    "trust_code": "OQ_TRUST_CODE",
    "observers": "OQ_OBSERVERS",
    "data_roots": "OQ_DATA_ROOTS",
    "signing_key": "OQ_SIGNING_KEY",
    "signing_key_file": "OQ_SIGNING_KEY_FILE",
    "signing_scope": "OQ_SIGNING_SCOPE",
}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def settings(given: Settings, *, profile: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Combine all sources; `profile` (or ``OQ_PROFILE``) names a ``[profiles.NAME]`` table of ``oq.toml``."""
    environ = os.environ if environ is None else environ
    if given.url is not None and not given.url.strip():
        raise UsageError("url is empty: give s3://bucket/prefix, a directory or memory://name, or leave it out")
    file = _from_files(profile or environ.get("OQ_PROFILE") or None)
    variables = _from_environment(environ)
    # A profile that is asked for in the call stands above the variables, as in boto3.
    found = given.over(file.over(variables) if profile else variables.over(file))
    for name in ("url", "endpoint_url"):
        _refuse_password(name, getattr(found, name))
    return found if found.url else replace(found, url=expanded(DEFAULT_FOLDER).as_uri())


def expanded(path: str | Path) -> Path:
    """Return a path whose ``~`` stands for a home directory, or raise `UsageError` where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: {error} Write the path in full, or set HOME") from None


def _refuse_password(name: str, url: str | None) -> None:
    if url and "://" in url and ("@" in urlsplit(url).netloc or "sig=" in urlsplit(url).query):
        raise UsageError(
            f"{name} has a user name or password in it, or a signature, which logs and displays would show: leave it out; credentials "
            "are found as boto3 finds them (AWS_* variables, profiles, roles), those of Azure in AZURE_* variables"
        )


def to_environment(chosen: Settings) -> dict[str, str]:
    """Return the variables that give another process these settings."""
    values = {name: getattr(chosen, name) for name in _VARIABLES}
    return {_VARIABLES[name]: _to_text(value) for name, value in values.items() if value is not None}


def _to_text(value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value)
    return str(int(value) if isinstance(value, bool) else value)


def _from_environment(environ: Mapping[str, str]) -> Settings:
    texts = {name: environ[variable] for name, variable in _VARIABLES.items() if environ.get(variable)}
    trust, roots = texts.pop("trust_code", None), texts.pop("data_roots", None)
    return Settings(
        **texts,
        trust_code=None if trust is None else _bool(trust),
        data_roots=None if roots is None else _roots_of(roots),
    )


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"OQ_TRUST_CODE={text!r} must be 1 or 0")


def _roots_of(text: str) -> Mapping[str, Mapping[str, object]]:
    """Read ``OQ_DATA_ROOTS``: URLs or paths with commas between them, or a JSON object of URL to options."""
    if not text.lstrip().startswith(("{", "[")):
        return data_roots([part.strip() for part in text.split(",") if part.strip()], what="OQ_DATA_ROOTS")
    try:
        return data_roots(json.loads(text), what="OQ_DATA_ROOTS")
    except ValueError as error:
        raise UsageError(f"OQ_DATA_ROOTS is neither a list with commas nor JSON: {error}") from None


# --- data roots ----------------------------------------------------------------------------------

LOCAL: Final = "file"
_SAME: Final = {"s3a": "s3", "local": LOCAL, "gcs": "gs", "az": "abfs", "abfss": "abfs"}
_PROTOCOL: Final = re.compile(r"[a-z][a-z0-9_+.\-]{0,31}")


def canonical_protocol(protocol: object) -> str:
    """Return the one name of a protocol, or raise `NotAllowed` if that is no plain one (such as ``simplecache::s3``)."""
    if not isinstance(protocol, str) or not _PROTOCOL.fullmatch(protocol):
        raise NotAllowed(
            f"{protocol!r} is no plain protocol: files are read by 's3', 'file' and the like, not by a chain"
        )
    return _SAME.get(protocol, protocol)


def split_root(root: str) -> tuple[str, str]:
    """Return (protocol, path) of a data root: ``s3://`` is every bucket, ``file:///`` every file; or raise `UsageError`."""
    protocol, separator, path = root.partition("://")
    if not separator:
        protocol, path = LOCAL, str(expanded(root).absolute())
    if protocol == LOCAL and not path.startswith("/") and os.name != "nt":
        raise UsageError(f"data root {root!r}: write file:///dir, with three slashes, or just the path")
    if ".." in path.split("/") or (protocol != "abfs" and "@" in path.partition("/")[0]):
        raise UsageError(
            f"data root {root.rpartition('@')[2]!r} must be a plain URL, without '..' and without a password"
        )
    return canonical_protocol(protocol), path.rstrip("/")


def data_roots(value: object, *, what: str = "data_roots") -> Mapping[str, Mapping[str, object]]:
    """Read the setting: one URL or path, a list of them, or a dict of URL to the options that `fsspec` gets for it."""
    if isinstance(value, str | os.PathLike):
        value = [value]
    named = value if isinstance(value, Mapping) else dict.fromkeys(value) if isinstance(value, Iterable) else None
    if named is None or not all(isinstance(options or {}, Mapping) for options in named.values()):
        raise UsageError(f"{what} must be a URL or path, a list of them, or a dict of URL to the options of fsspec")
    found = {}
    for root, options in named.items():
        if not isinstance(root, str | os.PathLike) or not str(os.fspath(root)).strip():
            raise UsageError(f"{what}: {root!r} is neither a URL nor a path")
        protocol, path = split_root(os.fspath(root))
        found[f"{protocol}://{path}"] = dict(options or {})
    return found


# --- files ---------------------------------------------------------------------------------------


def _from_files(profile: str | None) -> Settings:
    """Read the first file there is; the data roots and observers of the one at home hold whatever that is."""
    try:
        own = expanded(_OWN)
    except UsageError:  # then it has no oq.toml
        own = Path(os.devnull)
    path = next((path for path in (*FILES[:-1], own) if path.is_file()), None)
    if path is None:
        if profile:
            raise UsageError(f"profile {profile!r} is asked for, but there is no oq.toml here or in ~/.oqkit")
        return Settings()
    is_own = own.is_file() and path.samefile(own)
    found = _from_file(path, profile, is_own=is_own)
    if is_own or not own.is_file():
        return found
    at_home = _from_file(own, None, is_own=True)
    return replace(found, data_roots=at_home.data_roots, observers=at_home.observers)


def _from_file(path: Path, profile: str | None, *, is_own: bool) -> Settings:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    profiles = document.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise UsageError(f"{path}: write each profile as a table, [profiles.NAME]")
    base = _table(document, path, "", is_own=is_own)
    if profile is None:
        return base
    if profile not in profiles:
        raise UsageError(f"{path} has no [profiles.{profile}]; it has: {', '.join(sorted(profiles)) or 'none'}")
    return _table(profiles[profile], path, f"profiles.{profile}", is_own=is_own).over(base)


def _table(table: Mapping[str, Any], path: Path, where: str, *, is_own: bool) -> Settings:
    known = {f.name: f for f in fields(Settings)}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{path}: {where + '.' if where else ''}{name} is none of {', '.join(known)}")
        if name != "data_roots" and not isinstance(value, bool if name == "trust_code" else str):
            raise UsageError(f"{path}: {name}={value!r} must be {'true or false' if name == 'trust_code' else 'text'}")
        if name == "signing_key":
            raise UsageError(
                f"{path}: put the key into a file of its own (mode 0600), and name that as signing_key_file"
            )
        if name in _WIDENING and not is_own and value is not False:
            raise UsageError(
                f"{path}: {name} is not read from the oq.toml of a folder, which may have come with somebody else's files. "
                f"{_WIDENING[name]}"
            )
    roots = table.get("data_roots")
    return Settings(**{**table, "data_roots": None if roots is None else data_roots(roots, what=f"{path}: data_roots")})


_WIDENING: Final = {
    "trust_code": "Start the worker with --trust-code, or set OQ_TRUST_CODE=1",
    "observers": f"Put it into {_OWN}, or set OQ_OBSERVERS",
    "data_roots": f"Put it into {_OWN}, or set OQ_DATA_ROOTS",
    "signing_key_file": f"Put it into {_OWN}, or set OQ_SIGNING_KEY_FILE",
    "signing_scope": f"Put it into {_OWN}, or set OQ_SIGNING_SCOPE",
}
