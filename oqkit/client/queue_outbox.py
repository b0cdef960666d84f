"""The verbs of `Queue` for submissions that belong to a transaction of a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oqkit.client.connection import Connection
from oqkit.client.outbox import Outbox
from oqkit.client.outbox_database import Database
from oqkit.client.outbox_relay import OutboxRelay
from oqkit.client.outbox_table import TABLE, check_table, make_table
from oqkit.errors import UsageError
from oqkit.task.function import seconds


class QueueOutbox(Connection):
    """Submits together with what the caller writes into a database, or not at all."""

    def outbox(self, connection: object, *, table: str = TABLE) -> Outbox:
        """Return an outbox: ``with q.outbox(connection) as box: box.submit(fn, input, **options)``.

        `connection` is a SQLAlchemy Connection or Session, or a DB-API connection, of any driver. What is recorded is written
        into `table` when the block ends, in the caller's own transaction: it reaches the queue if that is committed, by a
        relay (`outbox_relay`, or ``oq outbox relay``), and not at all if it is rolled back.
        """
        return Outbox(self, connection, table=check_table(table))

    def outbox_setup(self, connection: object, *, table: str = TABLE) -> None:
        """Make the table of an outbox, if it is not there, in the caller's transaction: SQLite or PostgreSQL."""
        make_table(Database(connection), table=check_table(table))

    def outbox_relay(
        self, database: str | Callable[[], object], *, table: str = TABLE, keep: float | str = "7d"
    ) -> OutboxRelay:
        """Return a relay, whose `run` puts what the outbox holds into this queue, each record exactly once, until it is stopped.

        `database` is a URL for SQLAlchemy, or a function that opens a connection of the relay's own. Any number of relays may
        work on a table. Records that were delivered are deleted after `keep` (seconds, or text such as ``"7d"``).
        """
        connect = _connecting(database) if isinstance(database, str) else database
        return OutboxRelay(self, connect, table=check_table(table), keep_s=seconds(keep, what="keep"))


def _connecting(url: str) -> Callable[[], Any]:
    try:
        import sqlalchemy as sa  # only who gives a URL needs it
    except ImportError:
        raise UsageError(
            "a database given by its URL is opened by SQLAlchemy: pip install sqlalchemy, and its driver"
        ) from None
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise UsageError(f"database: {error!s:.200}") from None
    return engine.connect
