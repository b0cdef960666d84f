"""Pauses of the whole queue, or of one task type: a sign beside the markers, where every listing of work shows it.

A pause that is over by itself, at its time, is over for whoever reads the sign: nobody has to lift it, so nobody can
lift a newer one by mistake. `resume` ends the pause that it read, and no later one. The pause of a single job is an
order to that job (`oqkit.queue.control`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from oqkit.clock import new_id
from oqkit.errors import Missing
from oqkit.queue import key as keys
from oqkit.queue.bound import Id, Moment, Name, Text
from oqkit.queue.collection import Collection, Unreadable
from oqkit.queue.document_type import Document, document_type
from oqkit.queue.repository import Repository

ORDERS_RING = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSign(Document):
    """That workers start nothing, and since when, why and by whose order; times in epoch seconds by the store's clock."""

    type: Name = ""
    """The task type; empty for the whole queue."""
    at: Moment = 0.0
    reason: Text = ""
    by: Name = ""
    until: Moment | None = None
    """When it is over by itself; None for never."""
    ended: Moment | None = None
    """When somebody ended it; None: nobody has."""
    ended_by: Name = ""
    orders: tuple[Id, ...] = ()
    """The last orders to pause or resume, the newest last: how whoever gave one whose reply was lost knows of it."""

    def holds(self, now: float) -> bool:
        """Whether workers start nothing for it."""
        return self.ended is None and (self.until is None or now < self.until)


PAUSE = document_type(PauseSign, what="pause sign", key_of=lambda sign: keys.pause_key(sign.type))


def pause(
    repository: Repository, *, job_type: str = "", reason: str = "", until: float | None = None, by: str = ""
) -> PauseSign:
    """Let no worker start tasks, or those of a type, until it is resumed or the time `until`; in place of an earlier pause."""
    now = repository.now()

    def paused(sign: PauseSign) -> PauseSign:
        return replace(sign, at=now, reason=reason, by=by, until=until, ended=None, ended_by="")

    sign = _ordered(repository, job_type, paused)
    repository.ring()
    return sign


def resume(repository: Repository, *, job_type: str = "", by: str = "") -> PauseSign | None:
    """End the pause that is there now; return a newer one, which somebody gave meanwhile and which stands, or None."""
    try:
        seen = Collection(repository, PAUSE).read(keys.pause_key(job_type)).doc
    except Missing:
        return None
    now = repository.now()

    def ended(sign: PauseSign) -> PauseSign:
        is_seen = sign.orders == seen.orders and sign.holds(now)
        return replace(sign, ended=now, ended_by=by) if is_seen else sign

    left = _ordered(repository, job_type, ended)
    repository.ring()
    return left if left.holds(now) else None


def pauses(repository: Repository, *, most: int | None = None) -> list[PauseSign | Unreadable]:
    """Return the pauses that hold now, that of the queue first; also signs that cannot be understood, which hold nobody up.

    At most `most` signs are read (None: all).
    """
    found, now = Collection(repository, PAUSE).list(keys.PAUSES, most=most), repository.now()
    signs = [one if isinstance(one, Unreadable) else one.doc for one in found]
    return [one for one in signs if isinstance(one, Unreadable) or one.holds(now)]


def _ordered(repository: Repository, job_type: str, change: Callable[[PauseSign], PauseSign]) -> PauseSign:
    order = new_id(repository.rng)

    def signed(sign: PauseSign) -> PauseSign:
        new = change(sign)
        return sign if new == sign else replace(new, orders=(*sign.orders, order)[-ORDERS_RING:])

    held = Collection(repository, PAUSE).update(
        keys.pause_key(job_type),
        signed,
        applied=lambda sign: order in sign.orders,
        absent=PauseSign(type=job_type),
    )
    return held.doc
