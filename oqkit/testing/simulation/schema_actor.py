"""Who publishes schemas of a task type, deletes them, and submits by whichever is published."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

from oqkit.client.queue import Queue
from oqkit.errors import OqError, SchemaError, UsageError
from oqkit.testing.simulation.actor import Actor
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.plan import Kill, Plan, SchemaPlan
from oqkit.testing.simulation.schema_fact import number_of
from oqkit.testing.simulation.world import World

TYPE = "checked"
"""A task type that no worker runs: what is asked is what is stored."""
UNFIT = "no number"
N_TIMES = 3


def with_schemas(plan: Plan) -> Plan:
    """Let people publish and delete schemas while others submit by them, at nearly the same time, in some of the schedules."""
    rng = random.Random(f"{plan.seed}/schemas")  # noqa: S311 - a seed must replay
    if rng.random() < 0.8:
        return plan
    near_s = rng.uniform(0.0, plan.chaos_s)

    def person(number: int) -> SchemaPlan:
        name = f"schema{number}"
        kill = Kill(name=f"{name}.kill0", write=rng.choice((1, 2)), is_after=rng.random() < 0.5)
        return SchemaPlan(
            name=name,
            number=number * N_TIMES,
            at_s=near_s + rng.random() * 3.0,
            verb=rng.choice(("publish", "publish", "delete", "submit", "submit", "submit unfit")),
            kills=(kill,) if rng.random() < 0.3 else (),
        )

    return replace(plan, schemas=tuple(person(number) for number in range(1, rng.choice((6, 10, 14)))))


class SchemaPerson(Actor):
    """Does one thing with the schema of a type again and again, or submits by it twice; who dies over it does not come back."""

    def __init__(self, world: World, plan: SchemaPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan

    def is_wanted_again(self) -> bool:
        return False

    def act(self, node: Node, queue: Queue) -> None:
        verb, since = self.plan.verb, self.world.bucket.now()
        with contextlib.suppress(OqError):  # the store does not answer, and nobody knows
            if verb.startswith("submit"):
                for n in range(2):
                    self._submit(queue, f"{self.plan.name}.{n}", since=since)
                    node.clock.sleep(0.5)
                return
            for n in range(N_TIMES):
                self._publish(queue, self.plan.number + n) if verb == "publish" else self._delete(queue)

    def _publish(self, queue: Queue, number: int) -> None:
        since = self.world.bucket.now()
        queue.publish_schema(TYPE, {"input": {"type": "integer"}, "output": {"maximum": number}})
        self._expect(number in self._in_force(since), "published schema was never in force")

    def _delete(self, queue: Queue) -> None:
        since = self.world.bucket.now()
        is_gone = queue.delete_schema(TYPE)
        self._expect(not is_gone or None in self._in_force(since), "deleted schema stays")

    def _submit(self, queue: Queue, name: str, *, since: float) -> None:
        """Submit a call that fits, or one that does not; `since` is when this process may have read the schema first.

        Of calls that fit there is none in the job, which so has ended.
        """
        inputs = [UNFIT] if self.plan.verb == "submit unfit" else []
        try:
            job = queue.map(TYPE, inputs, name=name, schema="published")
        except SchemaError:
            self._expect(inputs, "schema refused what fits")
            self._expect_nothing(name)
        except UsageError:
            self._expect(None in self._in_force(since), "published schema not found")
            self._expect_nothing(name)
        else:
            self._expect(not inputs, "schema let pass what does not fit")
            number = number_of(self.world.oracle.jobs[job.id].output_schema)
            self._expect(number is not None and number in self._in_force(since), "job has a schema not in force")

    def _expect_nothing(self, name: str) -> None:
        is_stored = any(job.name == name for job in self.world.oracle.jobs.values())
        self._expect(not is_stored, "refused and stored all the same")

    def _in_force(self, since: float) -> set[int | None]:
        return self.world.oracle.schemas.in_force(since)

    def _expect(self, claim: object, rule: str) -> None:
        self.world.oracle.expect(claim, rule, f"{self.plan.name} ({self.plan.verb})")
