"""The command ``oq``: run workers, and look at and steer jobs from a terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from oqkit.cli.command_registry import Opens
from oqkit.cli.parser import command_line
from oqkit.cli.terminal import close, complain, width, write
from oqkit.errors import OqError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 well, 1 the queue said no, 2 the call was wrong, 3 the store never answered a worker.

    A worker under `local_workers` (``--exit-with``) exits with 4 if it is to be started anew.
    """
    options = command_line().parse_args(arguments)
    try:
        return _carry_out(options)
    except OqError as error:
        complain(error)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        close()
        return 0
    except KeyboardInterrupt:
        return 130


def _carry_out(options: argparse.Namespace) -> int:
    queue = None
    if options.opens is not Opens.NOTHING:
        from oqkit.cli.opening import connected  # with all that a queue needs: half a second that `--help` does without

        queue = connected(options)
    answer = options.run(queue, options)
    if answer is None:
        return 0
    write(f"{json.dumps(answer.data(), indent=2)}\n" if options.json else answer.text(width()))
    return int(answer.code)
