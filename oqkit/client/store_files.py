"""Objects of a queue as files of a file system of `pyarrow`: those of a directory and of S3 where they lie, others through the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from oqkit.client.connection import Connection
from oqkit.config import LOCAL
from oqkit.payload.sized_file import SizedFile

_S3: Final = "s3"


def opened_files(connection: Connection, files: Mapping[str, int]) -> tuple[pafs.FileSystem, list[str]]:
    """Return a file system that reads objects of the queue, by key and size in bytes, and their paths in it.

    In a directory and in S3 the paths are those that any other engine finds them under. What it returns can be pickled if the
    queue can.
    """
    place = urlsplit(connection.url)
    if place.scheme == LOCAL:
        return pafs.LocalFileSystem(), [f"{unquote(place.path).rstrip('/')}/{key}" for key in files]
    if place.scheme == _S3:
        paths = ["/".join(filter(None, (place.netloc, place.path.strip("/"), key))) for key in files]
        system = connection.access.system(_S3, paths[0], {})
        return pafs.PyFileSystem(pafs.FSSpecHandler(system)), paths
    return pafs.PyFileSystem(_Files(connection, dict(files))), list(files)


class _Files(pafs.FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """Some objects of a queue, to be read."""

    def __init__(self, connection: Connection, sizes: Mapping[str, int]) -> None:
        self._connection = connection
        self._sizes = sizes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Files):
            return NotImplemented
        return (self._connection, self._sizes) == (other._connection, other._sizes)

    def __hash__(self) -> int:
        return hash(self._connection)

    def get_type_name(self) -> str:
        return "oqkit"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> pafs.FileInfo:
        size = self._sizes.get(path)
        kind = pafs.FileType.NotFound if size is None else pafs.FileType.File
        return pafs.FileInfo(path, kind, size=size)

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        return [self._info(path) for path in self._sizes if path.startswith(selector.base_dir)]

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(_Object(self._connection, path, self._sizes[path]), mode="r")

    open_input_stream = open_input_file

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("objects of a queue are read here, and nothing else")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


class _Object(SizedFile):
    """An object of a queue, read by ranges."""

    def __init__(self, connection: Connection, key: str, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._connection = connection
        self._key = key

    def size(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        length = self._size - self._at if size < 0 else min(size, self._size - self._at)
        if length <= 0:
            return b""
        data = self._connection.storage.read_range(self._key, start=self._at, length=length)
        self._at += len(data)
        return data
