"""Dataclasses as rows: names, other names, JSON and what is no column."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from microclaw.store.rows import columns, insert, one_of, select


@dataclass(frozen=True, slots=True)
class Lamp:
    name: str
    owner_id: str = field(metadata={"column": "owner"})
    pins: tuple[int, ...]
    lit: bool
    notes: tuple[str, ...] = field(default=(), metadata={"column": None})


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE TABLE lamps (name TEXT UNIQUE, owner TEXT, pins TEXT, lit INTEGER, added_ms INTEGER)"
        )
        yield connection


def test_columns_are_the_fields_under_their_names_without_those_that_are_none() -> None:
    assert columns(Lamp) == "name, owner, pins, lit"


def test_row_comes_back_as_it_went_in(connection: sqlite3.Connection) -> None:
    desk, hall = Lamp("desk", "p-1", (2, 4), lit=True), Lamp("hall", "p-2", (), lit=False)
    assert [insert(connection, "lamps", lamp, added_ms=7) for lamp in (desk, hall)] == [1, 1]
    assert select(connection, Lamp, "lamps ORDER BY name") == (desk, hall)
    assert select(connection, Lamp, "lamps WHERE owner = ?", ("p-2",)) == (hall,)
    assert connection.execute("SELECT pins, lit, added_ms FROM lamps").fetchone() == ("[2, 4]", 1, 7)


def test_key_says_what_becomes_of_a_row_that_is_there(connection: sqlite3.Connection) -> None:
    insert(connection, "lamps", Lamp("desk", "p-1", (), lit=True))
    with pytest.raises(sqlite3.IntegrityError):
        insert(connection, "lamps", Lamp("desk", "p-2", (), lit=True))
    assert insert(connection, "lamps", Lamp("desk", "p-2", (), lit=True), over=()) == 0
    assert insert(connection, "lamps", Lamp("desk", "p-3", (), lit=True), over=("name",)) == 1
    assert [lamp.owner_id for lamp in select(connection, Lamp, "lamps")] == ["p-3"]


def test_nothing_is_one_of_none_and_each_is_one_of_all(connection: sqlite3.Connection) -> None:
    for name in ("desk", "hall"):
        insert(connection, "lamps", Lamp(name, "p-1", (), lit=True))
    for names in ((), ("hall",), ("desk", "hall")):
        found = select(connection, Lamp, f"lamps WHERE name {one_of(names)} ORDER BY name", names)
        assert tuple(lamp.name for lamp in found) == names
