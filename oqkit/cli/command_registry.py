"""Which commands there are. A new one is a line here and a file, ``<name>_command.py``, which is imported only when it is asked for.

The file has two functions:

* ``arguments(parser)`` says what the command takes. One with sub-commands (``oq schema publish``) names them there,
  with `subcommands`;
* ``run(queue, options)`` makes the call, and returns an `Answer` or None. `queue` is None for a command that needs none.

Those that every command takes (where the queue is, ``--json``) are added by `oqkit.cli.parser`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Opens(StrEnum):
    """Which queue a command is given."""

    EXISTING = "existing"
    """One that is there: whoever looks at a queue, or steers one, does not want a new one for a typing error."""
    ANY = "any"
    """One that is created if it is new."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: `help` is its line in ``oq --help``."""

    help: str
    opens: Opens = Opens.EXISTING
    answers: bool = True
    """Whether it returns an `Answer`, which ``--json`` shows as data."""


COMMANDS = {
    "worker": Command(help="run tasks until stopped", opens=Opens.ANY, answers=False),
    "submit": Command(help="submit one call", opens=Opens.ANY),
    "submit-many": Command(help="submit many calls, of any task types", opens=Opens.ANY),
    "jobs": Command(help="list the newest jobs, of all or of a type, a status or with tags"),
    "list": Command(help="list jobs by type, status and tags, or the tasks of a job"),
    "status": Command(help="show how far a job is, or how the queue is"),
    "get": Command(help="show what is known of a task"),
    "history": Command(help="show what happened to a task"),
    "errors": Command(help="show what failed"),
    "result": Command(help="wait for a job, and show what it gave or write it to a file"),
    "gather": Command(help="submit one call on the results of others"),
    "trace": Command(help="show what a job waits for and what comes of it"),
    "signal": Command(help="send a value to tasks that wait for it"),
    "cancel": Command(help="cancel what has not ended"),
    "retry": Command(help="run what failed again"),
    "pause": Command(help="let workers start no more tasks of the queue, of a type, or of a job"),
    "resume": Command(help="end a pause"),
    "reprioritize": Command(help="give a job another priority"),
    "outbox": Command(help="put what transactions of a database recorded into the queue"),
    "delete": Command(help="delete a job with its inputs and results"),
    "retention": Command(help="show or set for how long the bucket keeps earlier versions"),
    "reshard": Command(help="spread what is submitted from now on over another number of shards"),
    "gc": Command(help="remove old jobs, uploads without a job, and outputs that lost a race"),
    "tag": Command(help="set or remove tags of a job"),
    "untag": Command(help="remove tags of a job"),
    "workers": Command(help="list the workers"),
    "completions": Command(
        help="print the script that completes all this in a shell", opens=Opens.NOTHING, answers=False
    ),
    "schema": Command(help="keep the schemas of task types"),
    "schedule": Command(help="have a call submitted at certain times"),
}
