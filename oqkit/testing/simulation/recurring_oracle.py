"""What must hold of schedules: each slot once, none before its time, none lost, and workers can know of the next."""

from __future__ import annotations

from typing import Protocol

from oqkit.queue.alarm import Alarm, parse_alarm
from oqkit.queue.job import Job
from oqkit.queue.timetable import SCHEDULE, SCHEDULES, CatchUp, Schedule, next_due
from oqkit.testing.simulation.bucket import Bucket, Write

#: How wrong a worker may be about the store's time, which it knows to the second.
CLOCK_S = 2.0
#: How long after its time a slot is submitted in fair weather, where a worker looks every four seconds (`JOIN_STRETCH`).
SOON_S = 25.0


class Watch(Protocol):
    """What is watched, and whom to tell what is wrong."""

    bucket: Bucket
    shards: int

    def expect(self, claim: object, rule: str, message: str) -> None:
        """Note a violation unless `claim` is true."""


class ScheduleFacts:
    """What is known of all schedules: slots are reckoned anew here, by none of the queue's own functions."""

    def __init__(self, watch: Watch, *, late_s: float) -> None:
        self._watch = watch
        self._late_s = late_s
        self.now: dict[str, Schedule] = {}
        """Name to the schedule as it is."""
        self._made: dict[tuple[str, str], Schedule] = {}
        """(name, origin) to the schedule as it was made."""
        self._jobs: dict[tuple[str, str, int], str] = {}
        """(name, origin, number of the slot) to its job."""
        self._alarms: dict[tuple[str, str], set[Alarm]] = {}
        self._paused_s: dict[str, float] = {}
        """Name to since when it is paused for good."""
        self.fair_s = float("inf")
        """From when on nothing of the trouble is under way any more, so that who sees a pause has seen it in time."""
        self.n_fired = 0

    # --- jobs ------------------------------------------------------------------------------------

    def wrote_job(self, job: Job) -> None:
        """Judge a job that was submitted for a slot."""
        slot, now = job.slot, self._watch.bucket.now()
        if slot is None or slot.is_triggered:
            return
        made = self._made.get((slot.schedule, slot.origin))
        self._watch.expect(made, "job of no schedule", job.id)
        if made is None:
            return
        number, which = self._number(made, slot.at), f"{job.id}: slot {slot.at} of {slot.schedule}.{slot.origin}"
        self._watch.expect(number >= 1, "slot before its schedule", which)
        self._watch.expect(abs(self._time(made, number) - slot.at) < 0.01, "no slot", which)
        self._watch.expect(slot.at <= now + CLOCK_S, "slot before its time", which)
        first = self._jobs.setdefault((slot.schedule, slot.origin, number), job.id)
        self._watch.expect(first == job.id, "slot twice", f"{which} is {first} already")
        paused_s = max(self._paused_s.get(slot.schedule, float("inf")), self.fair_s)
        self._watch.expect(now < paused_s + CLOCK_S, "fired while it was paused", which)
        self.n_fired += 1

    # --- schedules -------------------------------------------------------------------------------

    def concerns(self, key: str) -> bool:
        """Whether a key is that of a schedule or an alarm."""
        return key.startswith(SCHEDULES) or parse_alarm(key, shards=self._watch.shards) is not None

    def wrote(self, write: Write) -> None:
        """Judge a write of a schedule or an alarm."""
        alarm = parse_alarm(write.key, shards=self._watch.shards)
        if alarm is None:
            self._wrote_schedule(write)
        else:
            self._wrote_alarm(alarm, write)

    def _wrote_schedule(self, write: Write) -> None:
        self._watch.expect(write.data is not None, "schedule removed", write.key)
        new = SCHEDULE.load(write.data or b"", write.key)
        old = self.now.get(new.name)
        self.now[new.name] = new
        self._watch.expect(new.rev == (old.rev if old else 0) + 1, "rev", write.key)
        is_paused = new.pause is not None and new.pause.until is None and not new.is_deleted
        if not is_paused:
            self._paused_s.pop(new.name, None)
        else:
            self._paused_s.setdefault(new.name, self._watch.bucket.now())
        if old is None or old.origin != new.origin:
            self._made[new.name, new.origin] = new
        elif not new.is_deleted:
            self._check_settled(old, new)

    def _check_settled(self, old: Schedule, new: Schedule) -> None:
        """What is settled is submitted, or may be left out."""
        which = f"{new.name}.{new.origin}"
        self._watch.expect(new.last >= old.last, "settled anew", f"{which}: {old.last} -> {new.last}")
        self._check_owed(old, new)
        first, last = self._number(new, old.last) + 1, self._number(new, new.last)
        for number in range(first, last + 1):
            is_late = self._time(new, number) < self._watch.bucket.now() - self._late_s + CLOCK_S
            may_be_left_out = is_late and (
                new.catch_up is CatchUp.SKIP or (new.catch_up is CatchUp.LAST and number < last)
            )
            is_there = (new.name, new.origin, number) in self._jobs or self._is_paused(old, self._time(new, number))
            self._watch.expect(is_there or may_be_left_out, "slot lost", f"{which}: slot {number} of {first} to {last}")

    def _check_owed(self, old: Schedule, new: Schedule) -> None:
        """What was due when a pause began was settled before."""
        if new.pause is None or new.pause == old.pause or new.rhythm.jitter_s:
            return
        due = self._time(new, self._number(new, new.last) + 1)
        is_settled = due > new.pause.at - CLOCK_S or self._is_paused(old, due)
        self._watch.expect(is_settled, "slot forgotten over a pause", f"{new.name}: {due} at {new.pause.at}")

    def _is_paused(self, schedule: Schedule, at: float) -> bool:
        """Whether a slot may be in the pause of a schedule, if only by the jitter."""
        pause = schedule.pause
        if pause is None or at < pause.at - CLOCK_S - schedule.rhythm.jitter_s:
            return False
        return pause.until is None or at < pause.until + CLOCK_S

    def check_in_time(self, *, busy_s: float) -> None:
        """In fair weather no schedule stands still for longer than workers may be busy with a call, and some more."""
        now = self._watch.bucket.now()
        for schedule in self.now.values():
            due = self._time(schedule, self._number(schedule, schedule.last) + 1) + schedule.rhythm.jitter_s
            is_in_time = schedule.is_deleted or due > now - SOON_S - busy_s
            self._watch.expect(is_in_time, "schedule stands still", f"{schedule.name}: {due} at {now}")

    # --- alarms ----------------------------------------------------------------------------------

    def _wrote_alarm(self, alarm: Alarm, write: Write) -> None:
        known = self._alarms.setdefault((alarm.name, alarm.origin), set())
        if write.data is not None:
            is_made = (alarm.name, alarm.origin) in self._made
            self._watch.expect(is_made, "alarm before its schedule", write.key)
            known.add(alarm)
            return
        known.discard(alarm)
        schedule = self.now[alarm.name]
        found = None if schedule.is_deleted or schedule.origin != alarm.origin else next_due(schedule)
        if found is not None:
            is_told = any(one.due <= found[1] for one in known)
            self._watch.expect(is_told, "no alarm", f"{alarm.name}: {write.node.name} took down {write.key}")

    # --- arithmetic ------------------------------------------------------------------------------

    def _number(self, schedule: Schedule, at: float) -> int:
        return int((at - schedule.rhythm.since + 0.0005) // (schedule.rhythm.every_s or 1.0))

    def _time(self, schedule: Schedule, number: int) -> float:
        return schedule.rhythm.since + number * (schedule.rhythm.every_s or 1.0)
