"""The command line: all commands by name, and the arguments of the one that is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from oqkit.cli.command_registry import COMMANDS, Command, Opens

Subcommand = Callable[..., argparse.ArgumentParser]
"""``add(name, run, help=…, opens=…)`` adds a sub-command, and returns the parser for its arguments."""


def command_line() -> argparse.ArgumentParser:
    """Return the parser of ``oq``. What it parses has `run`, and `opens`: which queue `run` is to be given."""
    parser = argparse.ArgumentParser(prog="oq", description="Durable dataframe jobs on an S3 bucket, or a directory.")
    parser.add_argument("--version", action="version", version=f"oqkit {version('oqkit')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, description=_sentence(command.help), asked_for=(name, command))
    return parser


def whole_command_line() -> argparse.ArgumentParser:
    """Return the parser of ``oq`` with the arguments of all commands, which imports every one of them."""
    parser = command_line()
    for command in choices_of(parser).values():
        command.fill()
    return parser


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, which imports the command's file once there is something to parse."""

    def __init__(self, *, asked_for: tuple[str, Command] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._asked_for = asked_for

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.fill()
        return super().parse_known_args(args, namespace)

    def fill(self) -> None:
        """Add the arguments of the command."""
        if self._asked_for is None:
            return
        (name, command), self._asked_for = self._asked_for, None
        module = importlib.import_module(f"oqkit.cli.{name.replace('-', '_')}_command")
        self.set_defaults(run=getattr(module, "run", None), opens=command.opens, json=False)
        module.arguments(self)
        for each in _leaves(self):
            if command.answers:
                each.add_argument("--json", action="store_true", help="as JSON, for programs")
            if command.opens is not Opens.NOTHING:
                _add_connection(each)


def subcommands(parser: argparse.ArgumentParser) -> Subcommand:
    """Let a command have sub-commands; return what adds one."""
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)

    def add(
        name: str,
        run: Callable[..., object],
        *,
        help: str,  # noqa: A002 - as argparse calls it
        opens: Opens | None = None,
    ) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=help, description=_sentence(help))
        verb.set_defaults(run=run, **({} if opens is None else {"opens": opens}))
        return verb

    return add


def choices_of(parser: argparse.ArgumentParser) -> dict[str, CommandParser]:
    """Return the commands of a parser by name; none for one without."""
    actions: Sequence[argparse.Action] = parser._actions  # noqa: SLF001 - argparse has no other way to ask
    return next((dict(each.choices) for each in actions if isinstance(each, argparse._SubParsersAction)), {})  # noqa: SLF001


def _leaves(parser: argparse.ArgumentParser) -> Sequence[argparse.ArgumentParser]:
    return list(choices_of(parser).values()) or [parser]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the queue (default: OQ_URL, oq.toml, or a directory in your home)")
    parser.add_argument("--endpoint-url", help="of an S3 server that is not AWS")
    parser.add_argument("--region")
    parser.add_argument("--profile", help="a [profiles.NAME] table of oq.toml")
