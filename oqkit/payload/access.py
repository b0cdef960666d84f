"""Which files elsewhere this machine opens for a job: those that its own configuration allows, never what a job asks for.

Whoever can write the queue can write a job, and a job can name any file. So a job says *which* files, and nothing
of *how* to reach them: the address, the credentials and everything else that a file system is opened with are
this machine's own, and the files must lie below its data roots. Those are

* the bucket that the queue is in,
* what the setting `data_roots` adds: ``oq.connect(data_roots=…)``, ``oq worker --data-root``, ``OQ_DATA_ROOTS``, or
  ``~/.oqkit/oq.toml``,
* the files that were submitted through this very `Queue` object,
* for a worker that trusts code from the queue, everything: that code could open it as well.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from oqkit.config import LOCAL, Settings, canonical_protocol, split_root
from oqkit.errors import NotAllowed, UsageError

#: What a job may say about how its files are opened, by protocol: it moves no address, no credential and no code.
OPTIONS: Final[Mapping[str, Mapping[str, type]]] = {
    "s3": {"anon": bool, "requester_pays": bool},
    "gs": {"requester_pays": bool},
}
_SECRET: Final = ("key", "secret", "token", "password", "credential", "signature", "sig")
_HOW: Final = "data_roots in ~/.oqkit/oq.toml, the variable OQ_DATA_ROOTS, `oq worker --data-root`, or oq.connect(data_roots=[...])"

PathCheck = Callable[[str], str]
"""Returns the path to open for a path that a job names, or raises `NotAllowed`."""


class Access:
    """What one machine, or one client, may open. Threads may share it."""

    def __init__(
        self,
        roots: Mapping[str, Mapping[str, object]] | None = None,
        *,
        storage: Mapping[str, Mapping[str, object]] | None = None,
        is_everywhere: bool = False,
    ) -> None:
        self._roots = {split_root(root): dict(options) for root, options in (roots or {}).items()}
        self._storage = dict(storage or {})
        self._is_everywhere = is_everywhere
        self._granted: set[str] = set()

    @classmethod
    def of(cls, chosen: Settings) -> Access:
        """Return what these settings allow; files in S3 are reached as the queue is."""
        own = urlsplit(chosen.url or "")
        roots: dict[str, Mapping[str, Any]] = {f"s3://{own.netloc}": {}} if own.scheme == "s3" and own.netloc else {}
        return cls({**roots, **(chosen.data_roots or {})}, storage={"s3": _s3_options(chosen)})

    def everywhere(self) -> Access:
        """Return the access of a worker that trusts code: any file, reached as this machine's configuration says."""
        found = Access(storage=self._storage, is_everywhere=True)
        found._roots, found._granted = self._roots, self._granted
        return found

    # --- opening ---------------------------------------------------------------------------------

    def grant(self, protocol: str, files: list[object]) -> None:
        """Allow the files of a dataset from now on, since this process itself was asked to submit them."""
        self._granted.add(_digest(protocol, files))

    def open(self, protocol: str, options: Mapping[str, object], files: list[Any]) -> tuple[Any, PathCheck]:
        """Return the `fsspec` file system of a job's files, and what says for each path whether it may be opened.

        Raise `NotAllowed` if nothing of this protocol may be opened here, or an option is not one that a job may set.
        """
        protocol = canonical_protocol(protocol)
        first = next((str(path) for path, *_ in files), "")
        options = self.options_of_a_job(protocol, first, options)
        is_free = self._is_everywhere or _digest(protocol, files) in self._granted
        if not is_free and not any(one == protocol for one, _ in self._roots):
            raise NotAllowed(
                f"no file may be read by {protocol!r} here: a job asks for it, and nothing in this machine's own "
                f"configuration allows it. If it should, name the folder or bucket: {_HOW}"
            )
        system = self.system(protocol, first, options)
        real = _real if protocol == LOCAL else _plain

        def check(path: str) -> str:
            return real(path) if is_free else self._below_a_root(protocol, path, real=real, first=first)

        return system, check

    def options_of_a_job(self, protocol: str, path: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Leave out the options that hold here anyway; raise `NotAllowed` if another is not one that a job may set."""
        own = self._own(protocol, path)
        asked = {name: value for name, value in options.items() if name not in own or own[name] != value}
        check_options(protocol, asked)
        return asked

    def system(self, protocol: str, path: str, options: Mapping[str, object]) -> object:
        """Open the `fsspec` file system of a path as this machine's own configuration says, or raise `UsageError`."""
        import fsspec  # with s3fs it takes half a second to import: only who uses datasets pays for it

        own = self._own(protocol, path)
        try:
            system = fsspec.filesystem(protocol, **own, **{n: v for n, v in options.items() if n not in own})
        except (ImportError, TypeError, ValueError) as error:
            raise UsageError(f"files cannot be read by {protocol!r} here: {error}") from error
        system.invalidate_cache()  # what this process listed before may be out of date
        return system

    def _own(self, protocol: str, path: str) -> dict[str, object]:
        """Return what this machine's own configuration opens the file system of a path with."""
        real = _real(path) if protocol == LOCAL else path
        return {**self._storage.get(protocol, {}), **(self._options(protocol, real) or {})}

    def _below_a_root(self, protocol: str, path: str, *, real: PathCheck, first: str) -> str:
        found = real(path)
        own = self._options(protocol, found)
        if own is None:
            raise NotAllowed(
                f"{path!r} ({protocol}) is below none of the data roots here ({self._named() or 'there are none'}): a job "
                f"asks for it, and this machine's own configuration does not allow it. If it should: {_HOW}"
            )
        if own != (self._options(protocol, real(first)) or {}):
            raise NotAllowed(f"{path!r} and {first!r} are below data roots that are reached differently: use two jobs")
        return found

    def _options(self, protocol: str, path: str) -> Mapping[str, object] | None:
        """Return the options of the nearest root above a path; None if it is below none."""
        fitting = [
            (len(root), options)
            for (its_protocol, root), options in self._roots.items()
            if its_protocol == protocol and _is_below(protocol, path, root)
        ]
        return max(fitting, key=lambda one: one[0])[1] if fitting else None

    def _named(self) -> str:
        return ", ".join(sorted(f"{protocol}://{root}" for protocol, root in self._roots))


def _real(path: str) -> str:
    """Return where a local path leads in the end, so that no link leads out of a root."""
    if "\0" in path:
        raise NotAllowed(f"{path!r} is no path")
    return os.path.realpath(path)


def _plain(path: str) -> str:
    """Return a path that has one meaning only: no server may take it for one above a root."""
    parts = unquote(path).replace("\\", "/").split("/")
    if any(part in {".", ".."} for part in parts) or not path.isprintable():
        raise NotAllowed(f"{path!r} is no plain path: a job may not name files by '.', '..' or control characters")
    return path


def _is_below(protocol: str, path: str, root: str) -> bool:
    if protocol == LOCAL:
        root = os.path.realpath(root or "/")
    else:  # some file systems leave the protocol in front
        path = path.removeprefix(f"{protocol}://").lstrip("/")
    return not root or path == root or path.startswith(root.rstrip("/") + "/")


def _digest(protocol: str, files: list[object]) -> str:
    return hashlib.sha256(json.dumps([canonical_protocol(protocol), files]).encode()).hexdigest()


def _s3_options(chosen: Settings) -> dict[str, object]:
    found: dict[str, Any] = {"endpoint_url": chosen.endpoint_url, "profile": chosen.aws_profile}
    if chosen.region:
        found["client_kwargs"] = {"region_name": chosen.region}
    if chosen.addressing_style:
        found["config_kwargs"] = {"s3": {"addressing_style": chosen.addressing_style}}
    return {name: value for name, value in found.items() if value}


# --- what a job may hold -------------------------------------------------------------------------


def check_options(protocol: str, options: Mapping[str, object]) -> None:
    """Raise `NotAllowed` unless every option is one that a job may carry: the same for submitters and workers."""
    allowed = OPTIONS.get(canonical_protocol(protocol), {})
    for name, value in options.items():
        if name not in allowed:
            secret = "it would be stored in the job, for every reader of the queue to see; " if _is_secret(name) else ""
            raise NotAllowed(
                f"storage_options[{name!r}] cannot be part of a job: {secret}how files are reached is for each machine's "
                "own configuration to say, and workers find credentials by themselves, as boto3 does (AWS_* variables, "
                f"profiles, roles). A job on {protocol!r} may say: {', '.join(allowed) or 'nothing'}. Give the rest to a "
                f"data root, as data_roots={{'{protocol}://…': {{{name!r}: …}}}}: {_HOW}"
            )
        if type(value) is not allowed[name]:
            raise NotAllowed(f"storage_options[{name!r}] must be a {allowed[name].__name__}")


def check_paths(paths: list[str]) -> None:
    """Raise `UsageError` for a path that carries a password or a signature: it would be stored in the job."""
    for path in paths:
        if "://" not in path:
            continue
        parts = urlsplit(path)
        user = parts.netloc.rpartition("@")[0]
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _is_secret(name)]
        if (user and parts.scheme not in {"abfs", "abfss"}) or ":" in user or names:
            what = f"the parameter {names[0]!r}" if names else "a user name or password"
            raise UsageError(
                f"a path at {parts.scheme}://{parts.hostname or ''} has {what} in it, which would be stored in the job for "
                f"every reader of the queue to see. Leave it out, and give it to a data root: {_HOW}"
            )


def _is_secret(name: str) -> bool:
    return any(word in str(name).lower() for word in _SECRET)
