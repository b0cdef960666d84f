"""Find out whether a store can hold a queue, before anything is entrusted to it (guarantee G8).

Some servers take a condition and ignore it: then two workers own one task and nobody notices. So a
store is tried once, with throw-away objects under ``probe/``, when a queue is first opened.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from oqkit.clock import new_id
from oqkit.errors import Conflict, Missing, StoreError, Unavailable, Unsupported
from oqkit.store.base import Store

_TRIES = 5
_FIRST_PAUSE_S = 0.2
_THREADS = 8

_Check = Callable[[Store, str], None]


def probe(store: Store, *, rng: random.Random) -> None:
    """Return if `store` honours conditional writes and shows what was written, else raise `Unsupported`.

    Takes about 60 requests. `Unavailable` is no refusal: a check that meets it runs again on another key, a few times.
    """
    folder = f"probe/{new_id(rng)}/"
    keys: list[str] = []
    try:
        for check in _CHECKS:
            _settle(check, store, folder=folder, keys=keys, rng=rng)
    finally:
        for key in keys:
            with contextlib.suppress(StoreError):  # a left-over is harmless, and must not hide what was found
                store.delete(key)


def _settle(check: _Check, store: Store, *, folder: str, keys: list[str], rng: random.Random) -> None:
    for attempt in range(1, _TRIES + 1):
        keys.append(f"{folder}{len(keys)}")
        try:
            check(store, keys[-1])
        except Unavailable:
            if attempt == _TRIES:
                raise
            store.clock.sleep(rng.uniform(0, _FIRST_PAUSE_S * 2**attempt))
        else:
            return


def _demand(store: Store, *, that: bool, otherwise: str) -> None:
    if not that:
        raise Unsupported(
            f"{store.url} cannot hold a queue: it {otherwise}. oqkit needs a store that honours If-None-Match and "
            "If-Match when it writes and shows every write at once, as Amazon S3 does"
        )


# --- the checks, each on a key of its own --------------------------------------------------------


def _check_create(store: Store, key: str) -> None:
    store.create(key, b"1")
    is_refused = _is_refused(lambda: store.create(key, b"2"))
    _demand(store, that=is_refused, otherwise="created an object that existed (If-None-Match is ignored)")
    _demand(store, that=store.read(key).data == b"1", otherwise="refused to create an object, but changed it")


def _check_replace(store: Store, key: str) -> None:
    first = store.create(key, b"1")
    second = store.replace(key, b"2", etag=first)
    is_refused = _is_refused(lambda: store.replace(key, b"3", etag=first))
    _demand(store, that=is_refused, otherwise="replaced an object that had changed (If-Match is ignored)")
    blob = store.read(key)
    _demand(store, that=(blob.data, blob.etag) == (b"2", second), otherwise="does not show what was just written")


def _check_delete(store: Store, key: str) -> None:
    etag = store.create(key, b"1")
    store.delete(key)
    _demand(store, that=_is_refused(lambda: store.read(key)), otherwise="still shows an object that was deleted")
    is_refused = _is_refused(lambda: store.replace(key, b"2", etag=etag))
    _demand(store, that=is_refused, otherwise="replaced an object that was gone (If-Match is ignored)")
    is_refused = _is_refused(lambda: store.create(key, b"3"))
    _demand(store, that=not is_refused, otherwise="does not create an object again after it was deleted")


def _check_list(store: Store, key: str) -> None:
    store.create(key, b"1")
    _demand(store, that=_is_listed(store, key), otherwise="does not list what was just written")
    folder = key.rpartition("/")[0]  # Azure lists folders, too, where an account has a hierarchical namespace
    _demand(store, that=not _is_listed(store, folder), otherwise="lists a folder as an object")
    store.delete(key)
    _demand(store, that=not _is_listed(store, key), otherwise="still lists an object that was deleted")


def _check_racing_creates(store: Store, key: str) -> None:
    _race(store, key, store.create, n_writes=2 * _THREADS)


def _check_racing_replaces(store: Store, key: str) -> None:
    etag = store.create(key, b"before")
    _race(store, key, lambda key, data: store.replace(key, data, etag=etag), n_writes=_THREADS)


_CHECKS: tuple[_Check, ...] = (
    _check_create,
    _check_replace,
    _check_delete,
    _check_list,
    _check_racing_creates,
    _check_racing_replaces,
)


def _is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (Conflict, Missing):
        return True
    return False


def _is_listed(store: Store, key: str) -> bool:
    return any(entry.key == key for entry in store.list(key, limit=10).entries)


def _race(store: Store, key: str, write: Callable[[str, bytes], str], *, n_writes: int) -> None:
    """Let all write at once, and demand that one alone is told that it won, and is the one that is read."""
    start = threading.Barrier(_THREADS)
    bodies = [f"writer {number}".encode() for number in range(n_writes)]

    def wins(body: bytes) -> bool | None:
        start.wait()
        try:
            write(key, body)
        except (Conflict, Missing):
            return False
        except Unavailable:  # S3 answers 409 to some of a crowd: it may have won, or not
            return None
        return True

    with ThreadPoolExecutor(_THREADS) as pool:
        outcomes = dict(zip(bodies, pool.map(wins, bodies), strict=True))
    winners = [body for body, has_won in outcomes.items() if has_won]
    _demand(store, that=len(winners) <= 1, otherwise=f"let {len(winners)} of {n_writes} racing writers win")
    if not winners and None in outcomes.values():
        raise Unavailable(f"{store.url} did not say which of {n_writes} racing writers won")
    _demand(store, that=bool(winners), otherwise=f"let none of {n_writes} racing writers win")
    _demand(
        store, that=store.read(key).data == winners[0], otherwise="shows another writer than the one it told had won"
    )
