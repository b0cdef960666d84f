"""The doorbell: one object that is overwritten when there is new work, and what it says of it.

It is a hint. Workers ask whether it changed, which costs next to nothing, and list only if it did.
As most often one small job was submitted, the bell holds that job too: whoever reads it within a few
seconds need neither list nor read the job before claiming it. What it says is as old as any
knowledge of a job that a worker keeps while it works, and a claim that is based on it is as safe.

Markers sort oldest first, so the newest of a crowd with keys are hard to find, whose ids tell no time. To whoever lists jobs the
bell says where to begin: the marker behind which its writer has put up the last few hundred (`Trail`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from oqkit.errors import FormatError
from oqkit.queue import key as keys
from oqkit.queue.document import dump_job
from oqkit.queue.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A job that was submitted a moment ago, and its marker."""

    marker: keys.Marker
    job: Job


class Trail:
    """The markers that somebody has put up lately for jobs with keys, as long as they all sort by their time."""

    def __init__(self, length: int) -> None:
        self._keys: deque[str] = deque(maxlen=length)
        self._order = ""

    def add(self, marker: keys.Marker) -> None:
        """Note one more."""
        order = (
            ""
            if marker.is_later or not marker.job.startswith("k")
            else f"{marker.shard} {marker.topic} {marker.priority}"
        )
        if order != self._order or not order:
            self._keys.clear()
        self._order = order
        self._keys.append(marker.key if order else "")

    def begin(self) -> str:
        """Return the first of the last `length` markers; empty if there are not so many."""
        return self._keys[0] if len(self._keys) == self._keys.maxlen else ""


def dump_news(news: News | None, *, op: str, max_bytes: int, begin: str = "") -> bytes:
    """Write the bell; `op` makes it different from what it was, `begin` is that of a `Trail`. A job that takes more than `max_bytes` is left out."""
    said = b"" if news is None else b"\n".join((news.marker.key.encode(), dump_job(news.job)))
    return f"{op} {begin}".rstrip().encode() + (b"\n" + said if 0 < len(said) <= max_bytes else b"")


def load_begin(data: bytes) -> str:
    """Return the marker behind which the newest are to be listed; empty if the bell tells none."""
    _, _, begin = data.partition(b"\n")[0].partition(b" ")
    try:
        return keys.parse_marker(begin.decode()).key
    except (FormatError, UnicodeDecodeError):
        return ""


def load_news(data: bytes, *, now: float, fresh_s: float, load: Callable[[bytes, str], Job]) -> News | None:
    """Return what the bell says, or None if that is nothing, or older than `fresh_s`, or not to be understood: then list.

    `load` reads the job as if it were its object.
    """
    _, _, said = data.partition(b"\n")
    name, _, document = said.partition(b"\n")
    try:
        news = News(marker=keys.parse_marker(name.decode()), job=load(document, keys.BELL))
    except (FormatError, UnicodeDecodeError):
        return None
    is_one = (news.marker.job, news.marker.gen) == (news.job.id, news.job.gen)
    return news if is_one and abs(now - news.job.created) <= fresh_s else None
