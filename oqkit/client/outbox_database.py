"""A connection to a database, whoever made it: SQLAlchemy, or a driver with Python's DB-API. Nothing of either is imported here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from oqkit.errors import UsageError

Row = Sequence[Any]

_MODULES = {"sqlite3": "sqlite", "psycopg": "postgresql", "psycopg2": "postgresql", "pg8000": "postgresql"}


class Dialect(StrEnum):
    """A database whose SQL is known here."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Database:
    """What is asked of a connection; the transaction is its owner's, and `commit` and `close` are for whoever that is."""

    def __init__(self, connection: Any) -> None:
        """Take a SQLAlchemy Connection or Session, or a DB-API connection; raise `UsageError` for anything else."""
        self._connection = _connection_of(connection)
        if hasattr(self._connection, "exec_driver_sql"):
            dialect = self._connection.dialect
            self._name, self._paramstyle = str(dialect.name), str(dialect.paramstyle)
            self.errors: tuple[type[Exception], ...] = (sys.modules["sqlalchemy.exc"].SQLAlchemyError,)
        else:
            module = _module_of(self._connection)
            self._name, self._paramstyle = (
                _MODULES.get(module.__name__.partition(".")[0], module.__name__),
                module.paramstyle,
            )
            self.errors = (module.Error,)
        """What trouble with the database is raised as."""

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks; raise `UsageError` if that is not known."""
        if self._name not in tuple(Dialect):
            raise UsageError(
                f"an outbox in {self._name}: only SQLite and PostgreSQL are known, so make its table yourself"
            )
        return Dialect(self._name)

    def execute(self, sql: str, values: Row = ()) -> list[Row]:
        """Carry out one statement, whose values are ``?``; return the rows that it gives."""
        sql = self._written(sql, len(values))
        if hasattr(self._connection, "exec_driver_sql"):
            found = self._connection.exec_driver_sql(sql, tuple(values))
            return list(found.fetchall()) if found.returns_rows else []
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, tuple(values))
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def execute_each(self, sql: str, rows: Sequence[Row]) -> None:
        """Carry out one statement for each of some rows of values."""
        if not rows:
            return
        sql = self._written(sql, len(rows[0]))
        if hasattr(self._connection, "exec_driver_sql"):
            self._connection.exec_driver_sql(sql, [tuple(row) for row in rows])
            return
        cursor = self._connection.cursor()
        try:
            cursor.executemany(sql, [tuple(row) for row in rows])
        finally:
            cursor.close()

    def commit(self) -> None:
        """End the transaction well."""
        self._connection.commit()

    def close(self) -> None:
        """Close the connection, if it is not lost already; what was not committed is undone."""
        with contextlib.suppress(*self.errors):
            self._connection.close()

    def _written(self, sql: str, n_values: int) -> str:
        """Return a statement as the driver wants its values written."""
        match self._paramstyle:
            case "qmark":
                return sql
            case "format" | "pyformat":
                return sql.replace("?", "%s")
            case "numeric":
                for number in range(1, n_values + 1):
                    sql = sql.replace("?", f":{number}", 1)
                return sql
            case other:
                raise UsageError(f"a database driver with values in the style {other!r} cannot hold an outbox")


def _connection_of(given: Any) -> Any:
    if hasattr(given, "sync_session") or hasattr(given, "sync_connection"):
        raise UsageError(
            f"a {type(given).__name__} is asynchronous: record in `await session.run_sync(lambda session: …)`, with the session it gives"
        )
    if hasattr(given, "get_bind") and callable(getattr(given, "connection", None)):
        return given.connection()  # of a Session: the one that its transaction is on
    if hasattr(given, "exec_driver_sql") or (hasattr(given, "cursor") and hasattr(given, "commit")):
        return given
    raise UsageError(
        f"an outbox wants a SQLAlchemy Connection or Session, or a DB-API connection, and not a {type(given).__name__}"
    )


def _module_of(connection: Any) -> Any:
    """Return the DB-API module that a connection is of: the outermost that says how it takes values."""
    parts = type(connection).__module__.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    modules = [sys.modules[name] for name in names if name in sys.modules]
    found = [module for module in modules if hasattr(module, "paramstyle") and hasattr(module, "Error")]
    if not found:
        raise UsageError(f"{type(connection).__module__} is no database driver with Python's DB-API")
    return found[0]
