"""What the oracle knows of pauses of the queue and of types: who has seen which sign, and who may start what."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oqkit.queue import key as keys
from oqkit.queue.pause import PAUSE, PauseSign
from oqkit.store.base import Entry
from oqkit.testing.simulation.bucket import Bucket, Write
from oqkit.testing.simulation.kernel import Node


@dataclass(slots=True)
class Look:
    """What one listing showed a node: the signs, by their content, as it was answered."""

    sent_s: float
    doubt_s: float
    """How far the node's idea of that time may be off."""
    signs: dict[str, str]
    """Key to etag; a later read of a sign takes the place of what the listing showed of it."""


class PauseFacts:
    """Every sign that was written, and what each node was shown of them; times in epoch seconds by the bucket's clock."""

    def __init__(self, expect: Callable[[object, str, str], None], bucket: Bucket) -> None:
        self._expect = expect
        self._bucket = bucket
        self._signs: dict[str, PauseSign] = {}
        """Key to the sign as it is now."""
        self._versions: dict[tuple[str, str], PauseSign] = {}
        self._looks: defaultdict[str, list[Look]] = defaultdict(list)
        self._first_read: dict[str, PauseSign | None] = {}
        """Node to the sign that it read first since it began to give an order."""
        bucket.reader = self

    concerns = staticmethod(keys.is_pause_key)

    def wrote(self, write: Write) -> None:
        """Judge the write of a sign."""
        self._expect(write.data is not None, "sign deleted", write.key)
        old, new = self._signs.get(write.key), PAUSE.load(write.data or b"", write.key)
        self._signs[write.key] = new
        self._versions[write.key, self._bucket.demand(write.key).etag] = new
        self._expect(new.rev == (old.rev if old else 0) + 1, "rev", write.key)
        self._expect(len(set(new.orders)) == len(new.orders), "order given twice", f"{write.key}: {new.orders}")
        if old is not None and new.ended is not None and old.ended is None:
            seen = self._first_read.get(write.node.name)
            is_seen = seen is not None and seen.orders == old.orders
            self._expect(is_seen, "newer pause lifted", f"{write.key}: {old.reason!r} by {write.node.name}")

    # --- what nodes see --------------------------------------------------------------------------

    def begins(self, node: Node) -> None:
        """Note that a node begins to give an order."""
        self._first_read.pop(node.name, None)

    def saw_all(self, node: Node, prefix: str, entries: Iterable[Entry], *, sent_s: float, doubt_s: float) -> None:
        """Note what a node was shown by a listing that begins where all signs are."""
        if prefix not in {keys.OPEN, keys.PAUSES}:
            return
        signs = {entry.key: entry.etag for entry in entries if keys.is_pause_key(entry.key)}
        self._looks[node.name].append(Look(sent_s, doubt_s, signs))

    def saw(self, node: Node, key: str, etag: str) -> None:
        """Note what a node has read of a sign."""
        if not keys.is_pause_key(key):
            return
        self._first_read.setdefault(node.name, self._versions.get((key, etag)))
        if looks := self._looks[node.name]:
            looks[-1].signs[key] = etag

    def check_claim(self, write: Write, job_type: str) -> None:
        """Nobody starts what was paused when he last looked: it may be paused anew since that pause was over."""
        look = next((one for one in reversed(self._looks[write.node.name]) if one.sent_s <= write.sent_s), None)
        if look is None:
            return
        for key in (keys.pause_key(""), keys.pause_key(job_type)):
            sign = self._versions.get((key, look.signs.get(key, "")))
            if sign is not None and sign.ended is None:
                until = math.inf if sign.until is None else sign.until
                told = f"{key}, {write.sent_s - look.sent_s:.2f} s after it was seen"
                self._expect(until <= look.sent_s + look.doubt_s, "claimed under a pause sign", told)
