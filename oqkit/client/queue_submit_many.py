"""The verb of `Queue` that submits many calls, of one function or of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, overload

from oqkit.client.handle import Job
from oqkit.client.option import Payload
from oqkit.client.queue_submit import QueueSubmitting
from oqkit.client.single import Task
from oqkit.client.spec import Function, JobSpec, function_of
from oqkit.client.values_spec import spec_of_values
from oqkit.errors import OqError, PartlySubmitted, SchemaError, UsageError
from oqkit.task.function import options_of

Call = tuple[Callable[..., object] | str, object]
"""A function, or the name of a task type, and the input of one call."""


class QueueSubmittingMany(QueueSubmitting):
    """Stores many tasks at once."""

    @overload
    def submit_many(self, fn: Iterable[Call], *, payload: Payload | int = "auto", **options: object) -> list[Task]: ...
    @overload
    def submit_many(self, fn: Callable[..., object] | str, inputs: Iterable[object], **options: Any) -> Job: ...
    def submit_many(
        self, fn: Any, inputs: Any = None, *, payload: Payload | int = "auto", **options: Any
    ) -> Job | list[Task]:
        """Submit ``[(function, input), …]`` and return their tasks in this order; ``submit_many(fn, inputs)`` is `map`.

        Each pair is one call as in `submit`, of a function or a task type of its own; the options are those of all. Any
        iterable of pairs will do. All are checked before anything is stored: a call that does not fit raises
        `SchemaError`, or `UsageError`, with its number. They are stored one by one, several at a time: where that fails half-way,
        `PartlySubmitted` says which tasks there are. Many calls of one function are cheaper as one job: use `map`.
        """
        if inputs is not None:
            return self.map(fn, inputs, payload=payload, **options)
        chosen, specs = options_of(options), list(self._specs(fn, payload))
        stored = self.submitter.submit_each(specs, chosen)
        tasks = [None if isinstance(one, OqError) else Task(self, one) for one in stored]
        failures = {number: one for number, one in enumerate(stored) if isinstance(one, OqError)}
        if failures:
            raise PartlySubmitted(tasks, failures)
        return [task for task in tasks if task is not None]

    def _specs(self, calls: object, payload: Payload | int) -> Iterator[JobSpec]:
        limits, known = self.repository.limits, dict[int | str, Function]()
        for number, (fn, given) in enumerate(_pairs(calls)):
            name = fn if isinstance(fn, str) else id(fn)
            try:
                if name not in known:
                    known[name] = function_of(fn, limits=limits.task)
                yield spec_of_values(
                    [given], known[name], part_rows=1, timer=self.timer, limits=limits, payload=payload
                )
            except UsageError as error:
                kind = SchemaError if isinstance(error, SchemaError) else UsageError
                raise kind(f"call {number}: {error}") from None


def _pairs(calls: object) -> Iterator[Call]:
    if isinstance(calls, (str, bytes, Mapping)) or not isinstance(calls, Iterable):
        raise UsageError(
            "submit_many wants pairs of a function (or task type) and its input, [(fn, input), …], or a function and its inputs"
        )
    for number, call in enumerate(calls):
        if not isinstance(call, (tuple, list)) or len(call) != 2:  # noqa: PLR2004
            raise UsageError(
                f"call {number} is {call!r:.80}; it must be a pair of a function (or task type) and its input"
            )
        fn, given = call
        yield fn, given
