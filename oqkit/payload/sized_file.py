"""What every file has that is read at places of one's own choosing, and whose size is known."""

from __future__ import annotations

import io


class SizedFile(io.RawIOBase):
    """A read-only file of `size_bytes`; what it reads from its place on is for the subclass to say."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self._size = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at
