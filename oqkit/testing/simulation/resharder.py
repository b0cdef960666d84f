"""Who gives the queue another number of shards."""

from __future__ import annotations

from oqkit.client.queue import Queue
from oqkit.errors import OqError
from oqkit.testing.simulation.actor import Actor
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.plan import ReshardPlan
from oqkit.testing.simulation.world import World


class Resharder(Actor):
    """Repeats it, also after a death, until it is told that it is done."""

    def __init__(self, world: World, plan: ReshardPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan

    def act(self, node: Node, queue: Queue) -> None:
        while True:
            try:
                queue.reshard(self.plan.shards)
            except OqError:
                node.clock.sleep(1.0)
            else:
                return
