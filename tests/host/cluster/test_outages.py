"""The database is away, frozen, lost in the middle of a commit or for one host: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from tests.devices.link.scripted import ScriptedDevice
from tests.host.cluster.hosts import Way, WholeHost, paired
from tests.host.store.two_hosts import until
from tests.postgres import USER, PostgresServer, running_server

from microclaw.errors import ConfigError, StoreError, StoreUnreachable
from microclaw.events import Answer
from microclaw.host.store import postgres as module
from microclaw.host.store.postgres import SharedDatabase, make_tables
from microclaw.host.store.postgres_connection import PostgresConnection
from microclaw.wire.link.messages import Call, Result

HELD = ("gpio.set", "device.restart")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of this file's own: a test ends it and starts it again. What it acknowledged survives that."""
    with TemporaryDirectory(prefix="microclaw-postgres-") as folder, running_server(Path(folder), durable=True) as made:
        yield made


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[SharedDatabase]:
    url = server.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE done (n INTEGER PRIMARY KEY)")
    async with SharedDatabase.opened(Way(url).url, "a") as database:
        yield database


async def add(database: SharedDatabase, number: int) -> None:
    await database.write(lambda sql: sql.execute("INSERT INTO done VALUES (?)", (number,)).rowcount)


async def numbers(database: SharedDatabase) -> list[int]:
    return await database.read(lambda sql: [n for (n,) in sql.execute("SELECT n FROM done ORDER BY n").fetchall()])


async def test_a_frozen_database_holds_nobody_up_for_ever_and_a_failed_statement_nobody_else(
    server: PostgresServer, database: SharedDatabase
) -> None:
    await add(database, 1)
    server.freeze()
    try:
        async with asyncio.timeout(60):
            with pytest.raises(StoreUnreachable):
                await database.execute_aside("SELECT 1")
        waiting = asyncio.create_task(add(database, 2))
        await asyncio.wait((waiting,), timeout=1.0)
        assert not waiting.done()
    finally:
        server.freeze(over=True)
    await asyncio.wait_for(waiting, 60)
    with pytest.raises(StoreError):
        await database.read(lambda sql: sql.execute("SELECT nothing"))
    for number, ending in ((2, StoreError), (3, None)):
        (outcome,) = await asyncio.gather(add(database, number), return_exceptions=True)
        assert ending is None or isinstance(outcome, ending)
    assert await numbers(database) == [1, 2, 3]


def test_a_commit_that_the_server_did_not_survive_is_not_taken_for_anothers(server: PostgresServer) -> None:
    """A server that was killed gives the number of a transaction of which nothing was written to the next one."""
    url = server.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE done (n INTEGER PRIMARY KEY)")
    for number in range(2):
        with (
            closing(PostgresConnection(url, "a", writes=True)) as killed,
            closing(PostgresConnection(url, "b", writes=True)) as other,
        ):
            killed.begin()
            assert killed.execute("INSERT INTO done VALUES (?)", (number,)).rowcount == 1
            server.kill()
            server.start()
            other.begin()
            other.execute("INSERT INTO done VALUES (?)", (10 + number,))
            other.commit()
            with pytest.raises(psycopg.OperationalError):
                killed.commit()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM done ORDER BY n").fetchall() == [(10,), (11,)]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    server: PostgresServer, database: SharedDatabase, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Its connection ends once the commit took place, or before it was sent."""
    execute = psycopg.ClientCursor.execute
    lost = list[Any]()
    way = Way(database.url)

    def lossy(self: Any, query: Any, *values: Any) -> Any:
        if not lost and str(query).endswith("COMMIT"):
            lost.append(query)
            if committed:
                execute(self, query)
            way.cut()
            way.mend()
        return execute(self, query, *values)

    async with SharedDatabase.opened(way.url, "b") as cut_off:
        await add(cut_off, 1)
        monkeypatch.setattr(psycopg.ClientCursor, "execute", lossy)
        await add(cut_off, 2)
    assert lost
    assert await numbers(database) == [1, 2], "once"


async def test_a_start_while_the_database_is_away_waits_and_a_wrong_password_or_name_is_refused_at_once(
    server: PostgresServer,
) -> None:
    url = server.new_database()
    server.stop()
    starting = asyncio.create_task(asyncio.to_thread(make_tables, url, "a"))
    await asyncio.wait((starting,), timeout=1.5)
    assert not starting.done()
    server.start()
    await starting
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
        hba = server.data / "pg_hba.conf"
        hba.write_text("host all guest 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        connection.execute("SELECT pg_reload_conf()")
    began = time.monotonic()
    guest = url.replace(USER, "guest", 1)
    for wrong in (guest, guest.replace("guest", "guest:wrong"), url + "x"):
        with pytest.raises(ConfigError):
            make_tables(wrong, "a")
    assert time.monotonic() - began < module.START_S / 4


@pytest.mark.asyncio(loop_scope="module")
async def test_turns_and_tasks_go_on_once_at_another_host_and_the_one_that_was_cut_off_does_nothing_for_them(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice
) -> None:
    asked = Counter[str]()
    answers = asyncio.Event()
    fan = await paired(east, "fan")

    def held(echo: Callable[[Call], Result | None]) -> Callable[[Call], Result | None]:
        def answer(call: Call) -> Result | None:
            asked[call.method] += 1
            if call.method in HELD and not answers.is_set():
                return None
            return echo(call)

        return answer

    lamp.answer, fan.answer = held(lamp.answer), held(fan.answer)

    def say(host: WholeHost, text: str, chat_id: str) -> asyncio.Task[Answer]:
        return asyncio.create_task(asyncio.to_thread(host.client.say, text, chat_id=chat_id))

    async def undelivered(chat_id: str, count: int) -> list[dict[str, Any]]:
        found = await east.until(f"/v1/chat/{chat_id}/undelivered", lambda found: len(found["messages"]) == count)
        return [one["answer"] for one in found["messages"]]

    async with lamp.connected(), fan.connected():
        await until(lambda: west.knows("lamp") and west.knows("fan"))
        begun = [say(west, "turn on pin 4 of lamp", "c1"), say(west, "restart fan", "c2")]
        (asking,) = (await east.until("/v1/approvals", lambda found: found["approvals"]))["approvals"]
        await east.ask(f"/v1/approvals/{asking['approval_id']}", {"approved": True, "wait_s": 0})
        place = f"/v1/tasks/{(await west.ask('/v1/tasks', {'code': 'import time; time.sleep(600)'}))['task']}"
        await west.until(place, lambda found: found["state"] == "running")
        assert (await east.ask(place))["output"] == "", "it runs at the other host"
        await until(lambda: all(asked[method] for method in HELD))
        begun.append(say(west, "what time is it?", "c1"))
        later = say(east, "what time is it?", "c1")
        assert (await say(east, "what time is it?", "c3")).error_code is None, "another chat does not wait"
        assert not later.done()
        west.way.cut()
        await east.sees()
        answers.set()
        assert (await later).error_code is None
        lit, told = await undelivered("c1", 2)
        assert (lit["actions"][0]["outcome"], lit["error"], told["error"]) == ("done", None, None), "it was done again"
        (restarted,) = await undelivered("c2", 1)
        assert restarted["error"] == "outcome_unknown", "it may have been done"
        assert (await east.until(place, lambda found: found["state"] == "failed"))["ending"] == "interrupted"
        west.way.mend()
        await west.sees("east")
        codes = [one.error_code for one in await asyncio.gather(*begun)]
        assert codes[2] == "taken_over"
        assert set(codes) <= {"taken_over", "outcome_unknown"}
        assert {method: asked[method] for method in HELD} == {"gpio.set": 2, "device.restart": 1}
        assert [len(await undelivered(*chat)) for chat in (("c1", 2), ("c2", 1))] == [2, 1], "no second answers"
