"""``oq schedule``: have a call submitted at certain times, and look after that."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from oqkit.cli.answer import Answer, Facts, Said, Table
from oqkit.cli.argument import add_by
from oqkit.cli.command_registry import Opens
from oqkit.cli.parser import subcommands
from oqkit.client.queue import Queue
from oqkit.errors import UsageError
from oqkit.printable import printable
from oqkit.queue.timetable import CatchUp
from oqkit.task.code import import_task

_OPTIONS = ("tz", "cron", "every", "catch_up", "jitter", "retries", "timeout", "ttl", "priority")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what is to be done, and what that needs."""
    add = subcommands(parser)
    create = add("create", _create, help="have a call submitted again and again", opens=Opens.ANY)
    create.add_argument("name", metavar="NAME", help="what to call the schedule")
    create.add_argument("task", metavar="TASK", help="a task type, or MODULE:FUNCTION")
    create.add_argument("-i", "--input", metavar="JSON", help="what to call it with; an object: parameters by name")
    create.add_argument("--cron", metavar="TEXT", help="minute hour day month weekday, such as '0 6 * * 1'; or @daily")
    create.add_argument("--every", metavar="TIME", help="in place of a cron text: from slot to slot, such as 15m")
    create.add_argument("--tz", metavar="ZONE", default="UTC", help="the time zone of the cron text (default UTC)")
    create.add_argument(
        "--catch-up",
        choices=[one.value for one in CatchUp],
        default=CatchUp.SKIP.value,
        help="which slots to submit late that no worker was there for (default skip)",
    )
    create.add_argument("--jitter", metavar="TIME", default="0s", help="put each slot off by up to so long")
    create.add_argument("--retries", type=int, metavar="N", help="how many errors a task survives")
    create.add_argument("--timeout", metavar="TIME", help="the longest that a call may take")
    create.add_argument("--ttl", metavar="TIME", help="what has not started after this time expires")
    create.add_argument("--priority", type=int, metavar="N", help="0 to 255, higher first")
    add("list", _list, help="list the schedules")
    for name, run, text in (
        ("show", _show, "show a schedule"),
        ("pause", _pause, "let nothing be submitted for a schedule"),
        ("resume", _resume, "let a schedule go on with its next slot"),
        ("delete", _delete, "delete a schedule; its jobs stay"),
        ("trigger", _trigger, "submit what a schedule submits at once"),
    ):
        verb = add(name, run, help=text)
        verb.add_argument("name", metavar="NAME", help="what the schedule is called")
        if name == "pause":
            verb.add_argument("--reason", metavar="TEXT", help="why")
            add_by(verb)
            verb.add_argument("--for", dest="resume_after", metavar="TIME", help="until it goes on by itself")


def _create(queue: Queue, options: argparse.Namespace) -> Answer:
    function: Callable[..., object] | str = import_task(options.task) if ":" in options.task else options.task
    given: dict[str, Any] = {name: getattr(options, name) for name in _OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    state = queue.schedule(options.name, function, _input(options.input), **given)
    return Said(line=f"next at {state.next}", facts=asdict(state))


def _input(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise UsageError(f"--input is no JSON: {error}; give for example '{{\"x\": 1}}'") from None


def _list(queue: Queue, options: argparse.Namespace) -> Answer:
    del options
    return Table(frame=queue.schedules().set_index("name"), now=queue.repository.now())


def _show(queue: Queue, options: argparse.Namespace) -> Answer:
    return Facts(facts=asdict(queue.get_schedule(options.name)), now=queue.repository.now())


def _pause(queue: Queue, options: argparse.Namespace) -> Answer:
    state = queue.pause_schedule(options.name, reason=options.reason, resume_after=options.resume_after, by=options.by)
    goes_on = f"goes on at {state.next}" if state.next is not None else f"`oq schedule resume {state.name}` goes on"
    return Said(line=f"paused; {goes_on}", facts=asdict(state))


def _resume(queue: Queue, options: argparse.Namespace) -> Answer:
    state = queue.resume_schedule(options.name)
    return Said(line=f"next at {state.next}", facts=asdict(state))


def _delete(queue: Queue, options: argparse.Namespace) -> Answer:
    queue.unschedule(options.name)
    return Said(line=f"deleted {printable(options.name)}; its jobs are still there", facts={"deleted": options.name})


def _trigger(queue: Queue, options: argparse.Namespace) -> Answer:
    task = queue.trigger(options.name)
    return Said(line=task.id, facts={"task": task.id})
