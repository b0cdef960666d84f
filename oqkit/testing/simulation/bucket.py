"""The simulated bucket, its clients, and everything that a network does to requests between them."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from oqkit.errors import Conflict, Missing, Unavailable
from oqkit.store.base import Blob, Entry, Page, Requests, Store, Version, check_key, check_prefix
from oqkit.store.memory import _Content, _State
from oqkit.testing.simulation.kernel import Kernel, Node, Task, current

EPOCH_S = 1_800_000_000.0

#: What can happen to a request, besides that all is well.
ERROR = "error"  # refused before anything was done: 500, 503, 429, 409, or no connection
TIMEOUT = "timeout"  # the same, but the client waits for its time-out
LOST = "lost"  # applied, but the reply is lost
LATE = "late"  # the client gives up, and only then it is applied
TWICE = "twice"  # the SDK sent it once more after a lost reply: the second reply is what counts
FAULTS = (ERROR, TIMEOUT, LOST, LATE, TWICE)
WRITES = frozenset({"create", "replace", "overwrite", "delete"})
KINDS = {
    "read": "get",
    "list": "list",
    "versions": "list",
    "create": "put",
    "replace": "put",
    "overwrite": "put",
    "delete": "delete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write as it is applied. `data` is None for a delete."""

    node: Node
    verb: str
    key: str
    data: bytes | None
    old: bytes | None
    sent_s: float
    """When it was sent, in epoch seconds by the bucket's clock."""
    doubt_s: float
    """How far its sender's idea of that time may be off."""
    call: object
    """Who asked for it: the `Task.context` that it was sent from."""


class Watcher(Protocol):
    """Who looks at everything that is written."""

    def wrote(self, write: Write) -> None:
        """Take in a write that was just applied."""


class Reader(Protocol):
    """Who looks at what nodes are given to read."""

    def saw(self, node: Node, key: str, etag: str) -> None:
        """Take in that a node was given an object."""

    def saw_all(self, node: Node, prefix: str, entries: Iterable[Entry], *, sent_s: float, doubt_s: float) -> None:
        """Take in that a node was given the beginning of a listing, which it asked for then; as in `Write`."""


class Bucket(_Content):
    """Objects with etags as S3 makes them: of their bytes, so that the same bytes have the same etag."""

    def __init__(self, kernel: Kernel, *, has_md5_etags: bool = True) -> None:
        super().__init__()
        self.kernel = kernel
        self.watcher: Watcher | None = None
        self.reader: Reader | None = None
        self.keeps_past = False
        self.trace: list[str] | None = None
        """Every request as it is applied, for a person to read; None to keep none."""
        self._has_md5_etags = has_md5_etags

    def now(self) -> float:
        """Return the time of the bucket, in epoch seconds."""
        return EPOCH_S + self.kernel.now

    def put(self, key: str, data: bytes, *, modified_s: float) -> str:
        etag = super().put(key, data, modified_s=modified_s)
        if self._has_md5_etags:
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            self._present[key] = _State(data=data, etag=etag, modified_s=modified_s)
        if not self.keeps_past:
            self._past.clear()
        return etag

    def data(self, key: str) -> bytes | None:
        """Return what a key holds, or None."""
        state = self.get(key)
        return None if state is None else state.data

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that start with `prefix`."""
        return [key for key in self._keys if key.startswith(prefix)]


@dataclass(slots=True)
class Weather:
    """How bad the network is. Chances are per request."""

    chances: dict[str, float] = field(default_factory=dict)
    read_error: float = 0.0
    latency_s: float = 0.03
    slow: float = 0.0
    """The chance that a request is fifty times slower."""
    outages: list[tuple[float, float, str]] = field(default_factory=list)
    """From, to, and the beginning of the names of the nodes that are cut off."""
    is_fair: bool = False
    """Whether all is well from now on."""
    counts: Counter[str] = field(default_factory=Counter)

    def clear_up(self) -> None:
        """Let all be well from now on; what is on its way still arrives late."""
        self.is_fair, self.slow, self.latency_s = True, 0.0, min(self.latency_s, 0.03)


@dataclass(frozen=True, slots=True)
class _Fate:
    fault: str
    there_s: float
    back_s: float
    survives: bool
    """Whether it arrives although its sender dies."""
    tail_s: float
    """How much later than the time-out a late one lands."""


SEARCH = "oqkit-sweep"
"""The thread that searches for lost jobs."""
READ_TIMEOUT_S = 4.0
SLOWEST_S = READ_TIMEOUT_S / 2
LATEST_S = 12.0


class SimStore(Store):
    """One node's client of the bucket."""

    date_granularity_s = 1.0  # as the Date header of S3

    def __init__(self, bucket: Bucket, node: Node, weather: Weather, *, seed: object, poll_s: float = 0.7) -> None:
        super().__init__("sim://bucket", clock=node.clock)
        self.poll_s = poll_s  # type: ignore[misc] # each schedule has its own
        self.bucket = bucket
        self.node = node
        self.weather = weather
        self.kill_at_write: tuple[int, bool] | None = None
        """Die at the n-th write from now, and whether after it is applied."""
        self.searches = Requests()
        """The requests of the search for lost jobs, which has a budget of its own."""
        self.deaf_at_s: float | None = None
        """From when on no request is answered, by the time of the kernel."""
        self._rng = random.Random(f"{seed}/{node.name}/network")  # noqa: S311 - a seed must replay

    # --- the network -----------------------------------------------------------------------------

    def _fate(self, verb: str) -> _Fate:
        rng, weather = self._rng, self.weather
        slow = 50.0 if rng.random() < weather.slow else 1.0
        there_s, back_s = (min(SLOWEST_S, weather.latency_s * slow * (0.1 + rng.expovariate(1.0))) for _ in range(2))
        fault = "" if weather.is_fair else self._fault(verb, rng.random())
        if fault:
            weather.counts[fault] += 1
        return _Fate(fault, there_s, back_s, rng.random() < 0.5, rng.uniform(0.0, LATEST_S) * rng.random())

    def _fault(self, verb: str, chance: float) -> str:
        weather, now = self.weather, self.node.kernel.now
        if any(start <= now < stop and self.node.name.startswith(who) for start, stop, who in weather.outages):
            return ERROR
        if verb not in WRITES:
            return ERROR if chance < weather.read_error else ""
        for fault in FAULTS:
            chance -= weather.chances.get(fault, 0.0)
            if chance < 0:
                return fault
        return ""

    def _ask(self, verb: str, key: str, apply: Callable[[], object], *, data: bytes | None = None) -> Any:
        self.node.check()
        me = current()
        (self.searches if me.name == SEARCH else self.requests).add(KINDS[verb])
        if self.deaf_at_s is not None and self.node.kernel.now >= self.deaf_at_s:
            me.park()
        sent = self.clock.monotonic()
        _Request(self, me, verb=verb, key=key, apply=apply, data=data, fate=self._fate(verb)).send()
        me.n_requests += 1
        outcome, date_s = me.park()
        if date_s is not None:
            self.server.observe(date_s, sent=sent, received=self.clock.monotonic())
        if isinstance(outcome, Exception):
            me.n_troubles += not isinstance(outcome, Missing)
            raise outcome
        return outcome

    def doubt_s(self) -> float:
        """Return how far this node's idea of the bucket's time may be off."""
        low, high = self.server._low, self.server._high  # noqa: SLF001 - only a simulation may ask for its doubts
        return 1e6 if low is None else (high - low) / 2 + 0.1

    # --- verbs -----------------------------------------------------------------------------------

    def read(self, key: str) -> Blob:
        check_key(key)
        state = self._ask("read", key, lambda: self.bucket.demand(key))
        if self.bucket.reader is not None:
            self.bucket.reader.saw(self.node, key, state.etag)
        return Blob(key=key, data=state.data, etag=state.etag)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        blob = self.read(key)
        return None if blob.etag == etag else blob

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        data = self.read(key).data
        first = start if start >= 0 else max(0, len(data) + start)
        return data[first : first + length]

    def create(self, key: str, data: bytes) -> str:
        check_key(key)

        def apply() -> str:
            if self.bucket.get(key) is not None:
                raise Conflict(key)
            return self.bucket.put(key, data, modified_s=self.bucket.now())

        return str(self._ask("create", key, apply, data=data))

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        check_key(key)

        def apply() -> str:
            if self.bucket.demand(key).etag != etag:
                raise Conflict(key)
            return self.bucket.put(key, data, modified_s=self.bucket.now())

        return str(self._ask("replace", key, apply, data=data))

    def overwrite(self, key: str, data: bytes) -> str:
        check_key(key)
        put = self.bucket.put
        return str(self._ask("overwrite", key, lambda: put(key, data, modified_s=self.bucket.now()), data=data))

    def delete(self, key: str) -> None:
        check_key(key)
        self._ask("delete", key, lambda: self.bucket.drop(key))

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        check_prefix(prefix)

        def apply() -> Page:
            return Page.cut(self.bucket.walk(prefix, after=after or "", folders=folders), limit=limit)

        sent_s, doubt_s = self.bucket.now(), self.doubt_s()
        page = self._ask("list", prefix, apply)
        assert isinstance(page, Page)
        if self.bucket.reader is not None and after is None and current().name != SEARCH:
            self.bucket.reader.saw_all(self.node, prefix, page.entries, sent_s=sent_s, doubt_s=doubt_s)
        return page

    def versions(self, key: str) -> Iterator[Version]:
        check_key(key)
        states = self._ask("versions", key, lambda: self.bucket.states(key))
        for state in states:
            yield Version(key=key, id=state.etag, data=state.data, modified_s=state.modified_s)


class _Request:
    """A request on its way."""

    def __init__(
        self,
        store: SimStore,
        task: Task,
        *,
        verb: str,
        key: str,
        apply: Callable[[], object],
        data: bytes | None,
        fate: _Fate,
    ) -> None:
        self._store = store
        self._task = task
        self._ticket = task.ticket
        self._verb = verb
        self._key = key
        self._apply = apply
        self._data = data
        self._fate = fate
        self._call = task.context
        self._sent_s = store.bucket.now()
        self._doubt_s = store.doubt_s() if verb in WRITES else 0.0

    def send(self) -> None:
        kernel, fate = self._store.node.kernel, self._fate
        there_s = fate.there_s
        if fate.fault in (TIMEOUT, LATE):
            kernel.after(READ_TIMEOUT_S, self._reply, Unavailable(f"{fate.fault}: {self._verb} {self._key}"), None)
            there_s = READ_TIMEOUT_S + fate.tail_s
        if fate.fault == ERROR:
            kernel.after(fate.there_s, self._reply, Unavailable(f"{ERROR}: {self._verb} {self._key}"), None)
        elif fate.fault != TIMEOUT:
            kernel.after(there_s, self._land)

    def _land(self) -> None:
        store, fate = self._store, self._fate
        if store.node.is_dead and not fate.survives:
            return
        if self._verb in WRITES and not store.node.is_dead and self._dies(store):
            return
        outcome = self._do()
        if fate.fault == TWICE:
            store.node.kernel.after(fate.there_s, self._land_again)
        elif fate.fault == LOST:
            store.node.kernel.after(fate.back_s, self._reply, Unavailable(f"{LOST}: {self._verb} {self._key}"), None)
        elif fate.fault != LATE:
            date_s = float(int(store.bucket.now()))
            store.node.kernel.after(fate.back_s, self._reply, outcome, date_s)

    def _land_again(self) -> None:
        self._store.node.kernel.after(self._fate.back_s, self._reply, self._do(), float(int(self._store.bucket.now())))

    def _dies(self, store: SimStore) -> bool:
        """Whether the sender's time to die has come before this write; note if it is to die right after."""
        if store.kill_at_write is None or store.weather.is_fair:
            return False
        n, is_after = store.kill_at_write
        store.kill_at_write = (n - 1, is_after) if n else None
        if n:
            return False
        store.node.kill()
        return not is_after

    def _do(self) -> object:
        bucket = self._store.bucket
        old = bucket.data(self._key) if self._verb in WRITES else None
        try:
            outcome = self._apply()
        except (Conflict, Missing) as error:
            self._note(type(error).__name__)
            return error
        self._note("")
        if self._verb in WRITES and bucket.watcher is not None:
            bucket.watcher.wrote(
                Write(
                    node=self._store.node,
                    verb=self._verb,
                    key=self._key,
                    data=self._data,
                    old=old,
                    sent_s=self._sent_s,
                    doubt_s=self._doubt_s,
                    call=self._call,
                )
            )
        return outcome

    def _note(self, outcome: str) -> None:
        bucket, node = self._store.bucket, self._store.node
        if bucket.trace is None:
            return
        facts = [f"{node.kernel.now:9.3f} {node.name:12} {self._verb:10} {self._key}", self._fate.fault, outcome]
        if self._data is not None and self._key.endswith(".json") and not outcome:
            document = json.loads(self._data)
            facts += [
                f"{name}={document[name]}"
                for name in ("rev", "op", "gen", "runs", "leases", "done")
                if name in document
            ]
        bucket.trace.append(" ".join(fact for fact in facts if fact))

    def _reply(self, outcome: object, date_s: float | None) -> None:
        self._task.wake(self._ticket, value=(outcome, date_s))
