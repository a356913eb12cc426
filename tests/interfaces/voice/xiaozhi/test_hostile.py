"""Hostile messages of a device of xiaozhi's firmware, or who plays one: the host goes on, others are not touched."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from tests.interfaces.voice.scripted_engines import Beeps, LoudnessDetector, ScriptedRecognizer
from tests.interfaces.voice.xiaozhi.conftest import CLIENT, MAC, Open

from microclaw.agent.models.scripted import say
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.session_context import VoiceParts
from microclaw.interfaces.voice.xiaozhi.connection import MAX_WAITING, XiaozhiConnection
from microclaw.interfaces.voice.xiaozhi.server import XiaozhiLimits

HELLO = {"type": "hello", "version": 1, "transport": "websocket"}


async def still_answers(talk: Any) -> None:
    """Another device is heard and answered."""
    other = await talk.conversing(name="other", mac="aa:bb:cc:dd:ee:99")
    await other.say()
    await other.until("text", type="tts", state="stop")


async def test_a_wrong_hello_ends_the_connection(talking: Open) -> None:
    async with talking([say("Yes.")], "hello", limits=XiaozhiLimits(hello_s=6.0)) as talk:
        device = await talk.paired()
        for hello in (
            {**HELLO, "version": 4},
            {**HELLO, "transport": "udp"},
            {**HELLO, "audio_params": {"format": "pcm"}},
            {"type": "listen", "state": "start"},
            {"type": "iot"},  # and then nothing
        ):
            await device.open(hello=hello)
            assert (await device.until("closed"))["code"] == 1002
        await still_answers(talk)


NO_MESSAGES: dict[int, list[tuple[int, bytes, int]]] = {  # by version: text or binary, and the code of the end
    1: [
        (1, b"{", 1002),
        (1, b"[" * 30_000, 1002),
        (1, b'{"type":"hello","version":1,"transport":"websocket"}', 1002),
        (1, b'{"type":"mcp","payload":"' + b"x" * 65_536 + b'"}', 1009),
        (1, b"\xff\xfe", 1007),
        (2, b"x" * 20_000, 1002),
    ],
    2: [(2, b"\0\2" + bytes(10) + b"\xff\xff\xff\xaa\xbb", 1002)],
    3: [(2, b"\0\0\xff\xff\xaa\xbb", 1002)],
}


async def test_what_is_no_message_ends_the_connection_and_what_nobody_needs_is_left_alone(talking: Open) -> None:
    async with talking([say("Yes."), say("Yes.")], "hello", "hello") as talk:
        for version, messages in NO_MESSAGES.items():
            device = await talk.paired(version, name=f"v{version}", mac=f"aa:bb:cc:dd:ee:0{version}")
            for kind, data, code in messages:
                await device.open()
                await device.until("open")
                device.send(kind, data)
                closed = (await device.until("closed"))["code"]
                # The reset of what was not read may overtake the code.
                assert closed == code or (code, closed) == (1009, None)
        await device.open()
        await device.until("open")
        await device.listen()
        unneeded: tuple[dict[str, Any], ...] = ({"type": "iot"}, {"type": "goodbye"}, {"type": "mcp", "payload": {}})
        for message in unneeded:
            device.text(message)
        await device.say()
        await device.until("text", type="tts", state="stop")
        await still_answers(talk)


@pytest.mark.parametrize("flood", ["no Opus", "listens"])
async def test_garbage_and_a_flood_end_the_connection(talking: Open, flood: str) -> None:
    async with talking([say("Yes.")], "hello") as talk:
        device = await talk.conversing()
        for _ in range(190 if flood == "no Opus" else 1_000):
            if flood == "no Opus":
                device.audio(os.urandom(80))
            else:
                await device.listen()
        assert (await device.until("closed"))["code"] == 1002
        await still_answers(talk)


class DeafSocket:
    def __init__(self) -> None:
        self.is_closed = False

    async def receive(self) -> None:
        await asyncio.Event().wait()

    async def send_str(self, data: str) -> None:
        await asyncio.Event().wait()

    async def close(self, **_: object) -> None:
        self.is_closed = True


@pytest.mark.parametrize("messages", [1, MAX_WAITING + 2])
async def test_a_device_that_takes_nothing_is_given_up(messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microclaw.interfaces.voice.xiaozhi.connection.SEND_S", 0.1 if messages == 1 else 60)
    nothing: Any = None  # no turn runs
    voice: Any = SimpleNamespace(parts=VoiceParts(nothing, nothing, ScriptedRecognizer(), Beeps(), LoudnessDetector))
    socket: Any = DeafSocket()
    device: Any = SimpleNamespace(device_id="d-1", name="kitchen")
    connection = XiaozhiConnection(device, "1", voice, hello_s=60, idle_s=60)
    for _ in range(messages):
        connection.final(1, Transcript("hello"))
    async with asyncio.timeout(60):
        await connection.run(socket)
    assert socket.is_closed


async def test_a_wrong_token_or_another_devices_opens_nothing(talking: Open) -> None:
    async with talking(limits=XiaozhiLimits(wrong_tokens=5)) as talk:
        device = await talk.paired()
        other = await talk.paired(name="bath", mac="aa:bb:cc:dd:ee:02")
        await device.open()
        await device.until("open")
        await device.close()
        await device.until("closed")
        foreign = next(e["token"] for e in other.events if e["event"] == "booted")
        tokens = ("", "x", "mc1_xiaozhi-aabbccddee01_" + "A" * 43, "Basic abc", foreign)
        for token, status in (*((token, 401) for token in tokens), ("x", 429)):
            device.nvs["token"] = token
            await device.open()
            assert (await device.until("refused"))["status"] == status


async def test_a_request_that_is_none_of_a_device_is_refused(talking: Open) -> None:
    async with talking() as talk:
        device = await talk.device(MAC, CLIENT)
        for status, headers in (
            (403, {"Origin": "http://127.0.0.1"}),
            (403, {"Host": "evil.example"}),
            (400, {"Device-Id": "kitchen"}),
            (400, {"Device-Id": ""}),
            (400, {"Client-Id": "x"}),
            (400, {"Client-Id": "../../etc/passwd"}),
            (413, {"Content-Length": "99999999"}),
            (415, {"Content-Encoding": "deflate"}),
        ):
            await device.boot(headers=headers, rounds=1, polls=0)
            assert (await device.until("ota"))["status"] == status
        assert talk.plane.plane.identity.pending == ()


async def test_who_asks_too_often_has_to_wait(talking: Open) -> None:
    async with talking(limits=XiaozhiLimits(requests_a_second=0.001, requests_at_once=3)) as talk:
        device = await talk.paired()
        await device.boot()
        assert (await device.until("ota"))["status"] == 429
