"""The how-to of the outbox shows the table that is made."""

from __future__ import annotations

from pathlib import Path

from oqkit.client.outbox_database import Dialect
from oqkit.client.outbox_table import ddl

PAGE = (Path(__file__).parents[2] / "docs/how-to/outbox.md").read_text(encoding="utf-8")


def test_page_shows_the_statements_for_postgresql():
    assert "".join(f"{statement};\n" for statement in ddl(Dialect.POSTGRESQL)) in PAGE


def test_page_says_what_is_different_in_sqlite():
    ours, theirs = (ddl(dialect)[0].splitlines() for dialect in (Dialect.SQLITE, Dialect.POSTGRESQL))
    different = [one.strip(" ,") for one, other in zip(ours, theirs, strict=True) if one != other]
    assert different == [line for line in different if f"`{line}`" in PAGE]
    assert len(different) == 1
