"""Who submits one task again and again, with a key that counts in some scope and for some time."""

from __future__ import annotations

from oqkit.client.duplicate import input_digest
from oqkit.client.handle import Job
from oqkit.client.keyed import submission_key
from oqkit.client.queue import Queue
from oqkit.client.single import Task
from oqkit.queue.key import keyed_job_id
from oqkit.testing.simulation.actor import Submitter
from oqkit.testing.simulation.bucket import SimStore
from oqkit.testing.simulation.plan import JobPlan
from oqkit.testing.simulation.world import World

GENERATIONS = 200
"""How many tasks one key may have in a schedule."""


class KeyedSubmitter(Submitter):
    """Submits a task that may be there, or may have been there: some of the kills of the plan are for each of its kind."""

    def __init__(self, world: World, plan: JobPlan, number: int) -> None:
        super().__init__(world, plan, number)
        self.kills = list(plan.kills[number :: plan.n_submitters + len(plan.again_s)])
        key = submission_key(plan.key, scope=plan.scope, key_ttl=plan.key_ttl)
        assert key is not None
        scope = key.scope_of(plan.type)
        ids = [keyed_job_id(scope, plan.key, generation) for generation in range(1, GENERATIONS)]
        world.oracle.generations.update(zip(ids, ["", *ids], strict=False))
        self._began, self._doubt_s = 0.0, 0.0

    def _submit(self, queue: Queue) -> Job | Task:
        plan, store = self.plan, queue.repository.store
        assert isinstance(store, SimStore)
        self._began, self._doubt_s = store.now(), store.doubt_s()
        value = plan.number * 1000
        return queue.submit(plan.type, value, key=plan.key, scope=plan.scope, key_ttl=plan.key_ttl, **self._options())

    def _check_identity(self, job_id: str) -> None:
        """It is one of the tasks of that key, with this input, and it held the key when it was asked for."""
        world, plan = self.world, self.plan
        world.by_plan.setdefault(plan.number, job_id)
        world.oracle.expect(job_id in world.oracle.generations, "task without the key", f"{plan.name}: {job_id}")
        job = world.oracle.jobs[job_id]
        found, mine = (job.type, job.content_digest), (plan.type, input_digest(plan.number * 1000))
        world.oracle.expect(found == mine, "task of another key", f"{plan.name}: {job_id}")
        if plan.key_ttl is None:
            world.oracle.expect(job.key_until is None, "key for a time", job_id)
            return
        ends = job.key_until or 0.0
        world.oracle.expect(abs(ends - job.created - plan.key_ttl) < 1e-3, "time of a key", f"{job_id}: {ends}")
        late_s = self._began - self._doubt_s - ends
        world.oracle.expect(late_s <= 0, "key held too long", f"{plan.name}: {job_id}, {late_s:.2f} s")
