"""``oq schema``: keep JSON Schemas of what task types take and return."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from oqkit.cli.answer import Answer, Said, Table
from oqkit.cli.argument import add_by, json_value
from oqkit.cli.command_registry import Opens
from oqkit.cli.parser import subcommands
from oqkit.client.queue import Queue
from oqkit.errors import UsageError
from oqkit.printable import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a task type, and what that needs."""
    add = subcommands(parser)
    publish = add("publish", _publish, help="store the schema of a task type", opens=Opens.ANY)
    _add_type(publish)
    publish.add_argument("--input", metavar="FILE", help="the JSON Schema of what it takes")
    publish.add_argument("--output", metavar="FILE", help="the JSON Schema of what it returns")
    add_by(publish)
    _add_type(add("get", _get, help="show the schema of a task type"))
    add("list", _list, help="list the schemas")
    _add_type(add("delete", _delete, help="delete the schema of a task type"))
    validate = add("validate", _validate, help="say what is wrong with a value by the schema of a task type")
    _add_type(validate)
    validate.add_argument("value", metavar="JSON", help="the value")
    validate.add_argument("--part", choices=("input", "output"), default="input", help="as what (default input)")


def _add_type(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", metavar="TYPE", help="the task type: the function's name, as workers know it")


def schema_file(path: str) -> Any:
    """Read a file of JSON, or raise `UsageError`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path!r} cannot be read: {error}") from None
    return json_value(text, what=path)


def _publish(queue: Queue, options: argparse.Namespace) -> Answer:
    files = {"input": options.input, "output": options.output}
    schema = {name: schema_file(path) for name, path in files.items() if path is not None}
    version = queue.publish_schema(options.type, schema, by=options.by)
    return Said(line=f"version {version}", facts={"type": options.type, "version": version})


def _get(queue: Queue, options: argparse.Namespace) -> Answer:
    found = queue.get_schema(options.type)
    if found is None:
        raise UsageError(f"no schema is published for task type {options.type!r}")
    return Said(line=json.dumps(found, indent=2), facts=found)


def _list(queue: Queue, options: argparse.Namespace) -> Answer:
    del options
    return Table(frame=queue.schemas().set_index("type"), now=queue.repository.now())


def _delete(queue: Queue, options: argparse.Namespace) -> Answer:
    is_gone = queue.delete_schema(options.type)
    name = printable(options.type)
    line = f"deleted {name}" if is_gone else f"somebody published another schema of {name} just now, which stays"
    return Said(line=line, facts={"type": options.type, "deleted": is_gone})


def _validate(queue: Queue, options: argparse.Namespace) -> Answer:
    queue.validate(options.type, json_value(options.value, what="value"), options.part)
    return Said(line="fits", facts={"fits": True})
