"""The chat gateway over real WebSockets: MimiClaw's protocol, our extensions, and who is turned away."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.interfaces.channels.conftest import MEMBER, MemoryPeople, ScriptedTurn, WatchedInbox, echo, served_inbox
from tests.stores import new_store
from websockets.asyncio.client import ClientConnection, connect

from microclaw.errors import PermissionRefused
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.people import OWNER
from microclaw.host.auth.tokens import PersonTokens
from microclaw.host.config.settings import GatewaySettings
from microclaw.host.store.database import Database
from microclaw.host.store.people import AccessToken, PeopleTable, Person, PersonTokenTable
from microclaw.interfaces.channels.gateway import MAX_OPENING, Gateway, conversation_id
from microclaw.interfaces.cli.host_process import log_to


class TwoTokens(PersonTokens):
    """A token of the owner, `mc_owner`, and one of a member, which expires at 2000 s of the clock."""

    def __init__(self, database: Database, people: MemoryPeople) -> None:
        self.people = people
        self.now_s = 1000.0
        super().__init__(PersonTokenTable(database), people, now_ms=lambda: int(self.now_s * 1000))

    async def fill(self, database: Database) -> None:
        for token_id, person, expires_ms in (("t-1", OWNER, None), ("t-2", MEMBER, 2_000_000)):
            await PeopleTable(database).put(person, 1)
            digest = hashlib.sha256(f"mc_{person.role}".encode()).digest()
            await PersonTokenTable(database).add_new(
                AccessToken(token_id, person.role, person.person_id, digest, 1, expires_ms)
            )


PAGE = Path(__file__).parents[3] / "docs/protocols/chat-gateway.md"
EXCHANGES = dict(re.findall(r"^```exchange (.+)\n((?:.*\n)+?)```$", PAGE.read_text(), re.MULTILINE))
LOCAL_TOKEN = "mc_" + "l" * 43
AS_LOCAL = {"Authorization": f"Bearer {LOCAL_TOKEN}"}


@dataclass
class Listener:
    address: str
    inbox: WatchedInbox
    approvals: Approvals
    tokens: TwoTokens

    def connect(self, path: str = "/", **options: Any) -> connect:
        """With the local token, where the options have no other one."""
        if "subprotocols" not in options:
            options.setdefault("additional_headers", AS_LOCAL)
        return connect(f"{self.address}{path}", open_timeout=60, proxy=None, **options)


@asynccontextmanager
async def gateway(
    home: Path,
    turn: ScriptedTurn = echo,
    *,
    clients: int = 4,
    bound_to: str = "127.0.0.1",
    send_s: float = 60.0,
    head_s: float = 60.0,
    make_tokens: type[TwoTokens] = TwoTokens,
    is_open: bool = False,
) -> AsyncIterator[Listener]:
    """`bound_to` is what the settings say; the tests' socket is on loopback in any case."""
    people = MemoryPeople({("x", "1"): OWNER, ("x", "2"): MEMBER})
    approvals = Approvals(timeout_s=10, roles=people, new_id=lambda: "a1")
    async with Database.open(new_store(home / "tokens.db")) as database, served_inbox(home, turn) as inbox:
        tokens = make_tokens(database, people)
        await tokens.fill(database)
        settings = GatewaySettings(bound_to, 0, clients, open=is_open)
        door = Gateway(
            settings,
            inbox=inbox,
            tokens=tokens,
            approvals=approvals,
            local_token=LOCAL_TOKEN,
            send_s=send_s,
            head_s=head_s,
        )
        async with door.serving(socket.create_server(("127.0.0.1", 0))) as address:
            yield Listener(address, inbox, approvals, tokens)


async def tell(client: ClientConnection, **message: object) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(60):
        value = json.loads(await client.recv())
    assert isinstance(value, dict)
    return value


async def closing_code(client: ClientConnection) -> int:
    """The gateway's, where the next thing that it says is that it closes."""
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await hear(client)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


# As the device speaks


async def test_a_chat_id_is_assigned_that_no_earlier_run_gave(tmp_path: Path) -> None:
    given = []
    for _ in range(2):
        async with gateway(tmp_path) as door, door.connect() as one, door.connect() as two:
            for client in (one, two):
                await tell(client, type="message", content="a")
                given.append((await hear(client))["chat_id"])
    assert len(set(given)) == 4
    assert all(re.fullmatch(r"ws_\d{1,28}", chat_id) for chat_id in given)


# Approvals


async def _ask(approvals: Approvals, chat_id: str, detail: tuple[str, ...] = (), approved: str = "approved") -> str:
    try:
        await approvals.ask("owner", "install blink", detail, channel="ws", chat_id=chat_id)
    except PermissionRefused as exc:
        return exc.message
    return approved


@pytest.mark.parametrize("name", EXCHANGES)
async def test_an_exchange_of_the_page_is_what_happens(tmp_path: Path, name: str) -> None:
    """Every exchange of docs/protocols/chat-gateway.md."""

    async def turn(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        if inbound.text == "ask me":
            yield Answer(await _ask(door.approvals, inbound.chat_id, ("board: kitchen", "pins: 2"), "it was approved"))
        yield Answer(f"you said: {inbound.text}")

    assert len(EXCHANGES) == 4
    async with gateway(tmp_path, turn) as door, door.connect() as client:
        for line in EXCHANGES[name].splitlines():
            if line[0] == ">":
                await client.send(line[2:])
            else:
                assert await hear(client) == json.loads(line[2:])


async def test_a_subscriber_that_takes_a_chats_id_is_told_what_waits_there(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door, door.connect() as client, door.connect() as late:
        await tell(client, type="message", content="hi", chat_id="ws_a")
        await hear(client)
        asking = asyncio.create_task(_ask(door.approvals, "a"))
        await tell(late, type="subscribe", events=["approval"])
        await tell(late, type="message", content="who waits?", chat_id="ws_a")
        question = await hear(late)
        assert (question["type"], question.get("content")) == ("approval", "install blink")
        await tell(late, type="approve", approval_id=question["approval_id"], approved=True)
        assert await asking == "approved"


# Bad input


BAD_INPUT = [
    ("hello", "bad_json"),
    ('{"x":' + "[" * 60_000, "bad_json"),
    ("[1]", "bad_message"),
    ('{"content":"a"}', "bad_message"),
    ('{"type":"message"}', "bad_message"),
    ('{"type":"message","content":"  "}', "bad_message"),
    ('{"type":"message","content":"a","chat_id":7}', "bad_message"),
    ('{"type":"message","content":"a","chat_id":"\\ud800"}', "bad_json"),
    ('{"type":"message","content":"a","chat_id":"\\n"}', "bad_message"),
    ('{"type":"message","content":"a","chat_id":"%s"}' % ("x" * 32), "bad_message"),
    ('{"type":"subscribe","events":"approval"}', "bad_message"),
    ('{"type":"approve","approval_id":"x","approved":"yes"}', "bad_message"),
    ('{"type":"approve","approval_id":"x","approved":true}', "unknown_name"),
    ('{"type":"message","content":"%s"}' % ("x" * 20_000), "message_too_long"),
]


async def test_bad_input_is_told_and_the_connection_stays(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door, door.connect() as client:
        for text, code in BAD_INPUT:
            await client.send(text)
            answer = await hear(client)
            assert (answer["type"], answer["code"], bool(answer["message"])) == ("error", code, True), text[:80]
        await tell(client, type="of another time")  # is passed over
        await tell(client, type="ping", ts=1)
        assert await hear(client) == {"type": "pong", "ts": 1}


async def test_a_frame_over_the_limit_closes_1009_and_one_that_is_not_utf_8_1007(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door:
        async with door.connect() as client:
            await client.send("x" * 65_537)
            assert await closing_code(client) == 1009
        reader, writer = await _raw_client(door.address)
        writer.write(bytes([0x81, 0x82]) + bytes(4) + b"\xff\xfe")
        async with asyncio.timeout(60):
            assert (await reader.readexactly(4))[2:] == (1007).to_bytes(2, "big")
        writer.close()
        await writer.wait_closed()


async def test_a_fifth_client_is_refused_with_1013_and_a_place_becomes_free(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door, door.connect(), door.connect(), door.connect(), door.connect() as fourth:
        async with door.connect() as fifth:
            assert await closing_code(fifth) == 1013
        await fourth.close()
        async with door.connect() as late:
            await tell(late, type="ping", ts=1)
            assert await hear(late) == {"type": "pong", "ts": 1}


async def test_messages_that_wait_for_room_come_in_their_order(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def held(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        await go_on.wait()
        yield Answer(inbound.text)

    async with gateway(tmp_path, held) as door, door.connect() as client:
        texts = [f"message {number}" for number in range(20)]
        for text in texts:
            await tell(client, type="message", content=text)
        await door.inbox.until(lambda: len(door.inbox.inbound) == 9)
        go_on.set()
        assert [(await hear(client))["content"] for _ in texts] == texts


async def test_a_yes_behind_messages_that_wait_for_room_is_read(tmp_path: Path) -> None:
    async def asks_first(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        if inbound.text == "message 0":
            await door.approvals.ask("owner", "act", (), channel=inbound.channel, chat_id=inbound.chat_id)
        yield Answer(inbound.text)

    async with gateway(tmp_path, asks_first) as door, door.connect() as client:
        await tell(client, type="subscribe", events=["approval"])
        texts = [f"message {number}" for number in range(12)]
        for text in texts:
            await tell(client, type="message", content=text)
        assert (await hear(client))["type"] == "approval"
        await tell(client, type="approve", approval_id="a1", approved=True)
        assert (await hear(client))["outcome"] == "approved"
        assert [(await hear(client))["content"] for _ in texts] == texts


async def test_a_client_that_takes_nothing_of_a_message_for_a_while_is_cut_off(tmp_path: Path) -> None:
    async def long(inbound: Inbound) -> AsyncIterator[TurnEvent]:
        yield Answer("x" * (16 << 20))

    async with gateway(tmp_path, long, send_s=0.2) as door:
        reader, writer = await _raw_client(door.address)
        said = b'{"type":"message","content":"go","chat_id":"ws_c"}'
        writer.write(bytes([0x81, 0x80 | len(said)]) + bytes(4) + said)  # masked with zeros
        await _until_cut_off(writer, bytes([0x8A, 0x80 | 125, *bytes(4), *bytes(125)]) * 1000)  # pongs: no answer
        async with asyncio.timeout(60):
            while not await door.inbox.outbox.undelivered("ws", "c"):  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.05)
        assert door.inbox.done == []
        del reader


async def test_a_client_that_pings_and_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door:
        reader, writer = await _raw_client(door.address)
        await _until_cut_off(writer, bytes([0x89, 0x80 | 125, *bytes(4), *bytes(125)]) * 1000)
        del reader


REFUSED_HEADS = [
    ({"Content-Length": "3", "Transfer-Encoding": "chunked"}, None),
    ({"X-Long": "a" * 9000}, 431),
    ({f"X-{number}": "a" for number in range(200)}, 431),
    ({"Sec-WebSocket-Version": "8"}, 400),
    ({"Sec-WebSocket-Key": "short"}, 400),
]


@pytest.mark.parametrize(("headers", "status"), REFUSED_HEADS)
async def test_a_head_that_the_parser_refuses_is_answered_and_closed(
    tmp_path: Path, headers: dict[str, str], status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(tmp_path) as door:
        host, _, port = door.address.removeprefix("ws://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_upgrade(f"{host}:{port}", headers))
        async with asyncio.timeout(60):
            answer = await reader.read()
        assert (int(answer.split()[1]) if answer else None) == status
        writer.close()
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


class SlowTokens(TwoTokens):
    async def authenticate(self, secret: str, page: str = "") -> AccessToken | None:
        await asyncio.Event().wait()
        return None


async def test_a_handshake_that_is_not_decided_in_time_is_cut(tmp_path: Path) -> None:
    async with gateway(tmp_path, make_tokens=SlowTokens, head_s=3.0) as door, door.connect() as client:
        host, _, port = door.address.removeprefix("ws://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_upgrade(f"{host}:{port}", {"Authorization": "Bearer mc_owner"}))
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        await tell(client, type="ping")  # one that was accepted is not
        assert await hear(client) == {"type": "pong"}


async def test_of_connections_that_say_nothing_the_oldest_gives_way(tmp_path: Path) -> None:
    async with gateway(tmp_path, head_s=600) as door:
        at = ("127.0.0.1", int(door.address.rpartition(":")[2]))
        opened = [await asyncio.open_connection(*at) for _ in range(MAX_OPENING + 1)]
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                assert await opened[0][0].read() == b""
        for _, writer in opened:
            writer.close()


# Who comes in


NAMES = ["localhost", "127.0.0.1", "[::1]", "192.0.2.7", "{machine}", "{machine}.local"]
LOCAL = {"Sec-WebSocket-Protocol": f"microclaw.chat, bearer.{LOCAL_TOKEN}"}
NO_TOKEN = {"Sec-WebSocket-Protocol": "microclaw.chat"}
LOOPBACK = {"bound_to": "127.0.0.1"}
NETWORK = {"bound_to": "0.0.0.0", "is_open": True}
WHO_COMES_IN: list[tuple[dict[str, Any], dict[str, str], int]] = [
    *((LOOPBACK, {"Host": f"{name}:{{port}}", "Origin": f"http://{name}:{{port}}"}, 101) for name in NAMES),
    *((LOOPBACK, {"Host": f"{name}:{{port}}", "Origin": "http://localhost:1"}, 403) for name in NAMES),
    (LOOPBACK, {"Origin": "null"}, 403),
    (LOOPBACK, {"Host": "evil.example"}, 403),
    (LOOPBACK, {"Host": ""}, 403),
    (LOOPBACK, {"X-Not-Ascii": "\xe9"}, 101),
    (LOOPBACK, AS_LOCAL, 101),
    (LOOPBACK, LOCAL, 101),
    (LOOPBACK, NO_TOKEN, 401),
    (LOOPBACK, {"Authorization": f"Bearer {LOCAL_TOKEN}x"}, 401),
    ({**LOOPBACK, "is_open": True}, NO_TOKEN, 101),
    ({**LOOPBACK, "is_open": True}, {"Authorization": "Bearer mc_wrong"}, 401),
    (NETWORK, NO_TOKEN, 401),
    (NETWORK, AS_LOCAL, 401),
    (NETWORK, {"Authorization": "Bearer mc_member"}, 101),
]


async def test_who_comes_in(tmp_path: Path) -> None:
    for options, rows in groupby(WHO_COMES_IN, lambda row: row[0]):
        async with gateway(tmp_path, **options) as door:
            named = {"machine": socket.gethostname(), "port": door.address.rpartition(":")[2]}
            for _, headers, status in rows:
                found = await _status(door.address, {key: value.format(**named) for key, value in headers.items()})
                assert found == status, (options, headers)
                assert await _status(door.address, headers, path="/other") != 101


async def test_the_log_has_neither_a_query_nor_a_line_for_each_refusal(tmp_path: Path) -> None:
    log = tmp_path / "microclaw.log"
    root = logging.getLogger()
    handlers = root.handlers[:]
    level = root.level
    log_to(log, verbose=False)
    try:
        async with gateway(tmp_path / "home") as door:
            async with door.connect("/ws?token=mc_s3cret") as client:
                await tell(client, type="message", content="hello")
            for _ in range(50):
                with pytest.raises(websockets.InvalidStatus):
                    await door.connect(f"/ws?token=mc_s3cret{'x' * 7500}", additional_headers={}).__aenter__()
    finally:
        for handler in root.handlers:
            handler.close()
        logging.basicConfig(level=level, handlers=handlers, force=True)
    written = log.read_text()
    assert "mc_s3cret" not in written
    assert len(written) < 20_000


async def test_the_same_chat_id_under_two_tokens_is_two_conversations(tmp_path: Path) -> None:
    headers = [AS_LOCAL, {"Authorization": "Bearer mc_owner"}, {"Authorization": "Bearer mc_member"}]
    async with gateway(tmp_path) as door:
        browsers: dict[str, Any] = {"subprotocols": ["microclaw.chat", "bearer.mc_member"]}
        for each in (*({"additional_headers": one} for one in headers[:2]), browsers):
            async with door.connect(**each) as client:
                assert client.subprotocol == ("microclaw.chat" if each is browsers else None)
                await tell(client, type="message", content="hi", chat_id="ws_same")
                assert (await hear(client))["chat_id"] == "ws_same"
        assert [inbound.chat_id for inbound in door.inbox.inbound] == ["same", "t-1@ws_same", "t-2@ws_same"]
        pushed = await door.inbox.outbox.push("ws", "t-1@ws_same", "for the owner's token")
        async with (
            door.connect(additional_headers=headers[2]) as member,
            door.connect(additional_headers=headers[1]) as owner,
        ):
            for client in (member, owner):
                await tell(client, type="message", content="again", chat_id="ws_same")
            heard = {(await hear(owner))["content"], (await hear(owner))["content"]}
            assert heard == {"for the owner's token", "you said: again"}
            assert (await hear(member))["content"] == "you said: again"
            await tell(member, type="ping")
            assert (await hear(member))["type"] == "pong"
        await door.inbox.until(lambda: pushed in door.inbox.done)


def test_no_two_tokens_share_a_conversation() -> None:
    ids = ["ws_a", "a", "@a", "ws_@a", "t-1@a", "ws_t-1@a", "ws_", "ws_ä", "ws_ws_a", "ws_t-1@ws_a"]
    tokens = ["", "t-1", "t-2"]
    journaled = [conversation_id(token, chat_id) for token in tokens for chat_id in ids]
    assert len(set(journaled)) == len(journaled)


# What ends while a client is connected


async def _end(tokens: TwoTokens, what: str) -> None:
    match what:
        case "token removed":
            await tokens.remove("member")
        case "token expired":
            tokens.now_s = 2000.0
        case "person removed":
            del tokens.people.known["x", "2"]
        case _:
            tokens.people.known["x", "2"] = Person(MEMBER.person_id, MEMBER.name, "guest")


AS_MEMBER = {"Authorization": "Bearer mc_member"}


@pytest.mark.parametrize("end", ["token removed", "token expired", "person removed", "role lowered"])
@pytest.mark.parametrize("speaks", [False, True])
async def test_a_client_whose_token_ended_is_closed_with_1008_and_not_heard(
    tmp_path: Path, end: str, speaks: bool
) -> None:
    async with gateway(tmp_path) as door, door.connect() as other:
        async with door.connect(additional_headers=AS_MEMBER) as client:
            await tell(client, type="message", content="before", chat_id="one")
            assert (await hear(client))["content"] == "you said: before"
            await _end(door.tokens, end)
            if speaks:
                await tell(client, type="message", content="after")
            assert await closing_code(client) == 1008
        assert [inbound.text for inbound in door.inbox.inbound] == ["before"]
        await tell(other, type="ping")
        assert (await hear(other))["type"] == "pong"


async def test_a_client_whose_token_ended_decides_nothing_and_gets_no_answer(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door, door.connect(additional_headers=AS_MEMBER) as client:
        await tell(client, type="subscribe", events=["approval"])
        await tell(client, type="message", content="hi", chat_id="one")
        await hear(client)
        asking = asyncio.create_task(door.approvals.ask("p-1", "blink", (), channel="ws", chat_id="t-2@one"))
        question = await hear(client)
        await door.tokens.remove("t-2")
        await tell(client, type="approve", approval_id=question["approval_id"], approved=True)
        await door.inbox.outbox.push("ws", "t-2@one", "private")
        with pytest.raises(websockets.ConnectionClosed):
            await hear(client)
        assert [pending.approval_id for pending in door.approvals.pending()] == [question["approval_id"]]
        asking.cancel()


# What waits to be delivered


async def test_a_host_that_stops_says_so(tmp_path: Path) -> None:
    async with gateway(tmp_path) as door:
        client = await door.connect()
    assert await closing_code(client) == 1001


async def _raw_client(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket whose reader is in the test's hand, and never used."""
    host, _, port = address.removeprefix("ws://").partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    writer.write(_upgrade(f"{host}:{port}", {}))
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _until_cut_off(writer: asyncio.StreamWriter, said: bytes) -> None:
    """Say this over and over and read nothing, until the gateway ends the connection."""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while not writer.transport.is_closing():
                writer.write(said)
                await writer.drain()
    writer.transport.abort()


async def _status(address: str, headers: Mapping[str, str], *, path: str = "/") -> int:
    """The answer to a handshake with the local token, unless `headers` bring another one."""
    host, _, port = address.removeprefix("ws://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(_upgrade(f"{host}:{port}", headers, path=path))
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1])


def _upgrade(host: str, headers: Mapping[str, str], *, path: str = "/") -> bytes:
    if headers.keys() & {"Authorization", "Sec-WebSocket-Protocol"}:
        own = {}
    else:
        own = AS_LOCAL
    fields = {
        **own,
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
