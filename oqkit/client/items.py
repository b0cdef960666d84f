"""`map(key=)`: items that are known under another job are not run again. docs/explanation/11-once.md says why it is done this way.

Before a job of items is stored, it takes those that nobody has for its own, by one conditional create of the next object of an
index. An item belongs to a job that is stored, and to one that is about to be; what is not stored after a while never
will be, as whoever wants its items puts an empty job into its place first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from oqkit.client.connection import Connection
from oqkit.client.duplicate import canonical, value_difference
from oqkit.client.item_key import is_missing, known_by, plain
from oqkit.client.single import Task
from oqkit.client.spec import JobSpec, job_of
from oqkit.clock import new_id
from oqkit.errors import DuplicateJob, FormatError, Missing, OqError, SchemaError
from oqkit.payload.item_index import Found, ItemIndex, digests, look_up
from oqkit.payload.item_places import ItemPlaces, is_part
from oqkit.payload.kind import Kind
from oqkit.payload.values_input import ValuesInput
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.task.function import Options

MakeSpec = Callable[[Sequence[Any]], JobSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The items of one call; of those with one id, which are equal, the first stands for all."""

    field: str
    values: list[Any]
    ids: list[Any]
    names: list[str]
    """The ids as text that is the same for equal ones: see `oqkit.client.item_key`."""
    places: np.ndarray
    """For each item of the call, which of `values` it is."""

    @classmethod
    def of(cls, given: Iterable[object], *, field: str) -> Items:
        """Take the items of a call; raise `SchemaError` for one without an id, `DuplicateJob` for two inputs of one id."""
        values, ids, places = list[Any](), list[Any](), list[int]()
        known: dict[str, int] = {}
        for number, value in enumerate(given):
            name = _id_of(value, field, number)
            place = known.setdefault(canonical(plain(name)), len(values))
            if place == len(values):
                values.append(value)
                ids.append(name)
            elif differing := value_difference(known_by(values[place], field), known_by(value, field)):
                raise DuplicateJob(
                    f"item {number} has the {field} of another, {name!r:.80}, and another input: {differing}"
                )
            places.append(place)
        return cls(field=field, values=values, ids=ids, names=list(known), places=np.array(places, "int64"))


def _id_of(value: object, field: str, number: int) -> object:
    if not isinstance(value, Mapping):
        raise SchemaError(
            f"input {number} is a {type(value).__name__}: with key={field!r} every one is a dict that has it"
        )
    name = value.get(field)
    if is_missing(name):
        raise SchemaError(f"input {number} has no {field!r}, by which it is to be known: {list(value)!r:.200}")
    return name


class ItemSubmitter:
    """Submits the items of one call as a job."""

    def __init__(self, connection: Connection, spec: JobSpec, items: Items, *, options: Options) -> None:
        """`spec` is that of all the items."""
        self._connection = connection
        self._repository = connection.repository
        self._spec = spec
        self._items = items
        self._options = options
        self._index = IndexLog(connection.repository, keys.items_prefix(spec.function.type, items.field))
        self._ids = digests(items.names)
        self._inputs = digests([canonical(known_by(value, items.field)) for value in items.values])

    def submit(self, spec_of: MakeSpec) -> Job:
        """Store a job of the items that nobody has, and return it; or the one that has exactly these, in this order."""
        while True:
            objects = self._index.objects()
            found = look_up(self._ids, [one for _, one in objects])
            is_known = self._known(found, objects)
            self._check_inputs(found, is_known)
            whole = self._whole(found, is_known)
            if whole is not None:
                return whole
            stored = self._store(spec_of, found, is_known, objects)
            if stored is not None:
                return stored

    def _known(self, found: Found, objects: Sequence[tuple[str, ItemIndex]]) -> np.ndarray:
        """Return which items are tasks of a job that is stored."""
        jobs = [job for job in dict.fromkeys(found.job) if job is not None]
        taken = {one.job: one.at for _, one in objects}
        stored = self._repository.map(lambda job: settled(self._repository, job, taken_s=taken.get(job)), jobs)
        there = {job for job, is_stored in zip(jobs, stored, strict=True) if is_stored}
        return np.array([job in there for job in found.job], "bool")

    def _check_inputs(self, found: Found, is_known: np.ndarray) -> None:
        inputs = np.array(self._inputs.to_pylist(), object)
        for place in np.flatnonzero(is_known & (found.input != inputs))[:1]:
            task = keys.task_id(found.job[place], int(found.row[place]))
            name = self._items.ids[place]
            raise DuplicateJob(
                f"the item with {self._items.field} {name!r:.80} was submitted before with another input, as task {task}: "
                f"{self._difference(task, self._items.values[place])}. Give it another {self._items.field}, or its input of then"
            )

    def _difference(self, task_id: str, value: object) -> str:
        try:
            there = known_by(Task.of_id(self._connection, task_id).input, self._items.field)
            return value_difference(there, known_by(value, self._items.field))
        except OqError as error:
            return f"that cannot be read now: {error}"

    def _whole(self, found: Found, is_known: np.ndarray) -> Job | None:
        """Return the job that has exactly the items of this call, in this order."""
        n = len(found.job)
        if not n or not is_known.all() or len(self._items.places) != n or len(set(found.job)) > 1:
            return None
        if not (found.row == np.arange(n)).all():
            return None
        job = self._repository.read_job(found.job[0]).doc
        return job if job.n_tasks == n and not is_part(job) else None

    def _store(
        self, spec_of: MakeSpec, found: Found, is_known: np.ndarray, objects: Sequence[tuple[str, ItemIndex]]
    ) -> Job | None:
        fresh = np.flatnonzero(~is_known)
        is_all = len(fresh) == len(self._items.values)
        spec = self._spec if is_all else spec_of([self._items.values[place] for place in fresh])
        wanted = job_of(spec, self._repository, name="", options=self._options)
        is_whole = len(fresh) == len(self._items.places)
        places = None if is_whole else self._places(found, is_known, fresh, wanted.id).dump()
        ids, inputs = self._ids.take(pa.array(fresh)), self._inputs.take(pa.array(fresh))
        taken = ItemIndex.of(wanted.id, at=self._repository.now(), ids=ids, inputs=inputs)

        def claim() -> bool:
            return not len(fresh) or self._index.add(replace(taken, at=self._repository.now()), objects)

        return self._connection.submitter.submit_items(spec, wanted, places=places, claim=claim)

    def _places(self, found: Found, is_known: np.ndarray, fresh: np.ndarray, job_id: str) -> ItemPlaces:
        job, row = np.where(is_known, found.job, job_id), found.row.copy()
        row[fresh] = np.arange(len(fresh))
        return ItemPlaces(job=job[self._items.places], row=row[self._items.places])


class IndexLog:
    """The objects of an index, each written once; the newest says which others still count."""

    def __init__(self, repository: Repository, prefix: str) -> None:
        self._repository = repository
        self._prefix = prefix

    def objects(self) -> list[tuple[str, ItemIndex]]:
        """Return the index: its objects by key, newest first. One that somebody deleted is left out."""
        newest = self._newest()
        if newest is None:
            return []
        key, first = newest
        others = self._repository.map(lambda name: (name, self._read(name)), first.base)
        return [(key, first), *((name, one) for name, one in others if one is not None)]

    def add(self, taken: ItemIndex, older: Sequence[tuple[str, ItemIndex]]) -> bool:
        """Write the next object after those; False if somebody else was first."""
        settled_s = self._repository.now() - self._repository.limits.client.item_grace_s
        number = keys.items_number(older[0][0]) + 1 if older else 1
        key = keys.items_key(self._prefix, number)
        self._repository.loop.put_once(key, taken.over(older, settled_s=settled_s).dump())
        there = self._read(key)
        return there is not None and there.job == taken.job

    def _newest(self) -> tuple[str, ItemIndex] | None:
        """Return the object of the highest number, which is listed first."""
        for entry in self._repository.store.list(self._prefix, limit=8).entries:
            if keys.items_number(entry.key) and (one := self._read(entry.key)) is not None:
                return entry.key, one
        return None

    def _read(self, key: str) -> ItemIndex | None:
        try:
            return ItemIndex.load(self._repository.store.read(key).data, key=key)
        except Missing:
            return None


def settled(repository: Repository, job_id: str, *, taken_s: float | None) -> bool:
    """Whether a job that took items is stored; if not, and it had time enough since `taken_s`, it never will be.

    For that an empty job is put into its place. None: it had time enough.
    """
    clock, limits = repository.store.clock, repository.limits.client
    while True:
        try:
            return repository.read_job(job_id).doc.n_tasks > 0
        except FormatError:
            return True  # somebody newer knows what it is
        except Missing:
            if taken_s is None or repository.now() - taken_s > limits.item_grace_s:
                return repository.create_job(_nothing(repository, job_id)).doc.n_tasks > 0
        clock.sleep(limits.item_look_s)


def _nothing(repository: Repository, job_id: str) -> Job:
    return Job(
        id=job_id,
        type="deleted",
        n_tasks=0,
        part_rows=1,
        created=repository.now(),
        origin=new_id(repository.rng),
        mode=ValuesInput.mode,
        input=ValuesInput(kind=Kind.VALUES, items=()).to_json(),
    )
