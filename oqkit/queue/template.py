"""What a schedule submits: a job but for what follows from the slot, and what a signature of it covers. Pure.

A worker that fires a slot vouches for nothing: it may have no key, and who can write the queue could have it sign
anything. So the signature is that of whoever made the schedule. It covers the template together with the name, the
origin and the rhythm of the schedule, and goes into the job of every slot as it is. Whoever reads such a job takes what
it covers from the signed text, and the rest has to follow from it: the id from the slot, and the slot from the rhythm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oqkit.queue import key as keys
from oqkit.queue import record
from oqkit.queue.cron import Rhythm, millis, next_slot

SCOPE = "schedule"
TEMPLATE_ID = "template"
"""The job id of a template, which is no job's."""


def slot_job_id(name: str, origin: str, slot: float) -> str:
    """Return the id of a slot's job: that it can be created once is why a slot is submitted once."""
    return keys.keyed_job_id(SCOPE, f"{name}.{origin}", millis(slot))


def filled(template: Mapping[str, Any], *, job_id: str, created: float) -> dict[str, Any]:
    """Return the fields of a job that is submitted at a time: its time to live begins then."""
    policy = dict(template["policy"])
    if policy.get("expires_at") is not None:
        policy["expires_at"] += created - template["created"]
    return {**template, "job": job_id, "created": created, "policy": policy}


def signed_part(name: str, origin: str, rhythm: Rhythm) -> dict[str, Any]:
    """Return what a signature covers beside the template."""
    return {"name": name, "origin": origin, "rhythm": record.write(rhythm)}


def covered(signed: Mapping[str, Any], doc: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the fields that a signed text gives a job; raise `ValueError` if it is not a text for this job."""
    schedule = signed.get("schedule")
    if schedule is None:
        return {name: signed[name] for name in names}
    job_id, at = doc["job"], doc["slot"]["at"]
    if doc["slot"]["schedule"] != schedule["name"] or job_id != slot_job_id(schedule["name"], schedule["origin"], at):
        raise ValueError(f"what is signed is the schedule {schedule['name']!r:.80}, and this is no slot of it")
    if next_slot(record.read(Rhythm, schedule["rhythm"]), at - 0.001) != at or doc["created"] < at:
        raise ValueError(f"the schedule {schedule['name']!r:.80}, as it is signed, is not due then")
    fields = filled(signed, job_id=job_id, created=doc["created"])
    return {name: fields[name] for name in names}
