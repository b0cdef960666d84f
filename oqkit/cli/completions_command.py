"""``oq completions``: the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse
import sys

import shtab

from oqkit.cli.parser import whole_command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say for which shell."""
    parser.add_argument(
        "shell", choices=shtab.SUPPORTED_SHELLS, metavar="SHELL", help=", ".join(shtab.SUPPORTED_SHELLS)
    )


def run(queue: None, options: argparse.Namespace) -> None:
    """Write the script to the standard output."""
    del queue
    sys.stdout.write(f"{shtab.complete(whole_command_line(), options.shell)}\n")
