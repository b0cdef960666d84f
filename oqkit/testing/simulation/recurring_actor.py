"""Who makes schedules, and gives orders about them."""

from __future__ import annotations

import contextlib

from oqkit.client.queue import Queue
from oqkit.clock import new_id
from oqkit.errors import Missing, OqError
from oqkit.queue import firing
from oqkit.queue.cron import Rhythm
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.timetable import CatchUp, Schedule, schedule_key
from oqkit.testing.simulation.actor import Actor
from oqkit.testing.simulation.bucket import SimStore
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.plan import Kill, ScheduleOrderPlan, SchedulePlan
from oqkit.testing.simulation.world import World

TYPE = "tick"
"""What schedules submit: of a type that no worker has, as it is about submitting alone."""


class Maker(Actor):
    """Makes a schedule, again and again until that is known to be done."""

    def __init__(self, world: World, plan: SchedulePlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan
        self._made: Schedule | None = None

    def begin(self, node: Node, store: SimStore, kill: Kill | None) -> None:
        if self.n_lives == 1:
            self.world.n_submitting += 1
        super().begin(node, store, kill)

    def act(self, node: Node, queue: Queue) -> None:
        while True:
            try:
                self._made = self._made or schedule_of(queue.repository, self.plan)
                firing.create_schedule(queue.repository, self._made)
            except OqError:
                node.clock.sleep(1.0)
            else:
                break
        self.world.n_submitting -= 1


def schedule_of(repository: Repository, plan: SchedulePlan, *, since: float | None = None) -> Schedule:
    """Return a new schedule; `since` is when the one that it takes the place of was made."""
    now = repository.now()
    job = Job(
        id="",
        type=TYPE,
        n_tasks=1,
        part_rows=1,
        created=now,
        origin="",
        mode="value",
        content_digest="content",
        input={"kind": "values", "values": [1]},
    )
    since = round(now, 3) if since is None else since
    schedule = Schedule(
        name=plan.name,
        origin=new_id(repository.rng),
        rhythm=Rhythm(since=since, every_s=plan.every_s, jitter_s=plan.jitter_s),
        last=since,
        catch_up=CatchUp(plan.catch_up),
        template={},
    )
    return firing.with_template(repository, schedule, job)


class ScheduleOperator(Actor):
    """Pauses, resumes, triggers or deletes a schedule, or makes it anew."""

    def __init__(self, world: World, plan: ScheduleOrderPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan

    def is_wanted_again(self) -> bool:
        return False

    def act(self, node: Node, queue: Queue) -> None:
        while True:
            try:
                with contextlib.suppress(Missing):  # it was deleted, or is not there yet
                    self._order(queue.repository)
            except OqError:
                node.clock.sleep(1.0)
            else:
                break
        self.world.score.orders += 1

    def _order(self, repository: Repository) -> None:
        plan, name = self.plan, self.plan.schedule.name
        if plan.verb == "pause":
            until = None if plan.for_s is None else repository.now() + plan.for_s
            firing.pause_schedule(repository, name, until=until)
        elif plan.verb == "resume":
            firing.resume_schedule(repository, name)
        elif plan.verb == "trigger":
            firing.trigger_schedule(repository, name)
        else:
            before = firing.schedules(repository).read(schedule_key(name)).doc
            firing.delete_schedule(repository, name)
            if plan.verb == "make anew":  # with all its slots, as from a file that says since when they are
                new = schedule_of(repository, plan.schedule, since=before.rhythm.since)
                firing.create_schedule(repository, new)


def begin_schedules(world: World) -> None:
    """Let everybody live who makes schedules or gives orders about them, each at its time."""
    for schedule in world.plan.schedules:
        world.kernel.at(schedule.at_s, Maker(world, schedule).live)
    for order in world.plan.schedule_orders:
        world.kernel.at(order.at_s, ScheduleOperator(world, order).live)


def stop_schedules(world: World) -> None:
    """Somebody deletes all schedules: they would go on for ever."""
    longest_s = max((seconds for job in world.plan.jobs for seconds in job.asks.values()), default=0.0)
    world.oracle.schedules.check_in_time(busy_s=longest_s)
    for plan in world.plan.schedules:
        order = ScheduleOrderPlan(name=f"end.{plan.name}", at_s=0.0, schedule=plan, verb="delete", kills=())
        ScheduleOperator(world, order).live()
    world.are_schedules_stopped = True


def pause_one(world: World) -> None:
    """Once the weather is fair a schedule is paused, and from then on submits nothing."""
    for plan in world.plan.schedules[:1]:
        order = ScheduleOrderPlan(name=f"hush.{plan.name}", at_s=0.0, schedule=plan, verb="pause", kills=())
        ScheduleOperator(world, order).live()
