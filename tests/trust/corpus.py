"""Hostile jobs: what somebody who can write the bucket, and nothing else, could put there.

Each case is how the document of a sound job is changed, and what the one who looks at the job is told. None: the worker
says nothing of the input, since it leaves the job alone, or runs its own function on a harmless one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from oqkit.arrow.metadata import pack_type
from oqkit.payload.text_format import TextFormat, TextKind

NOT_HERE = r"no file may be read by .* here: a job asks for it.*data_roots"
NO_PROTOCOL = r"is no plain protocol"
NO_OPTION = r"storage_options\[.*\] (cannot be part of a job|must be a)"
NO_ROOT = r"is below none of the data roots here.*OQ_DATA_ROOTS"
NO_PATH = r"is no plain path|is no path"
NOT_ITS_OWN = r"which is not among its own files"

PROTOCOLS = (
    "filecache", "simplecache", "blockcache", "cached", "reference", "git", "github", "gist", "http", "https", "ftp", "sftp",
    "ssh", "smb", "zip", "tar", "libarchive", "dir", "data", "memory", "hdfs", "arrow_hdfs", "webhdfs", "dask", "jupyter",
    "generic", "hf", "gs", "gcs", "abfs", "az", "adl", "oss", "dropbox", "box", "lakefs", "wandb", "pyscript", "evil_fs",
)  # fmt: skip
NO_PROTOCOLS = (
    "simplecache::s3",
    "filecache::https",
    "s3::file",
    "",
    "S3",
    "../s3",
    "os:system",
    "evil_fs.x:y",
    5,
    None,
    ["s3"],
)
TYPES = TextFormat(kind=TextKind.CSV, schema=pa.schema([("x", pa.int64())])).to_json()["schema"]
PICKLE = "gASVHwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the attacker knows of the machines: where things are."""

    bucket: str
    allowed: Path
    """A data root of the worker."""
    secret: Path
    """A Parquet file that lies elsewhere."""
    evil_url: str
    """An endpoint of the attacker's."""
    foreign_key: str
    """An input of somebody else's job, in the queue."""
    code_digest: str
    """A function that the attacker stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    kind: str
    """Which sound job it begins with: dataset, frame, json or values."""
    change: Callable[[dict[str, Any]], None]
    told: str | None


def cases(place: Place) -> Iterator[Case]:
    yield from _protocols()
    yield from _options(place)
    yield from _paths(place)
    yield from _own_keys(place)
    yield from _code(place)
    yield from _shapes()


def _dataset(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(doc: dict[str, Any]) -> None:
        doc["input"]["dataset"].update(copy.deepcopy(changes))

    return change


def _path(path: Any, *, protocol: str) -> Callable[[dict[str, Any]], None]:
    def change(doc: dict[str, Any]) -> None:
        dataset = doc["input"]["dataset"]
        dataset["protocol"] = protocol
        dataset["files"][0][0] = path

    return change


def _protocols() -> Iterator[Case]:
    for protocol in PROTOCOLS:
        yield Case(name=f"protocol {protocol}", kind="dataset", change=_dataset(protocol=protocol), told=NOT_HERE)
    for protocol in NO_PROTOCOLS:
        told = NO_PROTOCOL if isinstance(protocol, str) else "not readable here"
        yield Case(name=f"protocol {protocol!r}", kind="dataset", change=_dataset(protocol=protocol), told=told)


def _options(place: Place) -> Iterator[Case]:
    evil = place.evil_url
    for options in (
        {"endpoint_url": evil},
        {"client_kwargs": {"endpoint_url": evil}},
        {"client_kwargs": {"verify": False}},
        {"config_kwargs": {"proxies": {"http": evil, "https": evil}}},
        {"key": "k", "secret": "s"},
        {"token": "t"},
        {"profile": "admin"},
        {"session": "x"},
        {"target_protocol": "file"},
        {"target_options": {"auto_mkdir": True}},
        {"fo": "/etc/passwd"},
        {"cache_storage": str(place.secret.parent)},
        {"skip_instance_cache": True},
        {"asynchronous": True},
        {"default_fill_cache": False},
        {"anon": evil},
        {"anon": 1},
        {"requester_pays": {"endpoint_url": evil}},
        {"protocol": "file"},
        {"__class__": "evil_fs"},
    ):
        yield Case(name=f"options {options}", kind="dataset", change=_dataset(options=options), told=NO_OPTION)
    yield Case(
        name="options of a cache over the attacker's endpoint",
        kind="dataset",
        change=_dataset(
            protocol="filecache", options={"target_protocol": "http", "target_options": {"base_url": evil}}
        ),
        told=NO_OPTION,
    )


def _paths(place: Place) -> Iterator[Case]:
    bucket, secret = place.bucket, str(place.secret)
    for path in (
        "private/secret.parquet",
        f"{bucket}-evil/secret.parquet",
        "s3://private/secret.parquet",
        "arn:aws:s3:us-east-1:1:accesspoint/x/secret.parquet",
        f"/{bucket[:-1]}/secret.parquet",
        "",
    ):
        yield Case(name=f"s3 path {path}", kind="dataset", change=_path(path, protocol="s3"), told=NO_ROOT)
    for path in (
        f"{bucket}/../private/secret.parquet",
        f"{bucket}/data/../../private/secret.parquet",
        f"{bucket}/%2e%2e/private/secret.parquet",
        f"{bucket}\\..\\private\\secret.parquet",
        f"{bucket}/./secret.parquet",
        f"{bucket}/data/0.parquet\r\nHost: evil",
    ):
        yield Case(name=f"s3 path {path!r}", kind="dataset", change=_path(path, protocol="s3"), told=NO_PATH)
    for path in (
        secret,
        f"file://{secret}",
        f"local://{secret}",
        "secret.parquet",
        "~/secret.parquet",
        f"{place.allowed}/../{place.secret.name}",
        f"{place.allowed}-evil/secret.parquet",
        f"{place.allowed}/link.parquet",
        f"{place.allowed}/folder/secret.parquet",
        f"{place.allowed}/up/{place.secret.name}",
        "/proc/self/environ",
        "/dev/stdin",
        "/etc/passwd",
        "",
    ):
        yield Case(name=f"local path {path}", kind="dataset", change=_path(path, protocol="file"), told=NO_ROOT)
    yield Case(
        name="local path NUL", kind="dataset", change=_path("/etc/passwd\0.parquet", protocol="file"), told=NO_PATH
    )
    yield Case(name="local protocol", kind="dataset", change=_path(secret, protocol="local"), told=NO_ROOT)
    yield Case(name="path of a number", kind="dataset", change=_path(5, protocol="file"), told="not readable here")


def _own_keys(place: Place) -> Iterator[Case]:
    for kind in ("frame", "json", "dataset"):
        for key in (
            place.foreign_key,
            f"code/{place.code_digest}",
            "queue.json",
            "../../etc/passwd",
            "/etc/passwd",
            str(place.secret),
        ):

            def change(doc: dict[str, Any], key: str = key) -> None:
                doc["input"].setdefault("files", [["", 0, 1, 100]])[0][0] = key

            yield Case(name=f"{kind} key {key}", kind=kind, change=change, told=NOT_ITS_OWN)


def _code(place: Place) -> Iterator[Case]:
    for reference in (
        "os:system",
        "subprocess:call",
        "evil_module:run",
        "tests.trust.evil:run",
        "builtins:eval",
        "code/x:y",
    ):
        for job_type in ("score", "other"):

            def change(doc: dict[str, Any], reference: str = reference, job_type: str = job_type) -> None:
                doc["code"], doc["type"] = {"reference": reference}, job_type

            yield Case(name=f"{job_type} by {reference}", kind="values", change=change, told=None)
    for job_type in ("score", "other"):

        def change(doc: dict[str, Any], job_type: str = job_type) -> None:
            doc["code"], doc["type"] = {"digest": place.code_digest}, job_type

        yield Case(name=f"{job_type} by digest", kind="values", change=change, told=None)


def _shapes() -> Iterator[Case]:
    for name, dataset in (
        ("no files", {"files": []}),
        ("files of another shape", {"files": [["x"]]}),
        ("a billion row groups", {"files": [["x", 1, "t", [[1, 10**9]]]]}),
        ("rows below zero", {"files": [["x", 1, "t", [[-1, 1]]]]}),
        ("options that are a list", {"options": ["anon"]}),
        ("more rows than the job", {"files": [["x", 1, "t", [[7, 1]]]]}),
        ("folders of no type", {"partitions": [["year", "AAAA"]]}),
        ("folders of a type that is no text", {"partitions": [["year", 5]]}),
        ("folders that name more columns", {"partitions": [["year", pack_type(pa.int64())]]}),
        ("folders of a nested type", {"partitions": [["year", pack_type(pa.list_(pa.int64()))]]}),
        ("text of no types", {"text": {"kind": "csv", "schema": "AAAA", "delimiter": ","}}),
        ("text of another kind", {"text": {"kind": "pickle", "schema": TYPES, "delimiter": ","}}),
        ("text without places", {"text": {"kind": "csv", "schema": TYPES, "delimiter": ","}}),
        (
            "text beyond its file",
            {
                "text": {"kind": "csv", "schema": TYPES, "delimiter": ","},
                "files": [["x", 9, "t", [[1, 1]], [], [0, 10]]],
            },
        ),
        ("folders of other values", {"files": [["x", 1, "t", [[1, 1]], ["2024"]]]}),
        ("folders that are numbers", {"files": [["x", 1, "t", [[1, 1]], [2024]]]}),
    ):
        yield Case(
            name=name, kind="dataset", change=_dataset(**dataset), told=r"not readable here|names no file|but its files"
        )


# --- files that a worker may read, and that are made to be dangerous ------------------------------


def hostile_metadata() -> dict[str, dict[bytes, bytes]]:
    """Return metadata of Parquet fields that have made readers unpickle, import or build types, by name."""
    pickled = PICKLE.encode()
    return {
        "pickled extension type": {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": pickled,
        },
        "unknown extension type": {b"ARROW:extension:name": b"evil_fs.Type", b"ARROW:extension:metadata": pickled},
        "sidecar of an unknown dtype": {b"oq.column": b'{"form": "extension", "dtype": "evil_fs.Dtype"}'},
        "sidecar with a pickle": {b"oq.column": b'{"form": "ndarray", "dtype": "' + pickled + b'"}'},
        "sidecar that is no JSON": {b"oq.column": b"cos\nsystem\n(S'true'\ntR."},
    }
