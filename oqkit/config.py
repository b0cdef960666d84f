"""Where the queue is: arguments, then the environment, then ``oq.toml``, then a directory in your home."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from oqkit.errors import UsageError

FILES = (Path("oq.toml"), Path("~/.oqkit/oq.toml"))
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
}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def settings(given: Settings, *, profile: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Combine all sources; `profile` (or ``OQ_PROFILE``) names a ``[profiles.NAME]`` table of ``oq.toml``."""
    environ = os.environ if environ is None else environ
    if given.url is not None and not given.url.strip():
        raise UsageError("url is empty: give s3://bucket/prefix, a directory or memory://name, or leave it out")
    file = _from_file(profile or environ.get("OQ_PROFILE") or None)
    variables = _from_environment(environ)
    # A profile that is asked for in the call stands above the variables, as in boto3.
    found = given.over(file.over(variables) if profile else variables.over(file))
    return found if found.url else replace(found, url=DEFAULT_FOLDER.expanduser().as_uri())


def to_environment(chosen: Settings) -> dict[str, str]:
    """Return the variables that give another process these settings."""
    values = {name: getattr(chosen, name) for name in _VARIABLES}
    return {_VARIABLES[name]: str(int(v) if isinstance(v, bool) else v) for name, v in values.items() if v is not None}


def _from_environment(environ: Mapping[str, str]) -> Settings:
    texts = {name: environ[variable] for name, variable in _VARIABLES.items() if environ.get(variable)}
    trust = texts.pop("trust_code", None)
    return Settings(**texts, trust_code=None if trust is None else _bool(trust))


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"OQ_TRUST_CODE={text!r} must be 1 or 0")


def _from_file(profile: str | None) -> Settings:
    path = next((path for file in FILES if (path := file.expanduser()).is_file()), None)
    if path is None:
        if profile:
            raise UsageError(f"profile {profile!r} is asked for, but there is no oq.toml here or in ~/.oqkit")
        return Settings()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    profiles = document.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise UsageError(f"{path}: write each profile as a table, [profiles.NAME]")
    base = _table(document, path, "")
    if profile is None:
        return base
    if profile not in profiles:
        raise UsageError(f"{path} has no [profiles.{profile}]; it has: {', '.join(sorted(profiles)) or 'none'}")
    return _table(profiles[profile], path, f"profiles.{profile}").over(base)


def _table(table: Mapping[str, Any], path: Path, where: str) -> Settings:
    known = {f.name: f for f in fields(Settings)}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{path}: {where + '.' if where else ''}{name} is none of {', '.join(known)}")
        if not isinstance(value, bool if name == "trust_code" else str):
            raise UsageError(f"{path}: {name}={value!r} must be {'true or false' if name == 'trust_code' else 'text'}")
    return Settings(**table)
