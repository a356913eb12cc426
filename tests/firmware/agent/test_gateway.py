"""The board's own chat gateway, with a real client: the contract's exchanges, tokens, limits and hostile bytes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.agent.conftest import AgentBoard, Asked, anthropic, ask, said, scripted, until
from tests.firmware.conftest import PATIENCE_S
from websockets.exceptions import ConnectionClosed, InvalidStatus

AWAY = "This board has no host."
HEAD = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEYS = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


async def test_messages_pings_and_errors_are_as_the_contract_has_them(board: AgentBoard) -> None:
    board.agent()
    async with board.running(), board.client() as client:
        await client.send('{"type":"message","content":"Hello"}')
        assert (await said(client))["chat_id"].startswith("ws_")
        assert (await ask(client, "again", "kitchen")).startswith(AWAY)
        await client.send('{"type":"message","content":"renamed"}')
        assert (await said(client))["chat_id"] == "kitchen"
        await client.send('{"type":"message","content":"unnamed","chat_id":""}')
        assert (await said(client))["chat_id"] == "kitchen"  # an empty one renames nobody
        await client.send('{"type":"ping","ts":1738764800}')
        assert await said(client) == {"type": "pong", "ts": 1738764800}
        await client.send('{"type":"ping"}')
        assert await said(client) == {"type": "pong"}
        await client.send('{"type":"subscribe","events":["delta"]}')  # of later times: ignored
        for text, code in (
            ("hello", "bad_json"),
            ("[1]", "bad_json"),
            ('{"type":"ping","ts":1e999}', "bad_json"),
            ('{"type":"ping","ts":-1e999}', "bad_json"),
            ("[" * 5000, "bad_json"),
            ('{"content":"x"}', "bad_message"),
            ('{"type":"message"}', "bad_message"),
            ('{"type":"message","content":7}', "bad_message"),
            (json.dumps({"type": "message", "content": "x", "chat_id": "x" * 32}), "chat_id_too_long"),
            (json.dumps({"type": "message", "content": "x" * 5000}), "message_too_long"),
        ):
            await client.send(text)
            assert (await said(client))["code"] == code
        await client.send(b"\x00")
        assert (await said(client))["code"] == "bad_json"
        assert (await ask(client, "still here 😀 \ud83d".encode("utf-8", "replace").decode())).startswith(AWAY)
    assert board.session("ws_kitchen")[0] == ("user", "again")


async def test_who_has_no_right_token_is_not_let_in_and_a_right_one_always(board: AgentBoard) -> None:
    board.agent()
    async with board.running():
        async with board.client():
            pass
        codes = []
        for token in ["", "wrong", "0123456789abcdef0123456789abcde"] + ["x"] * 9:
            with pytest.raises(InvalidStatus) as refused:
                async with board.client(token):
                    pass
            codes.append(refused.value.response.status_code)
        assert codes[0] == codes[9] == 401
        assert codes[10] == codes[11] == 429
        for more in ({"origin": "http://evil.example"}, {"subprotocols": ["other"]}):
            with pytest.raises(InvalidStatus):
                async with board.client(**more):
                    pass
        async with board.client() as client:
            assert (await ask(client, "x")).startswith(AWAY)
        browser: Any = ["microclaw.chat", "bearer.0123456789abcdef0123456789abcdef"]
        async with board.client("", subprotocols=browser) as client:
            assert client.subprotocol == "microclaw.chat"


async def test_without_a_token_of_its_own_the_gateway_stays_closed(board: AgentBoard) -> None:
    board.agent(gateway_token="")
    async with board.running():
        await asyncio.sleep(2)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", board.port)


async def test_a_fifth_client_and_a_long_message_are_closed_with_their_codes(board: AgentBoard) -> None:
    board.agent()
    async with board.running(), board.client() as one, board.client(), board.client(), board.client():
        async with board.client() as fifth:
            with pytest.raises(ConnectionClosed) as closed:
                await said(fifth)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        await one.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            await said(one)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        async with board.client() as again:  # its place is free
            assert (await ask(again, "x")).startswith(AWAY)


RAW = {
    "noise": bytes(range(256)) * 12,
    "no upgrade": b"GET / HTTP/1.1\r\n\r\n",
    "no version": (HEAD + "Sec-WebSocket-Key: x\r\n\r\n").encode(),
    "endless head": HEAD.encode() + b"a: b\r\n" * 20_000,
    "a line without an end": b"GET /" + b"x" * 100_000,
    "one word": b"\r\n\r\n",
    "not text": b"GET /ws HTTP/1.1\r\n\xff\xfe: \xff\r\n\r\n",
}


@pytest.mark.parametrize("what", list(RAW))
async def test_bytes_that_are_no_request_end_only_their_own_connection(what: str, board: AgentBoard) -> None:
    board.agent()
    async with board.running(), board.client() as client:
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", board.port)
            writer.write(RAW[what])
            async with asyncio.timeout(PATIENCE_S):
                with suppress(ConnectionError):  # it was cut off while it spoke
                    assert b" 101 " not in await reader.read(100)
            writer.close()
        assert (await ask(client, "x")).startswith(AWAY)


FRAMES = {
    "not masked": b"\x81\x02hi",
    "reserved bits": b"\xf1\x80abcd",
    "a long ping": b"\x89\xfe\x01\x00abcd",
    "a continuation of nothing": b"\x80\x80abcd",
    "eight bytes of length": b"\x81\xff" + b"\x7f" * 8 + b"abcd",
    "not UTF-8": b"\x81\x81\x00\x00\x00\x00\xff",
    "a close": b"\x88\x80abcd",
    "half a frame": b"\x81\xfe\x10",
}


@pytest.mark.parametrize("what", list(FRAMES))
async def test_frames_that_are_none_end_only_their_own_connection(what: str, board: AgentBoard) -> None:
    board.agent()
    request = f"{HEAD}{KEYS}Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n".encode()
    async with board.running(), board.client() as client:
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", board.port)
            writer.write(request + FRAMES[what])
            if what == "half a frame":
                writer.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 101 " in head
                await reader.read()  # to its end
            writer.close()
        assert (await ask(client, "x")).startswith(AWAY)
    assert not [line for line in board.lines if "Traceback" in line]


async def test_a_flood_is_told_that_it_is_too_much_and_others_are_answered(board: AgentBoard) -> None:
    board.agent()
    async with board.running(), board.client() as flood, board.client() as client:
        for number in range(400):
            await flood.send(json.dumps({"type": "message", "content": "x", "chat_id": f"ws_{number % 40}"}))
        assert (await ask(client, "x", "ws_other")).startswith(AWAY)
        async with asyncio.timeout(PATIENCE_S):
            assert len([await flood.recv() for _ in range(400)]) == 400
        assert (await ask(flood, "x")).startswith(AWAY)
    assert len(list((board.folder / "agent_data/sessions").glob("*.jsonl"))) <= 32


async def test_an_answer_waits_for_its_chat(board: AgentBoard, tmp_path: Path) -> None:
    left = asyncio.Event()

    async def script(asked: Asked) -> Any:
        await left.wait()
        return anthropic(f"heard {asked.json['messages'][-1]['content']}")

    async with scripted(tmp_path, script) as model:
        board.agent(api_key="k", model_url=model.url)
        async with board.running():
            async with board.client() as client:
                await client.send('{"type":"message","content":"one","chat_id":"ws_a"}')
                await model.until(1)
            left.set()
            await until(lambda: (board.folder / "agent_data/sessions/ws_a.jsonl").exists())
            async with board.client() as client:
                await client.send('{"type":"message","content":"two","chat_id":"ws_a"}')
                assert [(await said(client))["content"] for _ in range(2)] == ["heard one", "heard two"]


async def test_many_who_say_nothing_do_not_keep_others_out_for_long(board: AgentBoard) -> None:
    board.agent()
    async with board.running(), board.client():
        silent = [await asyncio.open_connection("127.0.0.1", board.port) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S):
            for reader, _ in silent:
                with suppress(ConnectionError):
                    assert await reader.read(1) == b""  # cut, within its ten seconds
        async with board.client() as client:
            assert (await ask(client, "x")).startswith(AWAY)
        for _, writer in silent:
            writer.close()
