"""Databases that hold an outbox: SQLite and a real PostgreSQL, each through SQLAlchemy and through its driver alone."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from pg8000 import dbapi as pg8000
from sqlalchemy import orm

from tests.outbox.postgres import USER, postgres, programs

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of a PostgreSQL that this run of the tests started."""
    where = programs()
    if where is None:
        pytest.skip(
            "LEFT OUT: the outbox on PostgreSQL, which is not installed here: make postgres, or apt-get install postgresql"
        )
    with postgres(where) as port:
        yield port


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database of one test."""

    url: str
    """For SQLAlchemy."""
    connect: Callable[[], Any]
    """Opens a connection, of the kind that is tried."""
    is_sqlite: bool

    def open(self) -> Any:
        """Open a connection of SQLAlchemy's, to look what is in it."""
        return sa.create_engine(self.url, poolclass=sa.NullPool).connect()

    def rows(self, table: str = "oq_outbox") -> list[dict[str, Any]]:
        """Return what the outbox holds."""
        with self.open() as connection:
            found = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY seq")
            return [dict(row) for row in found.mappings()]

    def change(self, sql: str) -> None:
        """Change something behind everybody's back."""
        with self.open() as connection:
            connection.exec_driver_sql(sql)
            connection.commit()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database(request, tmp_path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.db'}"
    port, name = request.getfixturevalue("postgres_port"), f"test{next(_numbers)}"
    with pg8000.connect(user=USER, host="127.0.0.1", port=port, database="postgres") as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {name}")
    return f"postgresql+pg8000://{USER}@127.0.0.1:{port}/{name}"


def _driver(url: str) -> Callable[[], Any]:
    where = sa.make_url(url)
    if where.drivername == "sqlite":
        return lambda: sqlite3.connect(where.database)
    return lambda: pg8000.connect(user=USER, host=where.host, port=where.port, database=where.database)


@pytest.fixture(params=["connection", "session", "driver"])
def place(request, database) -> Place:
    """A database, and a way to connect to it."""
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    ways = {"connection": engine.connect, "session": lambda: orm.Session(engine), "driver": _driver(database)}
    return Place(url=database, connect=ways[request.param], is_sqlite=database.startswith("sqlite"))


@pytest.fixture
def one_place(database) -> Place:
    """A database, connected to by its driver alone."""
    return Place(url=database, connect=_driver(database), is_sqlite=database.startswith("sqlite"))
