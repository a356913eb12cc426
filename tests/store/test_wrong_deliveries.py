"""A log that delivers an entry which it does not have: the copy keeps what the log has, or says that it cannot."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.store.two_hosts import MemoryLog, two_hosts, until

from microclaw.errors import StoreError, StoreUnreachable
from microclaw.store.database import Database
from microclaw.store.recording import Statement, decode, encode


class WrongLog(MemoryLog):
    """The second host gets another entry for those in `wrong`. `read` tells what the log has, if there is a leader."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: set[int] = set()
        self.has_no_leader = self.has_wrong_leader = False
        self.late: list[int] | None = None  # what the second host has not got yet

    def _tell(self, seq: int, entry: bytes) -> None:
        first, *others = self._deliver
        first(seq, entry)
        if self.late is not None:
            self.late.append(seq)
        for deliver in others if self.late is None else ():
            deliver(seq, self._as_delivered(seq))

    def tell_late(self) -> None:
        """The newest first: the host sees all of them together."""
        late, self.late = self.late or [], None
        for seq in reversed(late):
            self._deliver[1](seq, self._as_delivered(seq))

    async def read(self, seq: int) -> bytes:
        if self.has_no_leader:
            raise StoreUnreachable("no leader", next_step="wait")
        return self._as_delivered(seq) if self.has_wrong_leader else await super().read(seq)

    def _as_delivered(self, seq: int) -> bytes:
        return self.made_up(seq) if seq in self.wrong else self._entries[seq - 1]

    def made_up(self, seq: int) -> bytes:
        """Another than the entry `seq`, after the same one."""
        entry = self._entries[seq - 1]
        statements = [Statement("INSERT INTO words VALUES (?)", [("wrong",)])]
        return encode(msgspec.structs.replace(decode(entry), entry_id="f" * 24, statements=statements))


async def note(store: Database, text: str) -> None:
    await store.write(lambda connection: connection.execute("INSERT INTO words VALUES (?)", (text,)).rowcount)


async def notes(store: Database) -> list[str]:
    return await store.read(lambda connection: [text for (text,) in connection.execute("SELECT * FROM words")])


async def make_table(store: Database) -> None:
    await store.write(lambda connection: connection.execute("CREATE TABLE words (text TEXT)").rowcount)


async def test_an_entry_that_the_next_does_not_follow_is_read_again(tmp_path: Path) -> None:
    log = WrongLog()
    async with two_hosts(tmp_path, log) as (a, b):
        await make_table(a)
        await until(lambda: b.position == a.position)
        log.wrong |= {a.position + 1, a.position + 4}
        log.late = []
        for text in ("one", "two", "three", "four", "five"):
            await note(a, text)
        log.tell_late()
        await until(lambda: b.position == a.position)
        assert await notes(b) == await notes(a) == ["one", "two", "three", "four", "five"]
        await note(b, "six")
        await until(lambda: a.position == b.position)
        assert await notes(a) == await notes(b)


async def test_a_leader_that_is_wrong_itself_breaks_no_copy(tmp_path: Path) -> None:
    log = WrongLog()
    async with two_hosts(tmp_path, log) as (a, b):
        await make_table(a)
        await until(lambda: b.position == a.position)
        log.wrong.add(a.position + 1)
        log.late, log.has_wrong_leader = [], True
        await note(a, "one")
        await note(a, "two")
        log.tell_late()
        await until(lambda: b.trouble is not None)
        assert await notes(b) == []
        log.has_wrong_leader = False
        await until(lambda: b.position == a.position)
        assert await notes(b) == ["one", "two"]
        assert b.trouble is None


async def test_an_entry_that_the_log_has_not_is_dropped_and_the_true_one_comes(tmp_path: Path) -> None:
    log = WrongLog()
    async with two_hosts(tmp_path, log) as (a, b):
        await make_table(a)
        await until(lambda: b.position == a.position)
        log.is_shaken = True
        following = a.position + 1
        log._deliver[1](following, log.made_up(following - 1))
        await note(b, "right")
        await until(lambda: b.position == a.position)
        assert a.position == following
        assert await notes(a) == await notes(b) == ["right"]
        assert b.trouble is None


async def test_a_copy_that_has_what_the_log_has_not_is_broken_for_good(tmp_path: Path) -> None:
    log = WrongLog()
    async with two_hosts(tmp_path, log) as (a, b):
        await make_table(a)
        log.wrong.add(a.position + 1)
        await note(a, "right")
        await until(lambda: b.position == a.position)
        assert await notes(b) == ["wrong"]
        assert b.differs is None
        await note(a, "next")
        await until(lambda: b.differs is not None)
        with pytest.raises(StoreError) as refused:
            await note(b, "more")
        assert "cluster.db" in (refused.value.next_step or "")
        assert await notes(b) == ["wrong"]
        await note(a, "the others go on")
