"""Who submits items that others submit as well, with `map(key=)`: each of them is one task, whatever happens."""

from __future__ import annotations

from collections import Counter

from oqkit.client.queue import Queue
from oqkit.errors import OqError
from oqkit.payload.input import input_of
from oqkit.payload.values_input import ValuesInput
from oqkit.testing.simulation.actor import Actor
from oqkit.testing.simulation.bucket import SimStore
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.plan import CallPlan, Kill
from oqkit.testing.simulation.world import World

ITEMS = "items"
"""A task type that no worker runs: what is asked is who stores what."""


class Caller(Actor):
    """Submits some items, again and again until it is known that they are stored."""

    def __init__(self, world: World, plan: CallPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan

    def begin(self, node: Node, store: SimStore, kill: Kill | None) -> None:
        if self.n_lives == 1:
            self.world.n_submitting += 1
        super().begin(node, store, kill)

    def act(self, node: Node, queue: Queue) -> None:
        items = [{"n": n} for n in self.plan.items]
        while True:
            try:
                queue.map(ITEMS, items, key="n", payload="inline")
            except OqError:
                node.clock.sleep(1.0)
            else:
                break
        self.world.n_submitting -= 1
        tasks = tasks_of_items(self.world)
        twice = [n for n, n_tasks in tasks.items() if n_tasks > 1]
        self.world.oracle.expect(not twice, "one item, two tasks", f"{self.plan.name}: {twice}")
        lost = set(self.plan.items) - tasks.keys()
        self.world.oracle.expect(not lost, "item without a task", f"{self.plan.name}: {lost}")


def tasks_of_items(world: World) -> Counter[int]:
    """Return how many stored tasks there are of each item."""
    found: Counter[int] = Counter()
    for job in world.oracle.jobs.values():
        if job.type == ITEMS and job.n_tasks:
            stored = input_of(job)
            assert isinstance(stored, ValuesInput)
            found.update(item["n"] for item in stored.values() or ())
    return found
